//! A rootcoord as a process of a simulated machine: all of its code, on the machine's
//! network and clocks.

use std::{fmt, io, sync::Arc, time::Duration};

use milvus_coord::{
    clock::BootInstant,
    config::{Config, Sources},
    election::{
        death_watch::{DeathWatch, OnGone},
        gate::GateSettings,
        history::{Course, Reason, StageTimes},
        instance::{DeathWatchOf, Handles, Instance, InstanceSettings, World as Outside},
        notes::{Note, Witness},
        rules::Rules,
        standing::Peer,
    },
    etcd::{Etcd, keys::Keys, settings::EtcdSettings},
    ids::{Epoch, Role, ServerId},
    net::BoxFuture,
    rootcoord::{
        access::Defaults,
        collections::Limits,
        core::{Reach, RootCoord, RootCoordSettings},
        events::RootCoordEvents,
        metrics_info::Deployment,
        service::{NoProxies, Parts, RootCoordService},
        tick::TickEvents,
    },
    rpc::{
        Identity,
        gatehouse::{Gatehouse, GatehouseSettings, NoHooks},
        server::{Server, ServerSettings, Services, Sizes},
    },
    telemetry::{
        events::Events,
        http::{Health, HealthSource},
        metrics::{LiveFigures, Metrics},
    },
};
use parking_lot::Mutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{machine::process::Env, others::Others};

/// The role's usual port.
pub const PORT: u16 = 53100;
/// Milvus's default.
const MAX_DATABASES: usize = 64;

/// How the processes of a scenario are configured.
#[derive(Clone, Debug)]
pub struct CoordSettings {
    /// Etcd's members.
    pub endpoints: Vec<String>,
    /// Time to live of the leases.
    pub lease_ttl: Duration,
    /// W, strictness and which rules hold.
    pub gate: GateSettings,
    /// Whether anything but the lease deposes.
    pub fast_takeover: bool,
    /// Who should be ACTIVE: the highest.
    pub priority: i32,
    /// After how long a preferred one asks for the role, if it does.
    pub failback: Option<Duration>,
}

impl CoordSettings {
    /// Leases of two seconds, the least that etcd grants.
    pub fn new(endpoints: Vec<String>, rules: Rules, strict: bool) -> Self {
        Self {
            endpoints,
            lease_ttl: Duration::from_secs(2),
            gate: GateSettings { proof_window: Duration::from_millis(100), strict, rules },
            fast_takeover: true,
            priority: 0,
            failback: None,
        }
    }
}

/// Where everything lies in etcd.
pub fn keys() -> Keys {
    Keys::new("by-dev", "meta", "kv")
}

/// What processes tell of themselves, with the simulation's time.
#[derive(Clone)]
pub struct Trace {
    now: crate::fake_etcd::server::Now,
    lines: Arc<Mutex<Vec<String>>>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").finish_non_exhaustive()
    }
}

impl Trace {
    /// An empty one.
    pub fn new(now: crate::fake_etcd::server::Now) -> Self {
        Self { now, lines: Arc::default() }
    }

    /// Adds a line.
    pub fn tell(&self, who: &str, what: &str) {
        let now = (self.now)().as_secs_f64();
        self.lines.lock().push(format!("{now:>9.3} {who}: {what}"));
    }

    /// All lines.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().clone()
    }
}

/// Passes an instance's notes on to the trace.
#[derive(Debug)]
struct Teller {
    trace: Trace,
    who: String,
}

impl Witness for Teller {
    fn note(&self, _: BootInstant, note: &Note) {
        self.trace.tell(&self.who, &format!("{note:?}"));
    }

    /// Measures nothing, but lets the history be kept.
    fn course(&self, _: Epoch) -> Option<Course> {
        let (stages, total) = (StageTimes::default(), Duration::ZERO);
        Some(Course { reason: Reason::Start, from: None, stages, total })
    }
}

/// Certain news of the ends of processes, as the kernel of their machine has it.
#[derive(Clone, Debug, Default)]
pub struct Obituaries(Arc<Mutex<Registry>>);

#[derive(Default)]
struct Registry {
    alive: Vec<(String, String, ServerId)>,
    waiting: Vec<(String, String, ServerId, OnGone)>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("alive", &self.alive).finish_non_exhaustive()
    }
}

impl Obituaries {
    /// The process is gone: those on its machine who wait for that are told, and nothing of
    /// the process is told any more. To be called from outside of all processes.
    pub fn publish(&self, machine: &str, process: &str) {
        let news: Vec<(ServerId, OnGone)> = {
            let mut registry = self.0.lock();
            registry.waiting.retain(|(_, waiter, ..)| waiter != process);
            let gone: Vec<ServerId> = registry
                .alive
                .extract_if(.., |(on, name, _)| on == machine && name == process)
                .map(|(_, _, id)| id)
                .collect();
            registry
                .waiting
                .extract_if(.., |(on, _, id, _)| on == machine && gone.contains(id))
                .map(|(_, _, id, on_gone)| (id, on_gone))
                .collect()
        };
        for (id, on_gone) in news {
            on_gone(id);
        }
    }

    fn of(&self, machine: String, process: String) -> Arc<dyn DeathWatch> {
        Arc::new(MachineWatch { obituaries: self.clone(), machine, process })
    }
}

#[derive(Debug)]
struct MachineWatch {
    obituaries: Obituaries,
    machine: String,
    process: String,
}

impl DeathWatch for MachineWatch {
    fn declare(&self, own: ServerId) -> io::Result<()> {
        self.obituaries.0.lock().alive.push((self.machine.clone(), self.process.clone(), own));
        Ok(())
    }

    fn watch(&self, of: ServerId, on_gone: OnGone) {
        let mut registry = self.obituaries.0.lock();
        let here = registry.alive.iter().any(|(on, _, id)| *on == self.machine && *id == of);
        let known = registry.waiting.iter().any(|(_, who, id, _)| *who == self.process && *id == of);
        if here && !known {
            registry.waiting.push((self.machine.clone(), self.process.clone(), of, on_gone));
        }
    }
}

/// How a process is told to do something from outside.
#[derive(Clone, Debug, Default)]
pub struct Controls {
    /// SIGTERM.
    pub stop: CancellationToken,
}

/// What a process is started with, besides its machine.
#[derive(Clone, Debug)]
pub struct Start {
    /// Configuration.
    pub settings: CoordSettings,
    /// Where it listens.
    pub port: u16,
    /// Where it tells.
    pub trace: Trace,
    /// What its machine knows of the ends of others.
    pub obituaries: Obituaries,
    /// The name of its machine.
    pub machine: String,
    /// Signals.
    pub controls: Controls,
    /// The rest of the cluster.
    pub others: Arc<Others>,
}

#[derive(Debug)]
struct InstanceHealth {
    address: String,
    handles: Handles,
}

impl HealthSource for InstanceHealth {
    fn health(&self) -> Health {
        let own = *self.handles.own.borrow();
        let peer = Peer { server_id: own, address: self.address.clone() };
        Health::of(Role::RootCoord, (own.0 != 0).then_some(&peer), &self.handles.standing.borrow())
    }

    fn live(&self) -> LiveFigures {
        LiveFigures::default()
    }
}

/// The main function: from the port to the exit code.
///
/// # Panics
/// The configuration of the simulation itself is wrong.
pub async fn main(env: Env, start: Start) -> i32 {
    let Start { settings, port, trace, obituaries, machine, controls, others } = start;
    let name = env.origin.name().to_owned();
    let listener = match env.listen(port).await {
        Ok(listener) => listener,
        Err(error) => {
            trace.tell(&name, &format!("can't listen: {error}"));
            return 1;
        }
    };
    let address = format!("{}:{port}", env.ip);
    let keys = keys();
    let config = Config::load(&Sources::default(), Role::RootCoord).expect("defaults are right");
    let metrics = Metrics::new(Role::RootCoord, &*env.clock);
    let events = Events::new(Role::RootCoord, Arc::clone(&metrics));
    let etcd_settings = EtcdSettings::new(settings.endpoints.clone());
    let etcd = Etcd::new(etcd_settings, env.dial(Duration::from_secs(1)), Arc::clone(&env.clock))
        .expect("endpoints are right");
    let dial = env.dial(Duration::from_millis(200));
    let core = Arc::new(RootCoord::new(
        RootCoordSettings {
            limits: Limits { databases: MAX_DATABASES, ..Limits::default() },
            // Hashes of passwords are random.
            defaults: Arc::new(Defaults::none()),
            ..RootCoordSettings::new(keys.meta().to_owned(), keys.kv().to_owned(), settings.lease_ttl)
        },
        Arc::clone(&env.clock),
        Reach {
            queue: Arc::clone(&others) as _,
            topics: Arc::clone(&others) as _,
            peers: others,
            ticks: Arc::new(TickEvents::new(events.clone(), Arc::clone(&env.clock))),
        },
        RootCoordEvents::new(events.clone()),
    ));
    let watch = obituaries.of(machine.clone(), name.clone());
    let (instance, handles) = Instance::new(
        InstanceSettings {
            role: Role::RootCoord,
            address: address.clone(),
            host_name: machine,
            keys,
            active_standby: true,
            lease_ttl: settings.lease_ttl,
            gate: settings.gate,
            fast_takeover: settings.fast_takeover,
            foreign_wait: Duration::ZERO,
            priority: settings.priority,
            failback: settings.failback,
            exit_on_loss: false,
            rounds: 30,
            write_timeout: Duration::from_secs(1),
            rules: settings.gate.rules,
        },
        Outside {
            etcd,
            dial: Arc::clone(&dial),
            clock: Arc::clone(&env.clock),
            death_watch: DeathWatchOf(Arc::new(move |_| Arc::clone(&watch))),
        },
        Arc::clone(&core) as _,
        Arc::new(Teller { trace: trace.clone(), who: name.clone() }),
        vec![],
    );
    let tasks = TaskTracker::new();
    let identity = Arc::new(Identity::new("by-dev"));
    let gatehouse = Arc::new(Gatehouse::new(
        Arc::clone(&identity),
        handles.standing.clone(),
        GatehouseSettings::default(),
        dial,
        tasks.clone(),
        Arc::new(NoHooks),
    ));
    let service = RootCoordService::new(
        Parts {
            core,
            clock: Arc::clone(&env.clock),
            config: Arc::clone(&config.store),
            channels: config.settings.channels.clone(),
            deployment: Deployment::default(),
            proxies: Arc::new(NoProxies),
        },
        Arc::new(InstanceHealth { address: address.clone(), handles: handles.clone() }),
    );
    let services = Services::new(Sizes::default())
        .root_coord(Arc::new(service))
        .peer(Arc::new(handles.peer_service.clone()));
    let server = Server::start(listener, services, Arc::clone(&gatehouse), ServerSettings::default())
        .expect("the listener is bound");

    let mut own = handles.own.clone();
    let naming = async move {
        if let Ok(id) = own.wait_for(|id| id.0 != 0).await {
            identity.set_server_id(*id);
        }
    };
    tasks.spawn(controls.stop.clone().run_until_cancelled_owned(naming));
    let quiesce = Arc::new(move || {
        let gatehouse = Arc::clone(&gatehouse);
        Box::pin(async move {
            gatehouse.drain(Duration::from_secs(1)).await;
        }) as BoxFuture<'static, ()>
    });
    let exit = instance.run(controls.stop.clone(), quiesce).await;
    controls.stop.cancel();
    server.stop(Duration::from_secs(5)).await;
    tasks.close();
    tasks.wait().await;
    trace.tell(&name, &format!("{exit:?}"));
    0
}
