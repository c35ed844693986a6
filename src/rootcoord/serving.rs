//! One term of rootcoord: everything that exists from activation to its end.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock::{BootInstant, Clock},
    election::gate::{Gate, NotServing},
    etcd::commit::Commit,
    ids::{Epoch, Revision, ServerId},
    mq::{Queue, QueueError, Topics},
    rootcoord::{
        access::{Access, Defaults, Upkeep},
        channels::{ChannelNaming, Channels},
        collections::Limits,
        ddl::{Ddl, DdlWitness as _, SharedCatalog, Tools},
        events::TermEvents,
        failure::Failure,
        peers::{Peers, PolicyChange},
        quota::{QuotaSettings, QuotaWorker},
        tick::{TickWitness, TickWorker, Ticker},
    },
    telemetry::log::Chain,
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
    /// Who serves it.
    pub server: ServerId,
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
#[derive(Clone, Debug)]
pub struct Terms {
    /// How far ahead the timestamp window is kept.
    pub ahead: Ahead,
    /// How much there may be of what.
    pub limits: Limits,
    /// What the channels are called.
    pub naming: ChannelNaming,
    /// How far ticks are apart.
    pub tick_interval: Duration,
    /// Whether ticks and DDL messages are sent.
    pub messages: bool,
    /// `None`: proxies are told no limits.
    pub quota: Option<QuotaSettings>,
    /// How long a DDL call waits for its outcome.
    pub ddl_patience: Duration,
    /// How long an answer waits for a proof.
    pub proof_patience: Duration,
}

/// What a term finds when it begins, and shares with the rest of the role.
#[derive(Debug)]
pub struct Surroundings {
    /// All metadata.
    pub catalog: Arc<SharedCatalog>,
    /// Users, roles and grants.
    pub access: Arc<Mutex<Access>>,
    /// Those of them that must be there.
    pub defaults: Arc<Defaults>,
    /// Where messages go.
    pub queue: Arc<dyn Queue>,
    /// Where its topics are made.
    pub topics: Arc<dyn Topics>,
    /// Whom to tell.
    pub peers: Arc<dyn Peers>,
    /// Hears of ticks.
    pub ticks: Arc<dyn TickWitness>,
    /// The proxies that have a session.
    pub proxies: BTreeSet<ServerId>,
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
    /// Carries out DDL.
    pub ddl: Ddl,
    /// The way to what sends ticks.
    pub ticker: Ticker,
    /// Takes the term's writes, and reads.
    pub store: Arc<dyn Commit>,
    /// What is told about the term.
    pub events: TermEvents,
    timestamp_sightings: Arc<Sightings>,
    id_sightings: Arc<Sightings>,
    queue: Arc<dyn Queue>,
    peers: Arc<dyn Peers>,
    /// The keepers and DDL that somebody waits for.
    writers: TaskTracker,
    /// Everything else.
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
        around: Surroundings,
        terms: Terms,
        events: TermEvents,
    ) -> (Self, oneshot::Receiver<()>) {
        let Tenure { epoch, server, store, gate, over, clock } = tenure;
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

        let steps = Steps::from(plan.span.clock, plan.at).beginning_at(plan.span.start);
        let following = follow::follow(clock.clone(), steps, timestamps.clone(), Arc::new(events.clone()));
        followers.spawn(stop.clone().run_until_cancelled_owned(following));

        let peers = Arc::clone(&around.peers);
        let channels = channels_in_use(&around.catalog, &terms, &events);
        let make = make_topics(around.topics, channels.to_be_made());
        followers.spawn(stop.clone().run_until_cancelled_owned(make));
        let ticks = TickWorker {
            queue: Arc::clone(&around.queue),
            gate: gate.clone(),
            timestamps: timestamps.clone(),
            clock: clock.clone(),
            server,
            interval: terms.tick_interval,
            proof_patience: terms.proof_patience,
            witness: around.ticks,
            stop: stop.clone(),
        };
        events.proxies(&around.proxies);
        let (ticker, run) = ticks.prepare(&around.proxies, channels.in_use(), terms.messages);
        followers.spawn(run);

        let upkeep = Upkeep {
            access: around.access,
            defaults: around.defaults,
            store: store.clone(),
            last_write: last_write.clone(),
            finish: finish.clone(),
        };
        let (made, defaults_made) = oneshot::channel();
        let make_defaults = async move {
            upkeep.run().await;
            // Nobody may be waiting for it any more.
            _ = made.send(());
        };
        writers.spawn(stop.clone().run_until_cancelled_owned(make_defaults));
        let refresher = Refresher {
            peers: Arc::clone(&around.peers),
            gate: gate.clone(),
            clock: clock.clone(),
            proof_patience: terms.proof_patience,
        };
        let refresh = async move { refresher.run(defaults_made).await };
        followers.spawn(stop.clone().run_until_cancelled_owned(refresh));

        if let Some(settings) = terms.quota.clone() {
            let quota = QuotaWorker {
                settings,
                peers: Arc::clone(&around.peers),
                catalog: Arc::clone(&around.catalog),
                timestamps: timestamps.clone(),
                gate: gate.clone(),
                clock: clock.clone(),
                proof_patience: terms.proof_patience,
                events: events.quota(),
            };
            followers.spawn(stop.clone().run_until_cancelled_owned(quota.run()));
        }

        let tools = Tools {
            catalog: around.catalog,
            store: store.clone(),
            timestamps: timestamps.clone(),
            ids: ids.clone(),
            clock,
            gate: gate.clone(),
            proof_patience: terms.proof_patience,
            queue: Arc::clone(&around.queue),
            ticker: ticker.clone(),
            messages: terms.messages,
            peers: around.peers,
            channels: Arc::new(Mutex::new(channels)),
            limits: terms.limits.clone(),
            under_way: Mutex::default(),
            server,
            term: epoch,
            witness: Arc::new(events.clone()),
            last_write: last_write.clone(),
            finish: finish.clone(),
            stop: stop.clone(),
            requests: writers.clone(),
            jobs: followers.clone(),
        };
        let (told, ready) = oneshot::channel();
        let ddl = Ddl::new(tools, terms.ddl_patience);
        ddl.repair(told);
        let serving = Self {
            epoch,
            gate,
            terms,
            timestamps,
            ids,
            ddl,
            ticker,
            store,
            events,
            timestamp_sightings,
            id_sightings,
            queue: around.queue,
            peers,
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
        // What has not been sent must not arrive in the successor's term.
        self.queue.purge();
        self.peers.end().await;
        self.writers.close();
        self.followers.close();
        self.writers.wait().await;
        self.followers.wait().await;
    }
}

/// The channels that collections hold, in whatever state they are: messages may still come.
fn channels_in_use(catalog: &SharedCatalog, terms: &Terms, events: &TermEvents) -> Channels {
    let mut channels = Channels::new(&terms.naming);
    let catalog = catalog.catalog.lock();
    for name in channels.inherit(catalog.channels()) {
        events.unknown_channel(&name);
    }
    events.channels(channels.number(), catalog.number_of_collections(), &channels.in_use());
    channels
}

/// Between attempts to make topics.
const TOPICS_PAUSE: Duration = Duration::from_secs(1);

/// Ahead of the first collection, so that it need not wait for its topics. Without them it does.
async fn make_topics(topics: Arc<dyn Topics>, names: Vec<String>) {
    let mut told = false;
    while let Err(error) = topics.ensure(&names).await {
        if !std::mem::replace(&mut told, true) {
            tracing::warn!(error = %Chain(&error), "the topics of collections are not there yet");
        }
        if matches!(error, QueueError::None(_)) {
            return;
        }
        tokio::time::sleep(TOPICS_PAUSE).await;
    }
}

/// Between attempts to have proxies look at users, roles and grants anew.
const REFRESH_PAUSE: Duration = Duration::from_secs(1);

/// How long proxies are left with what they know, for the default grants to be there before they
/// look. Nearly always they are there already.
const DEFAULTS_PATIENCE: Duration = Duration::from_secs(5);

/// Has proxies look at users, roles and grants anew: they may have missed what an earlier term
/// changed, and what this one has to make first.
struct Refresher {
    peers: Arc<dyn Peers>,
    gate: Arc<Gate>,
    clock: Arc<dyn Clock>,
    proof_patience: Duration,
}

impl Refresher {
    async fn run(self, mut defaults_made: oneshot::Receiver<()>) {
        let in_time = tokio::time::timeout(DEFAULTS_PATIENCE, &mut defaults_made).await.is_ok();
        self.refresh().await;
        if !in_time && defaults_made.await.is_ok() {
            self.refresh().await;
        }
    }

    /// Until all have done so, or the term is over.
    async fn refresh(&self) {
        loop {
            match self.gate.admit(self.clock.boot(), self.proof_patience).await {
                Err(NotServing::Ended(_)) => return,
                Err(NotServing::Unproven(_)) => {}
                Ok(()) => match self.peers.refresh_policy(PolicyChange::ReloadAll).await {
                    Ok(()) => return,
                    Err(error) => tracing::warn!(error = %error, "failed to refresh the policies of proxies"),
                },
            }
            tokio::time::sleep(REFRESH_PAUSE).await;
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
