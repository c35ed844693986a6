//! gRPC whose messages are bytes: any method can be called, and any service be played,
//! by its name alone. What the bytes mean stands in the [descriptors](crate::fields).

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use tonic::{
    Request, Response, Status,
    body::Body,
    codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::{MetadataKey, MetadataMap},
    transport::Channel,
};

/// `@@milvus-member@@` in base64: how components identify themselves to each other.
const MEMBER: &str = "QEBtaWx2dXMtbWVtYmVyQEA=";

/// Leaves messages as they are.
#[derive(Clone, Copy, Debug, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// Calls `service/method` as a component of the cluster does. `headers` come on top, and
/// replace what every component sends.
///
/// # Errors
/// The server's.
pub(crate) async fn call(
    channel: &Channel,
    service: &str,
    method: &str,
    headers: &[(&str, String)],
    message: Bytes,
) -> Result<Bytes, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let mut request = Request::new(message);
    let usual = [("cluster", "by-dev".to_owned()), ("sourceid", MEMBER.to_owned())];
    for (name, value) in usual.iter().chain(headers) {
        let name = MetadataKey::from_bytes(name.as_bytes()).expect("a header's name");
        request.metadata_mut().insert(name, value.parse().expect("a header's value"));
    }
    let path = PathAndQuery::try_from(format!("/{service}/{method}")).expect("a path");
    client.unary(request, path, Plain).await.map(Response::into_inner)
}

/// Answers every method of every service.
pub(crate) trait Answers: Send + Sync + 'static {
    /// To the method of that name.
    ///
    /// # Errors
    /// What the caller is to get instead of an answer.
    fn answer(&self, method: &str, headers: &MetadataMap, message: Bytes) -> Result<Bytes, Status>;
}

/// Serves what `answers` says, until it is dropped.
///
/// # Errors
/// Those of the network.
pub(crate) async fn serve(
    listener: tokio::net::TcpListener,
    answers: Arc<dyn Answers>,
) -> Result<(), tonic::transport::Error> {
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    tonic::transport::Server::builder().serve_with_incoming(Stub(answers), incoming).await
}

#[derive(Clone)]
struct Stub(Arc<dyn Answers>);

type Answer<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

impl tower::Service<http::Request<Body>> for Stub {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let handler = Handler { answers: Arc::clone(&self.0), method };
        Box::pin(async move {
            let mut server = tonic::server::Grpc::new(Plain)
                .accept_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Zstd);
            Ok(server.unary(handler, request).await)
        })
    }
}

struct Handler {
    answers: Arc<dyn Answers>,
    method: String,
}

impl tower::Service<Request<Bytes>> for Handler {
    type Response = Response<Bytes>;
    type Error = Status;
    type Future = std::future::Ready<Result<Response<Bytes>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (headers, _, message) = request.into_parts();
        std::future::ready(self.answers.answer(&self.method, &headers, message).map(Response::new))
    }
}
