//! The gRPC shell around a member: waits, asks the cluster, fills in headers.

mod kv;
mod lease;
mod maintenance;
mod watch;

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use etcd_client::proto::{
    PbClusterServer, PbKvServer, PbLeaseServer, PbMaintenanceServer, PbResponseHeader, PbWatchServer,
};
use milvus_coord::net::{Accept, BoxIo};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{oneshot, watch as channel},
};
use tokio_util::task::TaskTracker;
use tonic::{Request, Status};

use super::{
    cluster::{Answer, Cluster, MemberIndex, Proposal, Route},
    fate::{Fates, Heard, Odds},
    record::Origin,
    refusal::Refusal,
};

/// How often a member looks whether something is due.
const TICK: Duration = Duration::from_millis(100);
/// What gRPC lets through above etcd's own limit.
const MAX_MESSAGE_BYTES: usize = super::txn::MAX_REQUEST_BYTES + 512 * 1024;

/// Time since the simulation began.
pub type Now = Arc<dyn Fn() -> Duration + Send + Sync>;
/// Which process stands behind a connection.
pub type OriginOf = Arc<dyn Fn(SocketAddr) -> Origin + Send + Sync>;

struct Shared {
    state: Mutex<State>,
    changed: channel::Sender<u64>,
    now: Now,
    origin_of: OriginOf,
}

#[derive(Debug)]
struct State {
    cluster: Cluster,
    fates: Fates,
}

/// A handle on a whole cluster: for its members' servers, for faults, for checks.
#[derive(Clone)]
pub struct FakeEtcd {
    shared: Arc<Shared>,
}

impl fmt::Debug for FakeEtcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeEtcd").finish_non_exhaustive()
    }
}

impl FakeEtcd {
    /// A cluster whose fates are drawn from `seed`.
    pub fn new(cluster: Cluster, odds: Odds, seed: u64, now: Now, origin_of: OriginOf) -> Self {
        let state = Mutex::new(State { cluster, fates: Fates::new(odds, seed) });
        Self { shared: Arc::new(Shared { state, changed: channel::Sender::new(0), now, origin_of }) }
    }

    /// One that lives on tokio's clock and takes addresses for origins.
    pub fn on_tokio_time(members: usize, odds: Odds) -> Self {
        let start = tokio::time::Instant::now();
        Self::new(
            Cluster::new(members, Duration::from_secs(1)),
            odds,
            0,
            Arc::new(move || start.elapsed()),
            Arc::new(|from| Origin::new(&from.to_string())),
        )
    }

    /// Looks at the cluster, or changes it; wakes everybody who waits for a change.
    pub fn with<R>(&self, act: impl FnOnce(&mut Cluster, Duration) -> R) -> R {
        let now = (self.shared.now)();
        let result = act(&mut self.shared.state.lock().cluster, now);
        self.shared.changed.send_modify(|generation| *generation += 1);
        result
    }

    /// Looks at the cluster only.
    pub fn look<R>(&self, look: impl FnOnce(&mut Cluster, Duration) -> R) -> R {
        let now = (self.shared.now)();
        look(&mut self.shared.state.lock().cluster, now)
    }

    /// Changes what becomes of proposals.
    pub fn fates<R>(&self, act: impl FnOnce(&mut Fates) -> R) -> R {
        act(&mut self.shared.state.lock().fates)
    }

    /// Waits until `look` finds what it looks for.
    async fn wait_for<R>(&self, mut look: impl FnMut(&mut Cluster, Duration) -> Option<R>) -> R {
        let mut changed = self.shared.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let (found, wake) = self.look(|cluster, now| (look(cluster, now), cluster.next_visible(now)));
            if let Some(found) = found {
                return found;
            }
            self.change_or(&mut changed, wake).await;
        }
    }

    /// Waits for the next change, or until `wake`.
    async fn change_or(&self, changed: &mut channel::Receiver<u64>, wake: Option<Duration>) {
        let sleep = async {
            match wake {
                Some(wake) => tokio::time::sleep(wake.saturating_sub((self.shared.now)())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // The sender lives as long as this handle.
            _ = changed.changed() => {}
            () = sleep => {}
        }
    }

    fn tick(&self) {
        let state = |cluster: &Cluster| (cluster.term(), cluster.leader(), cluster.store().revision());
        let changed = self.look(|cluster, now| {
            let before = (state(cluster), cluster.lessor().all().count());
            cluster.tick(now);
            before != (state(cluster), cluster.lessor().all().count()) || cluster.is_somebody_leaderless()
        });
        if changed {
            self.shared.changed.send_modify(|generation| *generation += 1);
        }
    }

    /// Serves one member on this listener until the listener fails.
    ///
    /// # Errors
    /// Whatever ends the server.
    pub async fn serve(&self, member: MemberIndex, listener: impl Accept + 'static) -> Result<(), String> {
        let front = Front { etcd: self.clone(), member, tasks: TaskTracker::new() };
        let ticks = async {
            loop {
                tokio::time::sleep(TICK).await;
                self.tick();
            }
        };
        let server = tonic::transport::Server::builder()
            .add_service(PbKvServer::new(front.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES))
            .add_service(PbLeaseServer::new(front.clone()))
            .add_service(PbWatchServer::new(front.clone()))
            .add_service(PbMaintenanceServer::new(front.clone()))
            .add_service(PbClusterServer::new(front))
            .serve_with_incoming(incoming(listener));
        tokio::select! {
            biased;
            ended = server => ended.map_err(|error| error.to_string()),
            () = ticks => Ok(()),
        }
    }
}

/// One member, as its clients see it.
#[derive(Clone, Debug)]
struct Front {
    etcd: FakeEtcd,
    member: MemberIndex,
    tasks: TaskTracker,
}

impl Front {
    fn origin<T>(&self, request: &Request<T>) -> Origin {
        match request.remote_addr() {
            Some(from) => (self.etcd.shared.origin_of)(from),
            None => Origin::new("unknown"),
        }
    }

    /// Completes a header that says at most the revision.
    fn header(&self, header: Option<PbResponseHeader>) -> Option<PbResponseHeader> {
        self.etcd.look(|cluster, now| {
            let revision = header.map_or(0, |header| header.revision);
            Some(PbResponseHeader {
                cluster_id: cluster.id(),
                member_id: member_id(self.member),
                revision: if revision == 0 { cluster.seen_by(self.member, now) } else { revision },
                raft_term: cluster.term_of(self.member),
            })
        })
    }

    /// How long a member waits for the cluster.
    fn request_timeout(&self) -> Duration {
        let election = self.etcd.look(|cluster, _| cluster.election_timeout());
        Duration::from_secs(5) + 2 * election
    }

    /// Lets a request in: not while the member hangs; and refuses one that asks for a
    /// leader where there is none.
    async fn enter<T>(&self, request: &Request<T>) -> Result<(), Status> {
        self.etcd.wait_for(|cluster, _| (!cluster.is_hung(self.member)).then_some(())).await;
        let wants_leader = request.metadata().get("hasleader").is_some_and(|value| value == "true");
        let leaderless = self.etcd.look(|cluster, _| cluster.route(self.member) == Route::None);
        if wants_leader && leaderless { Err(Refusal::NoLeader.into()) } else { Ok(()) }
    }

    async fn leader(&self) {
        let to_leader =
            |cluster: &mut Cluster, _| (cluster.route(self.member) == Route::Leader).then_some(());
        self.etcd.wait_for(to_leader).await;
    }

    /// Sends a proposal towards the log and waits for what it gave.
    async fn propose(&self, proposal: Proposal, origin: Origin) -> Result<Answer, Status> {
        let within = tokio::time::timeout(self.request_timeout(), async {
            let stale = |cluster: &mut Cluster, _| match cluster.route(self.member) {
                Route::Leader => Some(false),
                Route::Stale => Some(true),
                Route::None => None,
            };
            if self.etcd.wait_for(stale).await {
                return std::future::pending().await;
            }
            self.send_to_log(proposal, origin).await
        });
        within.await.unwrap_or(Err(Refusal::TimedOut.into()))
    }

    /// From here on the proposal makes its way even if the call is given up.
    async fn send_to_log(&self, proposal: Proposal, origin: Origin) -> Result<Answer, Status> {
        let fate = self.etcd.fates(|fates| fates.draw(&proposal, &origin));
        let (answered, answer) = oneshot::channel();
        if !fate.lost {
            let front = self.clone();
            let set_out = self.etcd.look(|cluster, _| cluster.store().revision());
            self.tasks.spawn(async move {
                tokio::time::sleep(fate.delay).await;
                front.etcd.wait_for(|cluster, _| cluster.leader()).await;
                let answer = front.etcd.with(|cluster, now| cluster.apply(&proposal, &origin, set_out, now));
                let applied = front.etcd.look(|cluster, _| cluster.store().revision());
                let seen = |cluster: &mut Cluster, now| {
                    (cluster.seen_by(front.member, now) >= applied && !cluster.is_hung(front.member))
                        .then_some(())
                };
                front.etcd.wait_for(seen).await;
                // Nobody waits any more: that is what late proposals are about.
                let _ = answered.send(answer);
            });
        }
        match (answer.await, fate.heard) {
            (Ok(answer), Heard::Answer) => answer.map_err(Status::from),
            (Ok(_), Heard::TimedOut) => Err(Refusal::TimedOut.into()),
            (Ok(_), Heard::Disconnected) => Err(Status::unavailable("transport is closing")),
            (Ok(_), Heard::Nothing) | (Err(_), _) => std::future::pending().await,
        }
    }

    /// Waits until this member may answer a read, and says as of which revision.
    async fn read_revision(&self, serializable: bool) -> Result<i64, Status> {
        if !serializable {
            let confirmed = tokio::time::timeout(self.request_timeout(), async {
                self.leader().await;
                let takes = self.etcd.fates(Fates::draw_read);
                tokio::time::sleep(takes).await;
                self.leader().await;
                let confirmed = self.etcd.look(|cluster, _| cluster.store().revision());
                let caught_up = |cluster: &mut Cluster, now| {
                    (cluster.seen_by(self.member, now) >= confirmed).then_some(())
                };
                self.etcd.wait_for(caught_up).await;
            });
            confirmed.await.map_err(|_| Status::from(Refusal::TimedOut))?;
        }
        Ok(self.etcd.look(|cluster, now| cluster.seen_by(self.member, now)))
    }
}

fn member_id(member: MemberIndex) -> u64 {
    0xe7cd_0000 + member as u64
}

fn unexpected(answer: &Answer) -> Status {
    Status::internal(format!("another kind of answer: {answer:?}"))
}

/// An accepted connection, with what tonic wants to know of it.
struct Accepted {
    io: BoxIo,
    from: SocketAddr,
}

impl tonic::transport::server::Connected for Accepted {
    type ConnectInfo = tonic::transport::server::TcpConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        tonic::transport::server::TcpConnectInfo { local_addr: None, remote_addr: Some(self.from) }
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

fn incoming(mut listener: impl Accept) -> impl futures::Stream<Item = io::Result<Accepted>> {
    async_stream::stream! {
        loop {
            yield match listener.accept().await {
                Ok((io, from)) => Ok(Accepted { io, from }),
                Err(error) => Err(error),
            };
        }
    }
}
