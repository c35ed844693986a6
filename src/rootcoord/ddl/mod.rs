//! Carries out changes of the schema within one term.
//!
//! ```text
//!   request ─▶ locks ─▶ decide ─▶ write, settled ─▶ catalog ─▶ proxies forget ─▶ answer
//!                         ▲            │ changed by somebody else        │
//!                         └────────────┘                                 └─▶ jobs: what may follow later
//! ```
//!
//! * Requests about different names run side by side; those about the same one after another.
//!   A task's timestamp is taken when its locks are held, so the order of an object's changes is
//!   that of their timestamps.
//! * What a client was told is in etcd before. Proxies are told to forget *after* the write, so
//!   they can't have asked in between for what was there before.
//! * A write whose outcome is unknown is settled before its locks are given back.
//! * What is half done lies in etcd as a state (Creating, Dropping). Whoever becomes ACTIVE finds
//!   it there and goes on ([`Ddl::repair`]): jobs need no memory.
//! * Deposed, everything ends where it is: no undo, no answer.

mod aliases;
mod collections;
mod databases;
mod jobs;
mod locks;
mod messages;
mod notes;
mod partitions;
mod request;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::locks::{Held, Locks, Wanted};
pub use self::{
    notes::Note,
    request::{Request, is_replicated},
};
use crate::{
    clock::Clock,
    election::{
        gate::{Gate, NotServing},
        rules::Rule,
    },
    etcd::commit::Commit,
    ids::{Epoch, ServerId},
    mq::Queue,
    rootcoord::{
        catalog::Catalog,
        channels::Channels,
        collections::{Limits, UnderWay},
        failure::Failure,
        peers::{Called, Peers},
        tick::Ticker,
    },
    rpc::context::carried,
    tso::{hybrid::Timestamp, ids::Ids, timestamps::Timestamps},
};

/// How many requests may be under way or wait, as in Milvus.
pub const QUEUE: usize = 10_240;

/// The catalog, and word when it has moved.
#[derive(Debug)]
pub struct SharedCatalog {
    /// Locked for moments only.
    pub catalog: Mutex<Catalog>,
    /// Notified after each change that the mirror brings.
    pub moved: Notify,
}

/// What became of a request, and of how long it waited for its turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The task's timestamp, or why it was not carried out.
    pub result: Result<Timestamp, Failure>,
    /// From coming in to the beginning of its turn.
    pub waited: Duration,
}

/// Hears what happens without anybody asking for it.
pub trait DdlWitness: Send + Sync + fmt::Debug {
    /// The default database could not be made.
    fn no_default_database(&self, failure: &Failure);

    /// The schema or what is known of it changed.
    fn changed(&self, catalog: &Catalog);

    /// A step of a job failed and is tried again.
    fn job_waits(&self, step: &str, failure: &Failure);

    /// A channel is stored that is none of this cluster's.
    fn unknown_channel(&self, name: &str);

    /// What happens to the schema, step by step.
    fn noted(&self, note: &Note<'_>);
}

/// What DDL works with.
#[derive(Debug)]
pub struct Tools {
    /// All metadata.
    pub catalog: Arc<SharedCatalog>,
    /// Where changes are written.
    pub store: Arc<dyn Commit>,
    /// Of the term.
    pub timestamps: Arc<Timestamps>,
    /// Of the term.
    pub ids: Arc<Ids>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Asked before every message and every call.
    pub gate: Arc<Gate>,
    /// How long that may take.
    pub proof_patience: Duration,
    /// Where messages go.
    pub queue: Arc<dyn Queue>,
    /// Holds ticks back while messages are under way.
    pub ticker: Ticker,
    /// Whether messages are allowed at all: `common.ttMsgEnabled`.
    pub messages: bool,
    /// Whom to tell.
    pub peers: Arc<dyn Peers>,
    /// Which channels there are, and who holds them.
    pub channels: Arc<Mutex<Channels>>,
    /// How much there may be.
    pub limits: Limits,
    /// The collections that are being made.
    pub under_way: Mutex<UnderWay>,
    /// The own server id, which messages carry.
    pub server: ServerId,
    /// The term.
    pub term: Epoch,
    /// Hears what happens.
    pub witness: Arc<dyn DdlWitness>,
    /// The newest revision that the term has written.
    pub last_write: Arc<AtomicI64>,
    /// Cancelled: takes nothing new.
    pub finish: CancellationToken,
    /// Cancelled: ends at once.
    pub stop: CancellationToken,
    /// Requests.
    pub requests: TaskTracker,
    /// Jobs, which nobody waits for.
    pub jobs: TaskTracker,
}

/// Why a task goes no further.
#[derive(Debug)]
pub(in crate::rootcoord) enum Halt {
    /// The term is over: no answer, no undo.
    Over,
    /// Something that can be told.
    Failed(Failure),
}

impl<T: Into<Failure>> From<T> for Halt {
    fn from(failure: T) -> Self {
        Self::Failed(failure.into())
    }
}

type Step<T> = Result<T, Halt>;

/// See the module. Clones are the same.
#[derive(Clone, Debug)]
pub struct Ddl {
    tools: Arc<Tools>,
    locks: Arc<Locks>,
    under_way: Arc<AtomicUsize>,
    patience: Duration,
}

impl Ddl {
    /// Works with these, and waits for an outcome as long as that.
    pub fn new(tools: Tools, patience: Duration) -> Self {
        Self { tools: Arc::new(tools), locks: Arc::default(), under_way: Arc::default(), patience }
    }

    /// Makes the default database if there is none, takes up what an earlier term has left half
    /// done, forgets old requests, and removes what is kept of objects that are gone. `ready` is told once there is a default database, or none
    /// can be made.
    pub fn repair(&self, ready: oneshot::Sender<()>) {
        let tools = Arc::clone(&self.tools);
        let run = async move {
            tools.ensure_default().await?;
            // Nobody may be waiting for it any more.
            _ = ready.send(());
            Ok::<(), Halt>(())
        };
        self.tools.requests.spawn(self.tools.stop.clone().run_until_cancelled_owned(run));
        self.tools.resume();
        let tools = Arc::clone(&self.tools);
        self.tools.job(async move { tools.sweep_requests().await });
        let tools = Arc::clone(&self.tools);
        self.tools.job(async move { tools.sweep_garbage().await });
    }

    /// Has a request carried out, and waits for that as long as the patience lasts.
    ///
    /// Whoever stops waiting before the request's turn has come takes it back.
    pub async fn carry_out(&self, request: Request) -> Outcome {
        let tools = &self.tools;
        let came = tools.clock.boot();
        let failed = |failure| Outcome { result: Err(failure), waited: tools.clock.boot().since(came) };
        if tools.finish.is_cancelled() {
            return failed(Failure::NoTerm);
        }
        let Some(place) = Place::take(&self.under_way) else { return failed(Failure::Full(QUEUE)) };
        let (mut answer, outcome) = oneshot::channel();
        let (own, locks) = (Arc::clone(tools), Arc::clone(&self.locks));
        let run = async move {
            let _place = place;
            let held = tokio::select! {
                held = own.acquire(&locks, &request) => held,
                // Nobody waits for it, or nothing new may begin.
                () = answer.closed() => return,
                () = own.finish.cancelled() => return,
            };
            let waited = own.clock.boot().since(came);
            let result = match own.run(&request).await {
                Ok(ts) => Ok(ts),
                Err(Halt::Failed(failure)) => Err(failure),
                Err(Halt::Over) => return,
            };
            drop(held);
            // A client that no longer waits has been told to ask again.
            _ = answer.send(Outcome { result, waited });
        };
        tools.requests.spawn(tools.stop.clone().run_until_cancelled_owned(carried(run)));
        match tokio::time::timeout(self.patience, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => failed(Failure::NoTerm),
            Err(_) => failed(Failure::NoAnswer),
        }
    }
}

/// One of the places for requests.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(under_way: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(Arc::clone(under_way));
        (under_way.fetch_add(1, Ordering::AcqRel) < QUEUE).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Tools {
    /// The locks of a request. While it waits, the names may come to stand for other
    /// collections; then anew.
    async fn acquire(&self, locks: &Arc<Locks>, request: &Request) -> Held {
        if !self.gate.rules().hold(Rule::NameLocks) {
            return locks.acquire(Wanted::new()).await;
        }
        loop {
            let wanted = request.locks(&self.catalog.catalog.lock());
            let held = locks.acquire(wanted.clone()).await;
            if request.locks(&self.catalog.catalog.lock()) == wanted {
                return held;
            }
        }
    }

    async fn run(self: &Arc<Self>, request: &Request) -> Step<Timestamp> {
        let collections = request.collections(&self.catalog.catalog.lock());
        for collection in collections {
            self.modernize(collection).await?;
        }
        match request {
            Request::CreateDatabase { name, id } => self.create_database(name, *id).await,
            Request::DropDatabase { name } => self.drop_database(name).await,
            Request::CreateCollection(request) => self.create_collection(request).await,
            Request::DropCollection { db, name, replicated } => {
                self.drop_collection(db, name, *replicated).await
            }
            Request::AlterCollection { db, name, properties } => {
                self.alter_collection(db, name, properties).await
            }
            Request::RenameCollection(rename) => self.rename_collection(rename).await,
            Request::CreatePartition { db, collection, partition } => {
                self.create_partition(db, collection, partition).await
            }
            Request::DropPartition { db, collection, partition, replicated } => {
                self.drop_partition(db, collection, partition, *replicated).await
            }
            Request::CreateAlias { db, alias, collection } => self.create_alias(db, alias, collection).await,
            Request::AlterAlias { db, alias, collection } => self.alter_alias(db, alias, collection).await,
            Request::DropAlias { db, alias } => self.drop_alias(db, alias).await,
        }
    }

    /// Asks the gate: what follows is seen by others, and etcd can't fence it.
    async fn admit(&self) -> Step<()> {
        match self.gate.admit(self.clock.boot(), self.proof_patience).await {
            Ok(()) => Ok(()),
            Err(NotServing::Ended(_)) => Err(Halt::Over),
            Err(unproven) => Err(Failure::NotServing(unproven).into()),
        }
    }

    /// Calls another component, if that may still be done.
    async fn call<'a, T>(&self, call: impl FnOnce() -> Called<'a, T>) -> Step<T> {
        self.admit().await?;
        Ok(call().await.map_err(Failure::Peer)?)
    }

    /// Lets the ticks know which channels are in use now.
    fn channels_changed(&self) {
        // Under the lock: of two changes at once the later one must be told last, or a channel that
        // was just taken into use would get no ticks.
        let channels = self.channels.lock();
        self.ticker.set_in_use(channels.in_use());
    }
}
