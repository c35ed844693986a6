use super::*;
use crate::{
    clock::UnixNanos,
    election::{gate::GateSettings, rules::Rules},
    etcd::{commit::memory::MemoryStore, mirror::MirrorEvent},
    ids::Epoch,
    mq::memory::MemoryQueue,
    rootcoord::{
        channels::ChannelNaming,
        keys::Keys,
        peers::memory::MemoryPeers,
        testing::TestClock,
        tick::{TickEvents, TickWorker},
    },
    telemetry::{events::Events, metrics::Metrics},
    tso::{
        ids::AHEAD,
        window::{Ahead, Span},
    },
};

mod collections;
mod databases;
mod old_releases;

const NOW: UnixNanos = UnixNanos(1_800_000_000_000_000_000);
const PATIENCE: Duration = Duration::from_secs(3);
const SERVER: ServerId = ServerId(9);
/// Longer than any test, in virtual time.
const LONG: Duration = Duration::from_secs(1_000_000);

#[derive(Debug, Default)]
struct Heard(Mutex<Vec<String>>);

impl DdlWitness for Heard {
    fn no_default_database(&self, failure: &Failure) {
        self.0.lock().push(failure.to_string());
    }

    fn changed(&self, _catalog: &Catalog) {}

    fn job_waits(&self, step: &str, failure: &Failure) {
        self.0.lock().push(format!("{step}: {failure}"));
    }

    fn unknown_channel(&self, name: &str) {
        self.0.lock().push(name.to_owned());
    }

    fn noted(&self, _note: &Note<'_>) {}
}

/// A term on a store, a queue and peers in memory.
struct Bed {
    store: Arc<MemoryStore>,
    queue: Arc<MemoryQueue>,
    peers: Arc<MemoryPeers>,
    catalog: Arc<SharedCatalog>,
    channels: Arc<Mutex<Channels>>,
    ddl: Ddl,
    timestamps: Arc<Timestamps>,
    heard: Arc<Heard>,
    finish: CancellationToken,
    stop: CancellationToken,
    tasks: TaskTracker,
    ready: oneshot::Receiver<()>,
}

fn limits() -> Limits {
    Limits { channels: 4, ..Limits::default() }
}

fn keys() -> Keys {
    Keys::new("by-dev/meta", "by-dev/kv")
}

impl Bed {
    /// A term on that store, whose timestamps begin at `start`; the mirror is complete.
    fn term(store: Arc<MemoryStore>, start: UnixNanos) -> Self {
        Self::term_with(store, Arc::default(), Arc::default(), start, limits())
    }

    fn term_with(
        store: Arc<MemoryStore>,
        queue: Arc<MemoryQueue>,
        peers: Arc<MemoryPeers>,
        start: UnixNanos,
        limits: Limits,
    ) -> Self {
        let clock: Arc<dyn Clock> =
            Arc::new(TestClock { begun: tokio::time::Instant::now(), offset_millis: 0.into() });
        let ahead = Ahead::for_lease(Duration::from_secs(5));
        let span = Span { start, end: start + ahead.most(), clock: start, refused_lead: None };
        let timestamps = Arc::new(Timestamps::new(&span, ahead));
        let ids = Arc::new(Ids::new(&Span { end: start + AHEAD, ..span }));
        let mut catalog = Catalog::new(keys());
        catalog.event(&MirrorEvent::Reset);
        for kv in store.keys() {
            catalog.event(&MirrorEvent::Entry(kv));
        }
        let header = crate::etcd::call::Header { revision: store.revision(), ..Default::default() };
        catalog.event(&MirrorEvent::Loaded(header));
        store.take_events();
        let mut channels = Channels::new(&ChannelNaming::numbered("by-dev-rootcoord-dml", 4));
        channels.inherit(catalog.channels());
        let catalog = Arc::new(SharedCatalog { catalog: Mutex::new(catalog), moved: Notify::new() });
        let heard = Arc::new(Heard::default());
        let (finish, stop, tasks) = <(CancellationToken, CancellationToken, TaskTracker)>::default();
        let settings = GateSettings { proof_window: LONG, strict: false, rules: Rules::default() };
        let gate = Arc::new(Gate::new(Epoch(100), settings, clock.clone()));
        gate.lease_valid_until(clock.boot() + LONG);
        gate.proven(clock.boot());
        let events =
            Events::new(crate::ids::Role::RootCoord, Metrics::new(crate::ids::Role::RootCoord, &*clock));
        let ticks = TickWorker {
            queue: queue.clone(),
            gate: gate.clone(),
            timestamps: timestamps.clone(),
            clock: clock.clone(),
            server: SERVER,
            interval: Duration::from_millis(200),
            proof_patience: Duration::from_secs(1),
            witness: Arc::new(TickEvents::new(events, clock.clone())),
            stop: stop.clone(),
        };
        let (ticker, run) = ticks.prepare(&Default::default(), channels.in_use(), true);
        tasks.spawn(run);
        let channels = Arc::new(Mutex::new(channels));
        let tools = Tools {
            catalog: catalog.clone(),
            store: store.clone(),
            timestamps: timestamps.clone(),
            ids,
            clock,
            gate,
            proof_patience: Duration::from_secs(1),
            queue: queue.clone(),
            ticker,
            messages: true,
            peers: peers.clone(),
            channels: channels.clone(),
            limits,
            under_way: Mutex::default(),
            server: SERVER,
            term: Epoch(store.revision().0 + 1),
            witness: heard.clone(),
            last_write: Arc::new(AtomicI64::new(0)),
            finish: finish.clone(),
            stop: stop.clone(),
            requests: tasks.clone(),
            jobs: tasks.clone(),
        };
        let ddl = Ddl::new(tools, PATIENCE);
        let (told, ready) = oneshot::channel();
        ddl.repair(told);
        Self { store, queue, peers, catalog, channels, ddl, timestamps, heard, finish, stop, tasks, ready }
    }

    async fn new() -> Self {
        let mut bed = Self::term(Arc::default(), NOW);
        (&mut bed.ready).await.expect("ready");
        bed
    }

    async fn carry_out(&self, request: Request) -> Result<(), Failure> {
        self.ddl.carry_out(request).await.result.map(|_| ())
    }

    /// What the mirror has heard since the last call reaches the catalog.
    fn mirror(&self) {
        for event in self.store.take_events() {
            self.catalog.catalog.lock().event(&event);
        }
        self.catalog.moved.notify_waiters();
    }

    async fn end(self) -> Arc<MemoryStore> {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.store
    }

    /// The next term on the same store, queue and peers.
    async fn successor(self, start: UnixNanos) -> Self {
        let (queue, peers) = (self.queue.clone(), self.peers.clone());
        Self::term_with(self.end().await, queue, peers, start, limits())
    }
}
