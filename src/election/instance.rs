//! One instance of a role, put together: from waiting for etcd to the end of its life.
//!
//! What the server needs (where the instance stands, its id, the peer service) exists
//! before etcd has answered, so that the port is open from the start.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    election::{
        core::RoleCore,
        death_watch::DeathWatch,
        driver::{Driver, DriverSettings, Quiesce},
        gate::GateSettings,
        hub::PeerHub,
        life::{Exit, Life, LifeSettings},
        notes::{Note, Witness},
        observer::{MirrorListener, Observed, Observer},
        peer_service::{Command, PeerService},
        rules::Rules,
        session::Session,
        standing::Standing,
        tasks::Ground,
        vitals::Vitals,
    },
    etcd::{
        Etcd,
        keys::Keys,
        mirror::{KeyRange, Mirror, MirrorEvent, MirrorPlan},
        server_id::draw_server_id,
    },
    ids::{Role, ServerId},
    net::Dial,
    telemetry::log::Chain,
};

/// One attempt to take a server id.
const SERVER_ID_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two attempts.
const SERVER_ID_PAUSE: Duration = Duration::from_secs(1);
/// Events of tasks that wait for the driver.
const INBOX: usize = 1024;
/// Commands that wait for it.
const COMMANDS: usize = 16;

/// What an instance is told and does not change.
#[derive(Clone, Debug)]
pub struct InstanceSettings {
    /// The role.
    pub role: Role,
    /// `host:port` that goes into the session.
    pub address: String,
    /// Goes into the session.
    pub host_name: String,
    /// Where everything lies in etcd.
    pub keys: Keys,
    /// Off: the process has the exclusive key or ends.
    pub active_standby: bool,
    /// Time to live of the lease to ask for.
    pub lease_ttl: Duration,
    /// W and strictness.
    pub gate: GateSettings,
    /// Whether hints and certain news depose, or only the lease.
    pub fast_takeover: bool,
    /// How much longer than W a successor of a foreign coordinator waits before it answers.
    pub foreign_wait: Duration,
    /// Who should be ACTIVE: the instance with the highest one.
    pub priority: i32,
    /// After how long of being ready a preferred standby asks the ACTIVE one for the role; `None`:
    /// never.
    pub failback: Option<Duration>,
    /// Ends the process when a term is lost.
    pub exit_on_loss: bool,
    /// Rounds of ten seconds to wait for an exclusive key.
    pub rounds: u32,
    /// One attempt of a fenced write.
    pub write_timeout: Duration,
    /// All of them, outside simulations.
    pub rules: Rules,
}

/// What of the outside world an instance stands on.
#[derive(Clone, Debug)]
pub struct World {
    /// Calls to etcd.
    pub etcd: Etcd,
    /// Connections to peers.
    pub dial: Arc<dyn Dial>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Certain news of other processes' ends, once it is known which etcd cluster this
    /// is: the same role and id can exist in two clusters on one machine.
    pub death_watch: DeathWatchOf,
}

/// Makes the death watch for an etcd cluster, named by its id.
#[derive(Clone)]
pub struct DeathWatchOf(pub Arc<dyn Fn(u64) -> Arc<dyn DeathWatch> + Send + Sync>);

impl std::fmt::Debug for DeathWatchOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeathWatchOf")
    }
}

/// What the rest of the process may hold on to.
#[derive(Clone, Debug)]
pub struct Handles {
    /// Where the instance stands.
    pub standing: watch::Receiver<Standing>,
    /// Its id; 0 until etcd has given it one.
    pub own: watch::Receiver<ServerId>,
    /// What the mirror shows of sessions; empty until it has begun.
    pub observed: watch::Receiver<Observed>,
    /// For operators.
    pub vitals: Arc<Vitals>,
    /// To be served beside the role's service.
    pub peer_service: PeerService,
}

/// An instance that has not begun yet.
pub struct Instance {
    settings: InstanceSettings,
    world: World,
    core: Arc<dyn RoleCore>,
    witness: Arc<dyn Witness>,
    listeners: Vec<Arc<dyn MirrorListener>>,
    hub: Arc<PeerHub>,
    vitals: Arc<Vitals>,
    commands: mpsc::Receiver<Command>,
    standing: watch::Sender<Standing>,
    own: watch::Sender<ServerId>,
    observed: watch::Sender<Observed>,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Passes the mirror's events on to the role.
struct Feed(Arc<dyn RoleCore>);

impl MirrorListener for Feed {
    fn ranges(&self) -> Vec<KeyRange> {
        self.0.ranges()
    }

    fn hear(&self, event: &MirrorEvent) {
        self.0.mirror(event);
    }
}

impl Instance {
    /// An instance, and what the rest of the process may hold of it. `listeners` hear
    /// every event of the mirror after the role.
    pub fn new(
        settings: InstanceSettings,
        world: World,
        core: Arc<dyn RoleCore>,
        witness: Arc<dyn Witness>,
        mut listeners: Vec<Arc<dyn MirrorListener>>,
    ) -> (Self, Handles) {
        let (standing, standing_receiver) = watch::channel(Standing::default());
        let (own, own_receiver) = watch::channel(ServerId(0));
        let (observed, observed_receiver) = watch::channel(Observed::default());
        let (command_sender, commands) = mpsc::channel(COMMANDS);
        let hub = PeerHub::new(settings.role, Arc::clone(&world.clock));
        let vitals = Vitals::new(
            settings.role,
            settings.address.clone(),
            Arc::clone(&world.clock),
            world.etcd.clone(),
            standing_receiver.clone(),
            observed_receiver.clone(),
        );
        let peer_service = PeerService::new(Arc::clone(&hub), command_sender, Arc::clone(&vitals) as _);
        let handles = Handles {
            standing: standing_receiver,
            own: own_receiver,
            observed: observed_receiver,
            vitals: Arc::clone(&vitals),
            peer_service,
        };
        listeners.insert(0, Arc::new(Feed(Arc::clone(&core))));
        let instance = Self {
            settings,
            world,
            core,
            witness,
            listeners,
            hub,
            vitals,
            commands,
            standing,
            own,
            observed,
        };
        (instance, handles)
    }

    /// Lives until told to `stop`, or until its life ends by itself. `quiesce` waits
    /// until the calls that were admitted have ended.
    pub async fn run(self, stop: CancellationToken, quiesce: Quiesce) -> Exit {
        let Some(own) = stop.run_until_cancelled(self.take_server_id()).await else { return Exit::Done };
        self.own.send_replace(own);
        self.vitals.begun(own);
        let cluster_id = self.world.etcd.cluster().borrow().cluster_id;
        let death_watch = (self.world.death_watch.0)(cluster_id);
        if let Err(error) = death_watch.declare(own) {
            tracing::warn!(%error, "no lock file: others learn of this process's end by its connections only");
        }

        let settings = &self.settings;
        let (role, keys) = (settings.role, &settings.keys);
        let mut wanted = vec![keys.sessions(), keys.pauses()];
        wanted.extend(self.listeners.iter().flat_map(|listener| listener.ranges()));
        let mut observer = Observer::new(keys, self.observed, self.listeners);
        let plan = MirrorPlan { watch: keys.everything(), wanted };
        let mirror = Arc::new(Mirror::start(
            self.world.etcd.clone(),
            plan,
            Box::new(move |event| observer.hear(&event)),
        ));

        let (events, inbox) = mpsc::channel(INBOX);
        let session = Session {
            priority: settings.priority,
            ..Session::coordinator(role, own, settings.address.clone(), settings.host_name.clone())
        };
        let ground = Ground {
            etcd: self.world.etcd.clone(),
            dial: Arc::clone(&self.world.dial),
            clock: Arc::clone(&self.world.clock),
            core: Arc::clone(&self.core),
            active_key: keys.active(role),
            own_key: settings.active_standby.then(|| keys.instance(role.name(), own)),
            session,
            lease_ttl: settings.lease_ttl,
            pulse: self.vitals.pulse().clone(),
            rules: settings.rules,
            events,
        };
        let (life, first) = Life::begin(LifeSettings {
            own,
            address: settings.address.clone(),
            proof_window: settings.gate.proof_window,
            lease_ttl: settings.lease_ttl,
            listed: settings.active_standby,
            fast_takeover: settings.fast_takeover,
            foreign_wait: settings.foreign_wait,
            failback: settings.failback,
            exit_on_loss: settings.exit_on_loss,
            rounds: (!settings.active_standby).then_some(settings.rounds),
            rules: settings.rules,
        });
        let driver = Driver {
            settings: DriverSettings {
                role,
                own,
                keys: keys.clone(),
                priority: settings.priority,
                gate: settings.gate,
                write_timeout: settings.write_timeout,
                fast_takeover: settings.fast_takeover,
            },
            ground,
            mirror: Arc::clone(&mirror),
            observed: self.vitals.observed(),
            death_watch,
            hub: self.hub,
            vitals: self.vitals,
            inbox,
            commands: self.commands,
            standing: self.standing,
            quiesce,
            witness: self.witness,
            stop,
        };
        let exit = driver.run(life, first).await;
        mirror.stop().await;
        exit
    }

    fn note(&self, note: Note) {
        self.witness.note(self.world.clock.boot(), &note);
    }

    /// Waits for etcd for as long as it takes.
    async fn take_server_id(&self) -> ServerId {
        loop {
            match draw_server_id(&self.world.etcd, &self.settings.keys, SERVER_ID_TIMEOUT).await {
                Ok(id) => {
                    self.note(Note::EtcdAnswers);
                    return id;
                }
                Err(error) => {
                    let endpoints = self.world.etcd.endpoints().to_owned();
                    self.note(Note::EtcdAwaited(endpoints, Chain(&error).to_string()));
                }
            }
            tokio::time::sleep(SERVER_ID_PAUSE).await;
        }
    }
}
