//! The streams that this instance keeps to all other listed ones.
//!
//! A stream is *verified* once its peer has answered with the server id that its
//! session names. If a verified one is then ended by the peer's kernel, it is dialled
//! again at once; that this is refused, or ended before a byte came, is a hint that
//! the process is gone. Anything else is silence, and says nothing.
//!
//! A hint is about the term that the peer told of on that very stream.

use std::{collections::HashMap, sync::Arc, time::Duration};

use milvus_proto::{
    common::StateCode,
    milvus::GetComponentStatesRequest,
    peer::{Hello, Pledge, WatchRequest, peer_client::PeerClient, watch_event, watch_request},
    rootcoord::root_coord_client::RootCoordClient,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    election::{session::Kind, standing::Peer, verdict::Victim},
    ids::{Epoch, Revision, Role, ServerId},
    net::Dial,
    rpc::{
        clients::Caller,
        link::{Ended, Link, LinkOwner, LinkSettings},
    },
};

/// Time for a dial and for a first answer; a peer that takes longer is silent.
const PATIENCE: Duration = Duration::from_millis(500);
/// Pause before a peer that was silent is dialled again.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// Pledges waiting to be sent on one stream.
const PLEDGES: usize = 8;

/// Whom to keep a stream to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Id and address from its session.
    pub peer: Peer,
    /// How it is spoken to.
    pub kind: Kind,
    /// For a foreign one, which can't tell: the term that it holds.
    pub holds: Option<Epoch>,
}

/// What a stream brings.
#[derive(Debug)]
pub enum News {
    /// The peer told where it stands.
    Said(ServerId, Hello),
    /// The peer can't reach etcd; the pledge goes to the sender.
    PledgeAsked {
        /// Its term.
        epoch: Epoch,
        /// Of the question.
        nonce: u64,
        /// For how long, counted from now.
        lasting: Duration,
        /// Back to the peer.
        reply: mpsc::Sender<Pledge>,
    },
    /// It looks as if this process were gone. What it was told came under the registration
    /// that was put at this revision.
    Gone(Victim, Revision),
    /// The stream is over or was never there.
    Lost(ServerId),
}

/// See the module.
#[derive(Debug)]
pub struct Streams {
    role: Role,
    own: ServerId,
    registered_at: Revision,
    dial: Arc<dyn Dial>,
    news: mpsc::Sender<News>,
    tasks: TaskTracker,
    stop: CancellationToken,
    links: LinkOwner,
    followed: HashMap<ServerId, (Target, CancellationToken)>,
}

impl Streams {
    /// No streams yet; news go to `news`.
    pub fn new(role: Role, own: ServerId, dial: Arc<dyn Dial>, news: mpsc::Sender<News>) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        Self {
            role,
            own,
            registered_at: Revision(0),
            dial,
            news,
            links: LinkOwner::new(tasks.clone(), stop.clone()),
            tasks,
            stop,
            followed: HashMap::new(),
        }
    }

    /// Keeps a stream to each of these and to nobody else.
    pub fn follow(&mut self, targets: Vec<Target>) {
        let wanted: HashMap<ServerId, Target> = targets
            .into_iter()
            .filter(|target| target.peer.server_id != self.own)
            .map(|target| (target.peer.server_id, target))
            .collect();
        self.followed.retain(|id, (target, stop)| {
            let keep = wanted.get(id) == Some(target);
            if !keep {
                stop.cancel();
            }
            keep
        });
        for (id, target) in wanted {
            if !self.followed.contains_key(&id) {
                self.start(target);
            }
        }
    }

    /// The revision of the registration under which the streams are kept; 0: of none.
    pub fn registered_at(&self) -> Revision {
        self.registered_at
    }

    /// Opens all streams anew under this registration: what was told on the old ones no
    /// longer counts.
    pub fn renew(&mut self, registered_at: Revision) {
        self.registered_at = registered_at;
        let targets: Vec<Target> = self
            .followed
            .drain()
            .map(|(_, (target, stop))| {
                stop.cancel();
                target
            })
            .collect();
        self.follow(targets);
    }

    fn start(&mut self, target: Target) {
        let stop = self.stop.child_token();
        let task = Following {
            role: self.role,
            own: self.own,
            registered_at: self.registered_at,
            target: target.clone(),
            dial: Arc::clone(&self.dial),
            news: self.news.clone(),
            links: self.links.clone(),
        };
        self.followed.insert(target.peer.server_id, (target, stop.clone()));
        self.tasks.spawn(async move {
            // Being cut off at any point is right: nothing is held but a connection.
            let _ = stop.run_until_cancelled(task.run()).await;
        });
    }

    /// Ends all streams and waits for their tasks.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Following {
    role: Role,
    own: ServerId,
    registered_at: Revision,
    target: Target,
    dial: Arc<dyn Dial>,
    news: mpsc::Sender<News>,
    links: LinkOwner,
}

/// How one connection came to its end.
enum Course {
    /// Verified, told this, and then ended by the peer's kernel.
    CutByPeer(Option<Epoch>),
    /// The peer ended it before a byte came.
    ClosedUnheard,
    /// Somebody newer listens at that address.
    Replaced,
    /// Anything else.
    Silent,
}

impl Following {
    async fn run(self) {
        let id = self.target.peer.server_id;
        // What the stream that was just cut had been told; the next dial decides.
        let mut cut: Option<Option<Epoch>> = None;
        loop {
            let settings = LinkSettings { connect_timeout: PATIENCE, ..LinkSettings::default() };
            let address = &self.target.peer.address;
            let course = match Link::connect(&*self.dial, address, settings, &self.links).await {
                Ok(link) => match self.target.kind {
                    Kind::Own => self.listen(link).await,
                    Kind::Foreign => self.hold(link).await,
                },
                Err(error) if error.ended() == Some(Ended::Refused) => Course::ClosedUnheard,
                Err(_) => Course::Silent,
            };
            let told = cut.take();
            let gone = match course {
                Course::CutByPeer(told) => {
                    cut = Some(told);
                    self.tell(News::Lost(id)).await;
                    // At once: a refusal now is news, one after a pause may be a restart.
                    continue;
                }
                Course::ClosedUnheard => told.flatten(),
                Course::Replaced => told.flatten().or(self.target.holds),
                Course::Silent => None,
            };
            if let Some(epoch) = gone {
                self.tell(News::Gone(Victim { epoch, server_id: id }, self.registered_at)).await;
            } else if told.is_none() {
                self.tell(News::Lost(id)).await;
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    async fn tell(&self, news: News) {
        // Closed: the driver has ended, and so will this task.
        let _ = self.news.send(news).await;
    }

    async fn listen(&self, link: Link) -> Course {
        let (pledges, mut to_send) = mpsc::channel::<Pledge>(PLEDGES);
        let (requests, outgoing) = mpsc::channel(PLEDGES + 1);
        let hello = Hello {
            role: self.role.name().to_owned(),
            server_id: self.own.0,
            registered_at: self.registered_at.0,
            ..Hello::default()
        };
        let first = WatchRequest { kind: Some(watch_request::Kind::Hello(hello)) };
        if requests.try_send(first).is_err() {
            return Course::Silent;
        }
        let mut client = PeerClient::new(Caller::of_anybody(link.clone()));
        let opening = tokio::time::timeout(PATIENCE, client.watch(ReceiverStream::new(outgoing)));
        let Ok(Ok(answer)) = opening.await else { return Course::Silent };
        let mut events = answer.into_inner();
        let mut verified = false;
        let mut told = None;
        loop {
            tokio::select! {
                // An answer that has arrived counts before the end that follows it.
                biased;
                event = events.message() => match event {
                    Ok(Some(event)) => match event.kind {
                        Some(watch_event::Kind::Hello(hello)) => {
                            let their = ServerId(hello.server_id);
                            if their > self.target.peer.server_id {
                                return Course::Replaced;
                            }
                            if their != self.target.peer.server_id || hello.role != self.role.name() {
                                return Course::Silent;
                            }
                            verified = true;
                            told = Some(Epoch(hello.epoch)).filter(|epoch| epoch.0 != 0);
                            self.tell(News::Said(their, hello)).await;
                        }
                        Some(watch_event::Kind::PledgeRequest(ask)) if verified => {
                            self.tell(News::PledgeAsked {
                                epoch: Epoch(ask.epoch),
                                nonce: ask.nonce,
                                lasting: Duration::from_millis(ask.millis.into()),
                                reply: pledges.clone(),
                            })
                            .await;
                        }
                        _ => {}
                    },
                    // Ended in good order, or with an error: the socket knows which.
                    Ok(None) => return Course::Silent,
                    Err(_) => break,
                },
                Some(pledge) = to_send.recv() => {
                    let request = WatchRequest { kind: Some(watch_request::Kind::Pledge(pledge)) };
                    // A peer that reads nothing gets no promise.
                    let _ = requests.try_send(request);
                }
            }
        }
        match tokio::time::timeout(PATIENCE, link.ended()).await {
            Ok(Ended::ByPeer) if verified => Course::CutByPeer(told),
            _ => Course::Silent,
        }
    }

    /// A foreign coordinator has no such stream: a plain connection over which it said
    /// who it is takes the stream's place.
    async fn hold(&self, link: Link) -> Course {
        let mut client = RootCoordClient::new(Caller::of_anybody(link.clone()));
        let asking =
            tokio::time::timeout(PATIENCE, client.get_component_states(GetComponentStatesRequest {}));
        let Ok(Ok(answer)) = asking.await else { return Course::Silent };
        let Some(state) = answer.into_inner().state else { return Course::Silent };
        if ServerId(state.node_id) > self.target.peer.server_id {
            return Course::Replaced;
        }
        if ServerId(state.node_id) != self.target.peer.server_id || state.state_code() == StateCode::Abnormal
        {
            return Course::Silent;
        }
        match link.ended().await {
            // One that is told to end says goodbye, stops listening, and keeps its key until
            // its lease ends; the refused redial that must follow tells it from a mere pause.
            Ended::ByPeer | Ended::Farewell => Course::CutByPeer(self.target.holds),
            Ended::Refused | Ended::Silent(_) => Course::Silent,
        }
    }
}
