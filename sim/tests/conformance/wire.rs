//! Etcd's protocol without a client library: requests and answers as they are on the wire.

use etcd_client::proto::PbResponseHeader;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Request, Status, Streaming,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

/// One etcd, real or not.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    channel: Channel,
}

/// An error as a client can tell it from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// gRPC's code.
    pub(crate) code: Code,
    /// Etcd's text.
    pub(crate) message: String,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self { code: status.code(), message: status.message().to_owned() }
    }
}

impl Peer {
    /// Connects at the first call.
    pub(crate) fn new(endpoint: String) -> Self {
        let endpoint = Endpoint::from_shared(endpoint).expect("an address");
        Self { channel: endpoint.connect_lazy() }
    }

    async fn ready(&self) -> Result<Grpc<Channel>, Failure> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(64 << 20);
        let ready = grpc.ready().await;
        ready.map_err(|error| Failure { code: Code::Unavailable, message: error.to_string() })?;
        Ok(grpc)
    }

    /// One call with one answer.
    pub(crate) async fn call<Q, A>(&self, method: &'static str, request: Q) -> Result<A, Failure>
    where
        Q: Message + Default + 'static,
        A: Message + Default + 'static,
    {
        let path = PathAndQuery::from_static(method);
        let mut grpc = self.ready().await?;
        let answer = grpc.unary(Request::new(request), path, ProstCodec::<Q, A>::default()).await?;
        Ok(answer.into_inner())
    }

    /// A stream, opened with its first request: etcd answers nothing, not even headers, before that.
    pub(crate) async fn stream<Q, A>(
        &self,
        method: &'static str,
        first: Q,
    ) -> Result<(mpsc::Sender<Q>, Streaming<A>), Failure>
    where
        Q: Message + Default + 'static,
        A: Message + Default + 'static,
    {
        let (sender, receiver) = mpsc::channel(16);
        sender.send(first).await.expect("the receiver is here");
        let path = PathAndQuery::from_static(method);
        let mut grpc = self.ready().await?;
        let requests = Request::new(ReceiverStream::new(receiver));
        let answers = grpc.streaming(requests, path, ProstCodec::<Q, A>::default()).await?;
        Ok((sender, answers.into_inner()))
    }
}

/// Clears what two clusters can't have in common.
pub(crate) fn anonymous(header: &mut Option<PbResponseHeader>) {
    if let Some(header) = header {
        header.cluster_id = 0;
        header.member_id = 0;
        header.raft_term = 0;
    }
}
