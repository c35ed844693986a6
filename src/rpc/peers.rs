//! What instances of one role say to each other, from the caller's side.
//!
//! A link to a peer is how its death is noticed: [`PeerLink::ended`] tells, by what
//! the socket showed, whether the peer ended the connection or the network did.

use std::time::Duration;

use futures::Stream;
use milvus_proto::peer::{
    StatusRequest, StatusResponse, SwitchoverRequest, SwitchoverResponse, TakeOverRequest, TakeOverResponse,
    WatchEvent, WatchRequest, peer_client::PeerClient,
};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    net::Dial,
    rpc::link::{Ended, Link, LinkError, LinkOwner, LinkSettings, classify_end},
};

/// Why a call to a peer brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// It has answered with an error.
    #[error("{0}")]
    Answered(#[source] Box<Status>),
    /// It has not answered in time.
    #[error("no answer to {call} within {within:?}")]
    Late {
        /// Which call.
        call: &'static str,
        /// For how long.
        within: Duration,
    },
    /// The connection ended first.
    #[error("connection ended under {call}: {ended}")]
    Ended {
        /// Which call.
        call: &'static str,
        /// What that says of the peer.
        ended: Ended,
        /// In the words of the layers below.
        #[source]
        source: Box<Status>,
    },
}

/// An open connection to a peer. Clones share it.
#[derive(Clone, Debug)]
pub struct PeerLink {
    link: Link,
}

impl PeerLink {
    /// Connects to `host:port`. Ends at the latest when `owner` does.
    ///
    /// # Errors
    /// [`LinkError::NotOpened`] with what that says of the peer, and [`LinkError::Address`].
    pub async fn connect(
        dial: &dyn Dial,
        address: &str,
        settings: LinkSettings,
        owner: &LinkOwner,
    ) -> Result<Self, LinkError> {
        Ok(Self { link: Link::connect(dial, address, settings, owner).await? })
    }

    /// Waits until the connection has ended, and says how.
    pub async fn ended(&self) -> Ended {
        self.link.ended().await
    }

    /// Ends the connection at once.
    pub fn close(&self) {
        self.link.close();
    }

    /// Opens the stream by which peers know each other to be alive. `outbound` must
    /// begin with a Hello. The answer's stream ends with an error when the connection
    /// does: [`classify_end`] reads it.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn watch(
        &self,
        outbound: impl Stream<Item = WatchRequest> + Send + 'static,
        within: Duration,
    ) -> Result<Streaming<WatchEvent>, PeerError> {
        let mut client = self.client();
        // Open-ended: the time is for the answer's head only.
        finish("Watch", within, client.watch(Request::new(outbound))).await
    }

    /// What the peer knows of itself.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn status(&self, within: Duration) -> Result<StatusResponse, PeerError> {
        let mut client = self.client();
        finish("Status", within, client.status(timed(StatusRequest {}, within))).await
    }

    /// Asks the ACTIVE instance to hand over, and waits for the end of that.
    ///
    /// # Errors
    /// [`PeerError`]; then it may have taken place.
    pub async fn switchover(
        &self,
        request: SwitchoverRequest,
        within: Duration,
    ) -> Result<SwitchoverResponse, PeerError> {
        let mut client = self.client();
        finish("Switchover", within, client.switchover(timed(request, within))).await
    }

    /// Tells a successor that all writes of the term are done, and waits until it
    /// serves or has given up.
    ///
    /// # Errors
    /// [`PeerError`]; then it may have taken over.
    pub async fn take_over(
        &self,
        request: TakeOverRequest,
        within: Duration,
    ) -> Result<TakeOverResponse, PeerError> {
        let mut client = self.client();
        finish("TakeOver", within, client.take_over(timed(request, within))).await
    }

    fn client(&self) -> PeerClient<Link> {
        PeerClient::new(self.link.clone())
    }
}

fn timed<T>(message: T, within: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(within);
    request
}

async fn finish<T>(
    call: &'static str,
    within: Duration,
    answer: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, PeerError> {
    match tokio::time::timeout(within, answer).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) if by_link(&status) => {
            Err(PeerError::Ended { call, ended: classify_end(&status), source: Box::new(status) })
        }
        Ok(Err(status)) => Err(PeerError::Answered(Box::new(status))),
        Err(_) => Err(PeerError::Late { call, within }),
    }
}

/// Whether an error was made on this side, for lack of a connection.
fn by_link(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<LinkError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::StreamExt as _;
    use milvus_proto::peer::{Hello, Phase, peer_server::Peer, watch_event, watch_request};
    use tokio::{net::TcpListener, sync::watch};
    use tokio_util::task::TaskTracker;
    use tonic::{Code, codegen::BoxStream};

    use super::*;
    use crate::{
        election::standing::Standing,
        net::Tcp,
        rpc::{
            Identity,
            gatehouse::{Gatehouse, GatehouseSettings, NoHooks},
            link::Silence,
            server::{Server, ServerSettings, Services, Sizes},
            testing::{CLUSTER_NAME, PATIENCE, link_settings},
        },
    };

    #[derive(Debug)]
    struct Toy;

    fn hello(server_id: i64) -> Hello {
        Hello { role: "rootcoord".into(), server_id, phase: Phase::Active.into(), epoch: 100 }
    }

    #[tonic::async_trait]
    impl Peer for Toy {
        async fn watch(
            &self,
            request: Request<Streaming<WatchRequest>>,
        ) -> Result<Response<BoxStream<WatchEvent>>, Status> {
            let answers = request.into_inner().map(|message| {
                let Some(watch_request::Kind::Hello(Hello { server_id, .. })) = message?.kind else {
                    return Err(Status::invalid_argument("no hello"));
                };
                Ok(WatchEvent { kind: Some(watch_event::Kind::Hello(hello(server_id + 1))) })
            });
            Ok(Response::new(Box::pin(answers)))
        }

        async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
            Ok(Response::new(StatusResponse { server_id: 7, ..Default::default() }))
        }

        async fn switchover(
            &self,
            _: Request<SwitchoverRequest>,
        ) -> Result<Response<SwitchoverResponse>, Status> {
            Err(Status::failed_precondition("not active"))
        }

        async fn take_over(
            &self,
            request: Request<TakeOverRequest>,
        ) -> Result<Response<TakeOverResponse>, Status> {
            if request.into_inner().epoch == 0 {
                std::future::pending::<()>().await;
            }
            Ok(Response::new(TakeOverResponse { done: true, ..Default::default() }))
        }
    }

    async fn start() -> (Server, watch::Sender<Standing>) {
        // In whatever standing: peers talk in all of them.
        let (standing, shown) = watch::channel(Standing::Leaving);
        let gatehouse = Gatehouse::new(
            Arc::new(Identity::new(CLUSTER_NAME)),
            shown,
            GatehouseSettings::default(),
            Arc::new(Tcp { connect_timeout: PATIENCE }),
            TaskTracker::new(),
            Arc::new(NoHooks),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let services = Services::new(Sizes::default()).peer(Arc::new(Toy));
        let settings = ServerSettings::default();
        (Server::start(Box::new(listener), services, Arc::new(gatehouse), settings).unwrap(), standing)
    }

    async fn connect(server: &Server) -> Result<PeerLink, LinkError> {
        let dial = Tcp { connect_timeout: PATIENCE };
        let address = server.address().to_string();
        PeerLink::connect(&dial, &address, link_settings(), &LinkOwner::default()).await
    }

    #[tokio::test]
    async fn calls_are_answered_in_every_standing() {
        let (server, _standing) = start().await;
        let peer = connect(&server).await.unwrap();
        assert_eq!(peer.status(PATIENCE).await.unwrap().server_id, 7);
        let request = TakeOverRequest { epoch: 100, from_server_id: 1, last_revision: 123 };
        assert!(peer.take_over(request, PATIENCE).await.unwrap().done);
        let error = peer.switchover(SwitchoverRequest::default(), PATIENCE).await.unwrap_err();
        let PeerError::Answered(status) = error else { panic!("{error:?}") };
        assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "not active"));
        let short = Duration::from_millis(20);
        let error = peer.take_over(TakeOverRequest::default(), short).await.unwrap_err();
        assert!(matches!(error, PeerError::Late { call: "TakeOver", .. }), "{error:?}");
    }

    #[tokio::test]
    async fn the_end_of_a_peer_shows_on_its_stream_and_on_its_link() {
        let (server, _standing) = start().await;
        let peer = connect(&server).await.unwrap();
        let (say, said) = tokio::sync::mpsc::channel(1);
        let outbound = tokio_stream::wrappers::ReceiverStream::new(said);
        let mut events = peer.watch(outbound, PATIENCE).await.unwrap();
        for id in [1, 5] {
            say.send(WatchRequest { kind: Some(watch_request::Kind::Hello(hello(id))) }).await.unwrap();
            let event = events.message().await.unwrap().unwrap();
            assert_eq!(event.kind, Some(watch_event::Kind::Hello(hello(id + 1))));
        }
        let hanging = peer.take_over(TakeOverRequest::default(), PATIENCE);
        let (unanswered, ()) = tokio::join!(hanging, async {
            tokio::task::yield_now().await;
            // An open stream does not end by itself.
            assert!(!server.stop(Duration::from_millis(50)).await);
        });
        let error = unanswered.unwrap_err();
        assert!(matches!(error, PeerError::Ended { ended: Ended::ByPeer, .. }), "{error:?}");
        let error = events.message().await.unwrap_err();
        assert_eq!(classify_end(&error), Ended::ByPeer);
        assert_eq!(peer.ended().await, Ended::ByPeer);
        let error = peer.status(PATIENCE).await.unwrap_err();
        assert!(matches!(error, PeerError::Ended { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn who_has_ended_refuses() {
        let (server, _standing) = start().await;
        let address = server.address().to_string();
        assert!(server.stop(PATIENCE).await);
        let dial = Tcp { connect_timeout: PATIENCE };
        let error =
            PeerLink::connect(&dial, &address, link_settings(), &LinkOwner::default()).await.unwrap_err();
        assert_eq!(classify_end(&error), Ended::Refused);
    }

    #[tokio::test]
    async fn closing_here_says_nothing_of_the_peer() {
        let (server, _standing) = start().await;
        let peer = connect(&server).await.unwrap();
        let mut events = peer.watch(futures::stream::pending(), PATIENCE).await.unwrap();
        peer.close();
        assert_eq!(peer.ended().await, Ended::Silent(Silence::Other));
        let error = events.message().await.unwrap_err();
        assert!(matches!(classify_end(&error), Ended::Silent(_)), "{error:?}");
    }
}
