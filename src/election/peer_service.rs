//! The gRPC service by which instances of one role speak with each other.

use std::{fmt, sync::Arc, time::Duration};

use milvus_proto::peer::{
    StatusRequest, StatusResponse, SwitchoverRequest, SwitchoverResponse, TakeOverRequest, TakeOverResponse,
    WatchEvent, WatchRequest, peer_server::Peer, watch_request::Kind,
};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming, codegen::BoxStream};

use crate::{
    clock::UnixNanos,
    election::{hub::PeerHub, verdict::Victim},
    ids::{Epoch, Revision, ServerId},
};

/// Why a switchover is refused when nobody could take over.
pub const NO_STANDBY: &str = "no standby is ready to take over";
/// How often a switchover looks again for a standby, and after what pause: a second in all.
const SWITCHOVER_TRIES: u32 = 10;
const SWITCHOVER_PAUSE: Duration = Duration::from_millis(100);

/// What others, or an operator, may ask of the life of this instance.
#[derive(Debug)]
pub enum Command {
    /// Hand over to that standby, or the best one.
    Switchover {
        /// Which one.
        to: Option<ServerId>,
        /// That one asks by itself, because it is preferred.
        preferred: bool,
        /// What came of it.
        reply: oneshot::Sender<Result<Switched, String>>,
    },
    /// Take over from the leaving one.
    TakeOver {
        /// Its term.
        victim: Victim,
        /// It wrote nothing after this.
        last_revision: Revision,
        /// It gave out nothing of this time or later, as far as it says so.
        given_until: Option<UnixNanos>,
        /// The new term, once it serves.
        reply: oneshot::Sender<Result<Epoch, String>>,
    },
}

/// A hand-over that took place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Switched {
    /// Who serves now.
    pub to: ServerId,
    /// In which term.
    pub epoch: Epoch,
    /// From the first held call to the successor's serving.
    pub millis: f64,
}

/// Where the answers to Status come from.
pub trait StatusSource: Send + Sync + fmt::Debug {
    /// What this instance knows of itself now.
    fn status(&self) -> StatusResponse;
}

/// See the module.
#[derive(Clone, Debug)]
pub struct PeerService {
    hub: Arc<PeerHub>,
    commands: mpsc::Sender<Command>,
    status: Arc<dyn StatusSource>,
}

impl PeerService {
    /// The service over these.
    pub fn new(hub: Arc<PeerHub>, commands: mpsc::Sender<Command>, status: Arc<dyn StatusSource>) -> Self {
        Self { hub, commands, status }
    }

    async fn command<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Command,
    ) -> Result<T, String> {
        let (reply, answer) = oneshot::channel();
        let ended = || "this instance is ending".to_owned();
        self.commands.send(make(reply)).await.map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

/// Ends the hub's side when the call ends, however it ends.
struct Open {
    hub: Arc<PeerHub>,
    id: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.hub.close(self.id);
    }
}

#[tonic::async_trait]
impl Peer for PeerService {
    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<BoxStream<WatchEvent>>, Status> {
        let mut requests = request.into_inner();
        let Some(Kind::Hello(hello)) = requests.message().await?.and_then(|first| first.kind) else {
            return Err(Status::invalid_argument("the first message must be a Hello"));
        };
        let (id, events) = self
            .hub
            .open(ServerId(hello.server_id), Revision(hello.registered_at))
            .ok_or_else(|| Status::resource_exhausted("too many peer streams"))?;
        let open = Open { hub: Arc::clone(&self.hub), id };
        // Both directions in one stream: what the caller says is read while what it
        // hears is written, and nothing outlives the call.
        let stream = async_stream::stream! {
            let open = open;
            let mut events = ReceiverStream::new(events);
            loop {
                tokio::select! {
                    said = requests.message() => match said {
                        Ok(Some(WatchRequest { kind: Some(Kind::Pledge(pledge)) })) => {
                            open.hub.pledge(open.id, pledge.nonce, Epoch(pledge.epoch));
                        }
                        Ok(Some(_)) => {}
                        Ok(None) | Err(_) => break,
                    },
                    event = events.next() => match event {
                        Some(event) => yield event,
                        None => break,
                    },
                }
            }
        };
        Ok(Response::new(Box::pin(stream)))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(self.status.status()))
    }

    async fn switchover(
        &self,
        request: Request<SwitchoverRequest>,
    ) -> Result<Response<SwitchoverResponse>, Status> {
        let SwitchoverRequest { to_server_id, preferred } = request.into_inner();
        let to = Some(ServerId(to_server_id)).filter(|id| id.0 != 0);
        let mut switched = self.command(|reply| Command::Switchover { to, preferred, reply }).await;
        // A standby that has just registered is about to open its stream.
        for _ in 0..SWITCHOVER_TRIES {
            if switched.as_ref().err().is_none_or(|reason| reason != NO_STANDBY) {
                break;
            }
            tokio::time::sleep(SWITCHOVER_PAUSE).await;
            switched = self.command(|reply| Command::Switchover { to, preferred, reply }).await;
        }
        let answer = match switched {
            Ok(switched) => SwitchoverResponse {
                done: true,
                reason: String::new(),
                new_server_id: switched.to.0,
                new_epoch: switched.epoch.0,
                millis: switched.millis,
            },
            Err(reason) => SwitchoverResponse { reason, ..SwitchoverResponse::default() },
        };
        Ok(Response::new(answer))
    }

    async fn take_over(
        &self,
        request: Request<TakeOverRequest>,
    ) -> Result<Response<TakeOverResponse>, Status> {
        let request = request.into_inner();
        let victim = Victim { epoch: Epoch(request.epoch), server_id: ServerId(request.from_server_id) };
        let last_revision = Revision(request.last_revision);
        let given_until = u64::try_from(request.given_until).ok().filter(|time| *time > 0).map(UnixNanos);
        let ask = |reply| Command::TakeOver { victim, last_revision, given_until, reply };
        let answer = match self.command(ask).await {
            Ok(epoch) => TakeOverResponse { done: true, reason: String::new(), epoch: epoch.0 },
            Err(reason) => TakeOverResponse { reason, ..TakeOverResponse::default() },
        };
        Ok(Response::new(answer))
    }
}
