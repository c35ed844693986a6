//! Instances of rootcoord on a store in memory, for tests of this folder.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    clock::{BootInstant, Clock, UnixNanos},
    election::{
        core::RoleCore as _,
        gate::{Gate, GateSettings},
        rules::Rules,
    },
    etcd::{
        call::Header,
        commit::{Commit as _, memory::MemoryStore},
        mirror::MirrorEvent,
        store::{Write, WriteError},
        txn::Op,
    },
    ids::{Epoch, Role, ServerId},
    mq::{NoQueue, memory::MemoryQueue},
    rootcoord::{
        core::{Caller, Reach, RootCoord, RootCoordSettings},
        ddl::Request,
        events::RootCoordEvents,
        failure::Failure,
        keys::RequestId,
        peers::memory::MemoryPeers,
        quota::QuotaSettings,
        serving::Tenure,
        tick::TickEvents,
    },
    telemetry::{events::Events, metrics::Metrics},
    tso::hybrid::Timestamp,
};

/// The age at which a proof no longer counts.
pub(crate) const W: Duration = Duration::from_millis(100);
/// When tests begin.
pub(crate) const START: UnixNanos = UnixNanos(1_800_000_000_000_000_000);

/// Both clocks go with tokio's, and the wall clock can be moved.
#[derive(Debug)]
pub(crate) struct TestClock {
    pub(crate) begun: tokio::time::Instant,
    pub(crate) offset_millis: AtomicI64,
}

impl Clock for TestClock {
    fn boot(&self) -> BootInstant {
        BootInstant::from_boot(Duration::from_secs(1_000) + self.begun.elapsed())
    }

    fn wall(&self) -> UnixNanos {
        let offset = self.offset_millis.load(Ordering::SeqCst) * 1_000_000;
        UnixNanos((START + self.begun.elapsed()).0.saturating_add_signed(offset))
    }
}

/// Instances of rootcoord on one store, with a campaign that does what the election's does.
pub(crate) struct Bed {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) queue: Arc<MemoryQueue>,
    pub(crate) peers: Arc<MemoryPeers>,
    /// Whether, and how, proxies are told limits.
    pub(crate) quota: Option<QuotaSettings>,
}

/// One of them.
pub(crate) struct Instance {
    pub(crate) core: Arc<RootCoord>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) over: CancellationToken,
    pub(crate) gate: Option<Arc<Gate>>,
    /// What the one that hands over says that it has given out.
    pub(crate) told: Option<UnixNanos>,
}

impl Bed {
    pub(crate) fn new() -> Self {
        let begun = tokio::time::Instant::now();
        let clock = Arc::new(TestClock { begun, offset_millis: 0.into() });
        Self { store: Arc::default(), clock, queue: Arc::default(), peers: Arc::default(), quota: None }
    }

    pub(crate) fn instance(&self) -> Instance {
        let metrics = Metrics::new(Role::RootCoord, &*self.clock);
        let events = RootCoordEvents::new(Events::new(Role::RootCoord, metrics));
        let settings = RootCoordSettings {
            quota: self.quota.clone(),
            ..RootCoordSettings::new("by-dev/meta".to_owned(), "by-dev/kv".to_owned(), Duration::from_secs(5))
        };
        let ticks = Events::new(Role::RootCoord, Metrics::new(Role::RootCoord, &*self.clock));
        let reach = Reach {
            queue: self.queue.clone(),
            topics: Arc::new(NoQueue("a test".to_owned())),
            peers: self.peers.clone(),
            ticks: Arc::new(TickEvents::new(ticks, self.clock.clone())),
        };
        let core = Arc::new(RootCoord::new(settings, self.clock.clone(), reach, events));
        let instance = Instance {
            core,
            clock: self.clock.clone(),
            over: CancellationToken::new(),
            gate: None,
            told: None,
        };
        instance.load(&self.store);
        instance
    }
}

impl Instance {
    pub(crate) fn load(&self, store: &MemoryStore) {
        self.core.mirror(&MirrorEvent::Reset);
        for kv in store.keys() {
            self.core.mirror(&MirrorEvent::Entry(kv));
        }
        let header = Header { revision: store.revision(), ..Header::default() };
        self.core.mirror(&MirrorEvent::Loaded(header));
        store.take_events();
    }

    /// One transaction with what is staked, upon whatever term there is.
    pub(crate) async fn campaign(&self, store: &MemoryStore) -> Option<Epoch> {
        let stake = self.core.stake(self.clock.wall(), self.told);
        let mut write = Write { guards: stake.guards, ops: stake.puts };
        write.ops.push(Op::put("by-dev/meta/session/rootcoord", "me"));
        match store.commit_settled(&write).await {
            Ok(committed) => Some(Epoch(committed.revision.0)),
            Err(WriteError::Conflict { keys, seen }) => {
                self.core.restake(&keys.into_iter().zip(seen).collect::<Vec<_>>());
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn begin(&mut self, store: &Arc<MemoryStore>, epoch: Epoch) -> Result<(), String> {
        for event in store.take_events() {
            self.core.mirror(&event);
        }
        self.over = CancellationToken::new();
        let settings = GateSettings { proof_window: W, strict: false, rules: Rules::default() };
        let gate = Arc::new(Gate::new(epoch, settings, self.clock.clone()));
        self.gate = Some(gate.clone());
        self.prove();
        let tenure = Tenure {
            epoch,
            server: ServerId(9),
            store: store.clone(),
            gate,
            over: self.over.clone(),
            clock: self.clock.clone(),
        };
        self.core.begin(tenure).await
    }

    pub(crate) fn prove(&self) {
        let gate = self.gate.as_ref().expect("a term");
        gate.lease_valid_until(self.clock.boot() + Duration::from_secs(60));
        gate.proven(self.clock.boot());
    }

    /// Wins, and serves.
    pub(crate) async fn take_over(&mut self, store: &Arc<MemoryStore>) -> Epoch {
        let epoch = self.campaign(store).await.expect("nobody else is there");
        self.begin(store, epoch).await.expect("the windows are as staked");
        epoch
    }

    pub(crate) async fn timestamp(&self, count: u32) -> Result<Timestamp, Failure> {
        self.prove();
        self.core.alloc_timestamps(self.clock.boot(), count).await
    }

    pub(crate) async fn id(&self, count: u32) -> Result<i64, Failure> {
        self.prove();
        self.core.alloc_ids(self.clock.boot(), count).await
    }

    pub(crate) fn caller(&self) -> Caller {
        Caller { arrived: self.clock.boot(), message: 1 }
    }

    pub(crate) async fn create(&self, name: &str, request: Option<RequestId>) -> Result<(), Failure> {
        self.prove();
        let request = Request::CreateDatabase { name: name.to_owned(), id: request };
        self.core.change(self.caller(), request).await
    }

    pub(crate) async fn names(&self) -> Result<Vec<String>, Failure> {
        self.prove();
        let listed = self.core.list_databases(self.caller()).await?;
        Ok(listed.into_iter().map(|database| database.name).collect())
    }

    pub(crate) fn hear(&self, store: &MemoryStore) {
        for event in store.take_events() {
            self.core.mirror(&event);
        }
    }
}
