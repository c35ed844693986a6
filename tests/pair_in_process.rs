//! Instances in one process on a real etcd: election and takeover, without a role of their own.

use std::{sync::Arc, time::Duration};

use milvus_coord::{
    clock::BootInstant,
    clock::{Clock, SystemClock, UnixNanos},
    election::{
        core::{RoleCore, Stake, Term},
        death_watch::{DeathWatch, LockFiles},
        gate::GateSettings,
        instance::{DeathWatchOf, Handles, Instance, InstanceSettings, World},
        life::Exit,
        notes::{Note, Witness},
        peer_service::StatusSource as _,
        rules::Rules,
        standing::Standing,
    },
    etcd::{
        Etcd,
        keys::Keys,
        mirror::{KeyRange, MirrorEvent},
        settings::EtcdSettings,
        txn::KeyValue,
    },
    ids::{Revision, Role},
    net::{BoxFuture, Tcp},
    rpc::{
        Identity,
        gatehouse::{Gatehouse, GatehouseSettings, NoHooks},
        server::{Server, ServerSettings, Services, Sizes},
    },
};
use milvus_coord_testbed::etcd::Etcd as EtcdServers;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

const PATIENCE: Duration = Duration::from_secs(20);

/// A role without anything to do but to be ACTIVE.
#[derive(Debug, Default)]
struct Idle {
    term: parking_lot::Mutex<Option<Term>>,
}

impl RoleCore for Idle {
    fn role(&self) -> Role {
        Role::RootCoord
    }

    fn ranges(&self) -> Vec<KeyRange> {
        vec![]
    }

    fn mirror(&self, _event: &MirrorEvent) {}

    fn stake(&self, _now: UnixNanos) -> Stake {
        Stake::default()
    }

    fn restake(&self, _seen: &[(String, Option<KeyValue>)]) {}

    fn activate(&self, term: Term) -> BoxFuture<'_, Result<(), String>> {
        *self.term.lock() = Some(term);
        Box::pin(async { Ok(()) })
    }

    fn drain(&self) -> BoxFuture<'_, Revision> {
        Box::pin(async { Revision(0) })
    }

    fn deactivate(&self) -> BoxFuture<'_, ()> {
        *self.term.lock() = None;
        Box::pin(async {})
    }
}

#[derive(Debug)]
struct Tell(&'static str);

impl Witness for Tell {
    fn note(&self, at: BootInstant, note: &Note) {
        eprintln!("{:>12.3} {} {note:?}", at.since_boot().as_secs_f64(), self.0);
    }
}

struct Running {
    handles: Handles,
    core: Arc<Idle>,
    stop: CancellationToken,
    task: JoinHandle<Exit>,
    server: Server,
    gatehouse: Arc<Gatehouse>,
}

struct Ground {
    etcd: EtcdServers,
    run_directory: tempfile::TempDir,
}

impl Ground {
    async fn new() -> Self {
        Self { etcd: EtcdServers::single().await.unwrap(), run_directory: tempfile::tempdir().unwrap() }
    }

    async fn start(&self, name: &'static str, certain: bool) -> Running {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let dial = Arc::new(Tcp { connect_timeout: Duration::from_millis(200) });
        let etcd =
            Etcd::new(EtcdSettings::new(self.etcd.endpoints()), dial.clone(), Arc::clone(&clock)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let death_watch: Arc<dyn DeathWatch> = if certain {
            Arc::new(LockFiles::open(self.run_directory.path(), "test", Role::RootCoord).unwrap())
        } else {
            Arc::new(milvus_coord::election::death_watch::NoDeathWatch)
        };
        let core = Arc::new(Idle::default());
        let settings = InstanceSettings {
            role: Role::RootCoord,
            address,
            host_name: "test".to_owned(),
            keys: Keys::new("by-dev", "meta", "kv"),
            active_standby: true,
            lease_ttl: Duration::from_secs(5),
            gate: GateSettings {
                proof_window: Duration::from_millis(100),
                strict: false,
                rules: Rules::default(),
            },
            fast_takeover: true,
            foreign_wait: Duration::ZERO,
            exit_on_loss: false,
            rounds: 30,
            write_timeout: Duration::from_secs(1),
            rules: Rules::default(),
        };
        let death_watch = DeathWatchOf(Arc::new(move |_| Arc::clone(&death_watch)));
        let world = World { etcd, dial: dial.clone(), clock, death_watch };
        let (instance, handles) =
            Instance::new(settings, world, Arc::clone(&core) as _, Arc::new(Tell(name)), vec![]);
        let gatehouse = Arc::new(Gatehouse::new(
            Arc::new(Identity::new("by-dev")),
            handles.standing.clone(),
            GatehouseSettings::default(),
            dial,
            TaskTracker::new(),
            Arc::new(NoHooks),
        ));
        let services = Services::new(Sizes::default()).peer(Arc::new(handles.peer_service.clone()));
        let server =
            Server::start(Box::new(listener), services, Arc::clone(&gatehouse), ServerSettings::default())
                .unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(instance.run(stop.clone(), Arc::new(|| Box::pin(async {}))));
        Running { handles, core, stop, task, server, gatehouse }
    }
}

impl Running {
    async fn until(&self, what: impl Fn(&Standing) -> bool) -> Standing {
        let mut standing = self.handles.standing.clone();
        let reached = tokio::time::timeout(PATIENCE, standing.wait_for(what));
        reached.await.expect("in time").expect("alive").clone()
    }

    async fn active(&self) {
        self.until(|standing| matches!(standing, Standing::Active { .. })).await;
        let term = self.core.term.lock().clone().expect("a term");
        term.gate.admit(SystemClock.boot(), Duration::from_secs(1)).await.expect("open");
    }

    async fn standby(&self) {
        self.until(|standing| matches!(standing, Standing::Standby { active: Some(_) })).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_stop_hands_over() {
    let ground = Ground::new().await;
    let first = ground.start("first", false).await;
    first.active().await;
    let second = ground.start("second", false).await;
    second.standby().await;
    // The stream of the second to the first is what makes it a possible successor.
    tokio::time::sleep(Duration::from_millis(500)).await;
    first.stop.cancel();
    second.active().await;
    assert_eq!(first.task.await.unwrap(), Exit::Done);
    let status = second.handles.vitals.status();
    eprintln!("{status:?}");
    second.stop.cancel();
    assert_eq!(second.task.await.unwrap(), Exit::Done);
    let _ = (first.server, second.gatehouse);
}
