//! A link with the metadata that members of a cluster send.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use http_body::{Frame, SizeHint};
use tonic::{Status, body::Body};

use crate::{
    ids::ServerId,
    net::BoxFuture,
    rpc::{
        context::pass_on,
        headers::{CLUSTER, MEMBER, SERVER_ID, SOURCE_ID},
        link::{Link, LinkBody, LinkError},
    },
};

/// Nobody reads it here, and the gRPC library panics if it isn't base64.
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// What generated clients call through: every call passes on the
/// [context](crate::rpc::context) of the call that it is made for.
#[derive(Clone, Debug)]
pub struct Caller {
    link: Link,
    /// The names of cluster and receiver.
    address: Option<(HeaderValue, HeaderValue)>,
}

impl Caller {
    /// Calls `to` over `link`; every call names cluster, receiver and sender.
    pub(super) fn new(link: Link, cluster: HeaderValue, to: ServerId) -> Self {
        Self { link, address: Some((cluster, HeaderValue::from(to.0))) }
    }

    /// Calls whoever is at the other end of `link`.
    pub fn of_anybody(link: Link) -> Self {
        Self { link, address: None }
    }
}

impl tower::Service<http::Request<Body>> for Caller {
    type Response = http::Response<Answer>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let headers = request.headers_mut();
        pass_on(headers);
        if let Some((cluster, server_id)) = &self.address {
            headers.insert(CLUSTER, cluster.clone());
            headers.insert(SERVER_ID, server_id.clone());
            headers.insert(SOURCE_ID, MEMBER);
        }
        let link = self.link.clone();
        Box::pin(async move {
            let mut response = link.send(request).await.map_err(unavailable)?;
            response.headers_mut().remove(DETAILS);
            Ok(response.map(Answer))
        })
    }
}

/// What Milvus's own clients see of a lost connection. Left to itself, the gRPC
/// library would make something of it that looks like a decision of the peer.
fn unavailable(error: LinkError) -> Status {
    let mut status = Status::unavailable(error.to_string());
    status.set_source(Arc::new(error));
    status
}

/// The body of an answer.
#[derive(Debug)]
pub struct Answer(LinkBody);

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut frame = ready!(Pin::new(&mut self.0).poll_frame(cx));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            trailers.remove(DETAILS);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(unavailable)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
