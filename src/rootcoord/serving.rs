//! One term of rootcoord: everything that exists from activation to its end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::sync::oneshot;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock::{BootInstant, Clock},
    election::gate::Gate,
    etcd::commit::Commit,
    ids::{Epoch, Revision},
    rootcoord::{
        ddl::{DdlQueue, SharedCatalog, Worker},
        events::TermEvents,
        failure::Failure,
    },
    tso::{
        follow,
        ids::Ids,
        keeper::{Keeper, Reserve, Sightings, Window},
        steps::Steps,
        stored::{Change, Plan},
        timestamps::Timestamps,
        window::Ahead,
    },
};

/// How long the way out waits for writes on the wire; shorter than the life cycle waits for it.
const DRAIN_LIMIT: Duration = Duration::from_millis(900);

/// What a term is made of.
#[derive(Debug)]
pub struct Tenure {
    /// Mod revision of the put that began it.
    pub epoch: Epoch,
    /// Takes its writes.
    pub store: Arc<dyn Commit>,
    /// Asked before anything goes out.
    pub gate: Arc<Gate>,
    /// Cancelled when it is over.
    pub over: CancellationToken,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
}

/// A window that the term has taken over.
#[derive(Debug)]
pub struct TakenOver {
    /// Its key.
    pub key: String,
    /// What the campaign has set.
    pub plan: Plan,
    /// What somebody else has made of it since.
    pub change: Option<Change>,
}

/// How the term is run.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How far ahead the timestamp window is kept.
    pub ahead: Ahead,
    /// `rootCoord.maxDatabaseNum`
    pub max_databases: usize,
    /// How long a DDL call waits for its write.
    pub write_patience: Duration,
    /// How long an answer waits for a proof.
    pub proof_patience: Duration,
}

/// See the module.
#[derive(Debug)]
pub struct Serving {
    epoch: Epoch,
    gate: Arc<Gate>,
    terms: Terms,
    /// What gives out timestamps.
    pub timestamps: Arc<Timestamps>,
    /// What gives out ids.
    pub ids: Arc<Ids>,
    /// The way to the DDL worker.
    pub ddl: DdlQueue,
    /// What is told about the term.
    pub events: TermEvents,
    timestamp_sightings: Arc<Sightings>,
    id_sightings: Arc<Sightings>,
    /// The keepers and the DDL worker.
    writers: TaskTracker,
    followers: TaskTracker,
    finish: CancellationToken,
    stop: CancellationToken,
    last_write: Arc<AtomicI64>,
}

impl Serving {
    /// Begins a term. The receiver is told when there is a default database, or none can be made.
    pub fn begin(
        tenure: Tenure,
        timestamp_window: TakenOver,
        id_window: TakenOver,
        catalog: Arc<SharedCatalog>,
        terms: Terms,
        events: TermEvents,
    ) -> (Self, oneshot::Receiver<()>) {
        let Tenure { epoch, store, gate, over, clock } = tenure;
        let stop = over.child_token();
        let (finish, writers, followers) = <(CancellationToken, TaskTracker, TaskTracker)>::default();
        let last_write = Arc::new(AtomicI64::new(epoch.0));

        let plan = timestamp_window.plan;
        let timestamps = Arc::new(Timestamps::new(&plan.span, terms.ahead));
        let ids = Arc::new(Ids::new(&id_window.plan.span));
        let keep = |window: TakenOver, reserve: Arc<dyn Reserve>| {
            let sightings = Arc::new(Sightings::new(reserve.clone()));
            if let Some(change) = window.change {
                sightings.seen(change);
            }
            let keeper = Keeper {
                window: Window::new(window.key, window.plan.span.end, epoch.revision()),
                store: store.clone(),
                reserve,
                sightings: sightings.clone(),
                witness: Arc::new(events.clone()),
                finish: finish.clone(),
                stop: stop.clone(),
            };
            let last_write = last_write.clone();
            writers.spawn(async move {
                let last = keeper.run().await;
                last_write.fetch_max(last.0, Ordering::AcqRel);
            });
            sightings
        };
        let timestamp_sightings = keep(timestamp_window, timestamps.clone());
        let id_sightings = keep(id_window, ids.clone());

        let steps = Steps::from(plan.span.clock, plan.at);
        let following = follow::follow(clock.clone(), steps, timestamps.clone(), Arc::new(events.clone()));
        followers.spawn(stop.clone().run_until_cancelled_owned(following));

        let worker = Worker {
            catalog,
            store,
            timestamps: timestamps.clone(),
            ids: ids.clone(),
            clock,
            max_databases: terms.max_databases,
            witness: Arc::new(events.clone()),
            last_write: last_write.clone(),
            finish: finish.clone(),
            stop: stop.clone(),
        };
        let (told, ready) = oneshot::channel();
        let (ddl, run) = worker.prepare(terms.write_patience, told);
        writers.spawn(run);
        let serving = Self {
            epoch,
            gate,
            terms,
            timestamps,
            ids,
            ddl,
            events,
            timestamp_sightings,
            id_sightings,
            writers,
            followers,
            finish,
            stop,
            last_write,
        };
        (serving, ready)
    }

    /// Mod revision of the put that began the term.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The mirror shows the timestamp window like this.
    pub fn timestamp_window_seen(&self, change: Change) {
        self.timestamp_sightings.seen(change);
    }

    /// The mirror shows the id window like this.
    pub fn id_window_seen(&self, change: Change) {
        self.id_sightings.seen(change);
    }

    /// Lets an answer out whose value has been taken already.
    ///
    /// # Errors
    /// [`Failure::NotServing`]: the answer must not be sent.
    pub async fn admit(&self, arrived: BootInstant) -> Result<(), Failure> {
        Ok(self.gate.admit(arrived, self.terms.proof_patience).await?)
    }

    /// Takes no new writes and waits for those under way, less than a second. Returns
    /// the revision after which the term has written nothing.
    ///
    /// A write that is still unanswered then either is part of what the successor's
    /// campaign finds, or fails by its fence.
    pub async fn drain(&self) -> Revision {
        self.finish.cancel();
        self.writers.close();
        _ = tokio::time::timeout(DRAIN_LIMIT, self.writers.wait()).await;
        Revision(self.last_write.load(Ordering::Acquire))
    }

    /// Ends everything, and waits for that.
    pub async fn end(&self) {
        self.stop.cancel();
        self.writers.close();
        self.followers.close();
        self.writers.wait().await;
        self.followers.wait().await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
