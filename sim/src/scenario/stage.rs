//! The stage of a scenario: etcd, machines, instances and clients, and the ways to hurt them.

use std::{sync::Arc, time::Duration};

use etcd_client::proto::{PbDeleteRequest, PbLeaseRevokeRequest, PbPutRequest};
use milvus_coord::{
    election::{pause::Pause, rules::Rules},
    ids::Role,
};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::fault::{Extent, Fault, InstanceIndex, Target, Writing};
use crate::{
    client::{self, Agenda, ClientSettings, Subject},
    coord::{self, Controls, CoordSettings, Obituaries, Start, Trace},
    fake_etcd::{
        cluster::{Proposal, WatchFault},
        fate::{Fate, FateRule, Fates, Matching, Odds},
        record::Origin,
        server::FakeEtcd,
    },
    history::{Call, History},
    others::{Broker, Others, Trouble},
    world::{ETCD_PORT, MachineId, ProcessId, World, WorldSettings},
};

/// Hosts of clients.
const CLIENT_HOSTS: usize = 2;
/// What the clients on each are about.
const CLIENTS: [Subject; 3] = [Subject::Numbers, Subject::Numbers, Subject::Schema];

/// How many orders may wait for one client; no scenario gives so many at once.
const ORDERS: usize = 64;

/// How many proposals a fault delays.
const DELAYED: u32 = 3;

/// Who decides what clients call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// They themselves, by chance.
    Random,
    /// Whoever gives them [`orders`](Stage::order).
    Ordered,
}

/// What a stage is made of.
#[derive(Clone, Copy, Debug)]
pub struct StageSettings {
    /// From it everything is drawn.
    pub seed: u64,
    /// How many of what.
    pub extent: Extent,
    /// Which rules hold.
    pub rules: Rules,
    /// How far time goes in one step.
    pub tick: Duration,
    /// The longest time that a message takes.
    pub latency: Duration,
    /// Machines' clocks may differ by so many milliseconds.
    pub skew: i64,
    /// Answers to progress requests may overtake events.
    pub progress_overtakes: bool,
    /// Every answer needs a proof of its own.
    pub strict: bool,
    /// Who decides what clients call.
    pub cast: Cast,
    /// Who should be ACTIVE.
    pub preference: Preference,
}

/// Who should be ACTIVE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preference {
    /// Anybody.
    None,
    /// Each instance has a higher priority than those before it, but every third one.
    Priorities,
    /// The same, and preferred ones ask for the role.
    Failback,
}

impl StageSettings {
    /// Drawn from a seed.
    pub fn draw(seed: u64, rules: Rules) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let instances = rng.random_range(2..=5);
        // Mostly one instance per machine; else some share one.
        let machines = if rng.random_bool(0.8) { instances } else { rng.random_range(1..=instances) };
        let members = if rng.random_bool(0.6) { 3 } else { 1 };
        Self {
            seed,
            extent: Extent { instances, machines, members },
            rules,
            tick: Duration::from_millis([1, 2, 5][rng.random_range(0..3)]),
            latency: Duration::from_millis([0, 1, 3, 10][rng.random_range(0..4)]),
            skew: [0, 50, 2_000][rng.random_range(0..3)],
            progress_overtakes: rng.random_bool(0.5),
            strict: rng.random_bool(0.3),
            cast: Cast::Random,
            preference: [Preference::None, Preference::Priorities, Preference::Failback]
                [rng.random_range(0..3)],
        }
    }
}

struct Instance {
    machine: usize,
    process: ProcessId,
    controls: Controls,
    starts: u32,
}

/// The stage.
pub struct Stage {
    /// Machines and network.
    pub world: World,
    /// Etcd.
    pub etcd: FakeEtcd,
    /// What clients asked and heard.
    pub history: History,
    /// What instances told.
    pub trace: Trace,
    /// What they sent.
    pub broker: Broker,
    settings: StageSettings,
    machines: Vec<MachineId>,
    instances: Vec<Instance>,
    obituaries: Obituaries,
    clients: CancellationToken,
    orders: Vec<mpsc::Sender<Call>>,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn client_host(index: usize) -> String {
    format!("clients-{index}")
}

impl Stage {
    /// Sets it up: etcd and machines are there, instances start within half a second.
    pub fn new(settings: StageSettings) -> Self {
        let mut rng = SmallRng::seed_from_u64(settings.seed ^ 0x73_7461_6765);
        let world_settings =
            WorldSettings { seed: settings.seed, tick: settings.tick, latency: settings.latency };
        let mut world = World::new(world_settings);
        let etcd = world.etcd(settings.extent.members, Duration::from_secs(1), Odds::default());
        etcd.with(|cluster, _| cluster.progress_overtakes = settings.progress_overtakes);
        let machines = (0..settings.extent.machines)
            .map(|index| {
                let skew = rng.random_range(-settings.skew..=settings.skew) * 1_000_000;
                world.machine(&format!("coord-{index}"), skew, rng.random_range(-200..=200))
            })
            .collect();
        let history = History::default();
        let trace = Trace::new(world.clock());
        let clients = CancellationToken::new();
        let mut orders = Vec::new();
        for host in 0..CLIENT_HOSTS {
            let loops: Vec<(ClientSettings, Agenda)> = (0..CLIENTS.len())
                .map(|index| {
                    let client = ClientSettings {
                        id: host * CLIENTS.len() + index,
                        seed: rng.random(),
                        etcd: (0..settings.extent.members).map(World::member_name).collect(),
                        history: history.clone(),
                        now: world.clock(),
                        subject: CLIENTS[index],
                        names: ["a", "b", "c", "d"].map(str::to_owned).to_vec(),
                        think: match CLIENTS[index] {
                            Subject::Numbers => Duration::from_millis(15)..Duration::from_millis(130),
                            // Fewer calls that say more.
                            Subject::Schema => Duration::from_millis(40)..Duration::from_millis(250),
                        },
                        // Every other one keeps its connection as long as that works.
                        restless: if settings.cast == Cast::Ordered || index % 2 == 0 { 0.0 } else { 0.25 },
                        stop: clients.clone(),
                    };
                    let agenda = match settings.cast {
                        Cast::Random => Agenda::Random,
                        Cast::Ordered => {
                            let (sender, receiver) = mpsc::channel(ORDERS);
                            orders.push(sender);
                            Agenda::Ordered(receiver)
                        }
                    };
                    (client, agenda)
                })
                .collect();
            world.host(&client_host(host), move || async move {
                let clients = loops.into_iter().map(|(client, agenda)| client::run(client, agenda));
                futures::future::join_all(clients).await;
            });
        }
        let mut stage = Self {
            world,
            etcd,
            history,
            trace,
            broker: Broker::default(),
            settings,
            machines,
            instances: Vec::new(),
            obituaries: Obituaries::default(),
            clients,
            orders,
        };
        for index in 0..settings.extent.instances {
            stage.add(index % settings.extent.machines);
            stage.world.run_for(Duration::from_millis(rng.random_range(0..100)));
        }
        stage
    }

    /// What it was made of.
    pub fn settings(&self) -> &StageSettings {
        &self.settings
    }

    fn add(&mut self, machine: usize) {
        let index = self.instances.len();
        let (process, controls) = self.launch(index, machine, 0);
        self.instances.push(Instance { machine, process, controls, starts: 1 });
    }

    fn launch(&mut self, index: InstanceIndex, machine: usize, starts: u32) -> (ProcessId, Controls) {
        let controls = Controls::default();
        let endpoints = (0..self.settings.extent.members)
            .map(|member| format!("{}:{ETCD_PORT}", World::member_name(member)))
            .collect();
        let name = Self::process_name(index, starts);
        let trouble = match self.settings.cast {
            Cast::Random => Trouble::SOME,
            Cast::Ordered => Trouble::default(),
        };
        let seed = self.settings.seed ^ ((index as u64) << 40) ^ (u64::from(starts) << 32);
        let others = Others::new(&name, self.broker.clone(), trouble, seed);
        let start = Start {
            settings: self.coord(index, endpoints),
            port: coord::PORT + u16::try_from(index).unwrap_or_default(),
            trace: self.trace.clone(),
            obituaries: self.obituaries.clone(),
            machine: self.world.name(self.machines[machine]).to_owned(),
            controls: controls.clone(),
            others: Arc::new(others),
        };
        self.trace.tell(&name, "starts");
        let process = self.world.start(self.machines[machine], &name, |env| coord::main(env, start));
        (process, controls)
    }

    fn coord(&self, index: InstanceIndex, endpoints: Vec<String>) -> CoordSettings {
        let StageSettings { rules, strict, preference, .. } = self.settings;
        let rank = i32::try_from(index % 3).unwrap_or_default();
        CoordSettings {
            priority: if preference == Preference::None { 0 } else { rank },
            failback: (preference == Preference::Failback).then_some(Duration::from_millis(700)),
            ..CoordSettings::new(endpoints, rules, strict)
        }
    }

    fn process_name(index: InstanceIndex, starts: u32) -> String {
        format!("rc{index}.{starts}")
    }

    /// The process that the instance is now.
    pub fn process(&self, index: InstanceIndex) -> ProcessId {
        self.instances[index].process
    }

    /// The machine of an instance.
    fn machine(&self, target: Target) -> MachineId {
        self.machines[self.instances[Self::index(target)].machine]
    }

    /// The instance whose process that is.
    pub fn instance_of(&self, origin: &Origin) -> Option<InstanceIndex> {
        (0..self.instances.len()).find(|index| self.world.origin(self.process(*index)) == origin)
    }

    /// Which instance is meant, if `active` is the ACTIVE one.
    pub fn aim(&self, target: Target, active: InstanceIndex) -> Target {
        let count = self.instances.len();
        Target::Nth(match target {
            Target::Nth(index) => index,
            Target::Active => active,
            Target::Standby(which) => (active + 1 + which % (count - 1).max(1)) % count,
        })
    }

    /// Faults are aimed before they begin.
    fn index(target: Target) -> InstanceIndex {
        match target {
            Target::Nth(index) => index,
            Target::Active | Target::Standby(_) => 0,
        }
    }

    /// Moves everything by one tick; tells of processes that have ended by themselves.
    pub fn step(&mut self) -> Vec<InstanceIndex> {
        let alive: Vec<bool> =
            self.instances.iter().map(|instance| self.world.is_alive(instance.process)).collect();
        self.world.step();
        let mut ended = Vec::new();
        for (index, was_alive) in alive.into_iter().enumerate() {
            if was_alive && !self.world.is_alive(self.instances[index].process) {
                self.publish(index);
                ended.push(index);
            }
        }
        ended
    }

    fn publish(&self, index: InstanceIndex) {
        let instance = &self.instances[index];
        let machine = self.world.name(self.machines[instance.machine]);
        self.obituaries.publish(machine, self.world.origin(instance.process).name());
    }

    /// SIGKILL.
    pub fn kill(&mut self, index: InstanceIndex) {
        if self.world.is_alive(self.process(index)) {
            self.trace.tell(&Self::process_name(index, self.instances[index].starts - 1), "killed");
            self.world.kill(self.process(index));
            self.publish(index);
        }
    }

    /// Starts the instance again if it does not run.
    pub fn revive(&mut self, index: InstanceIndex) {
        if self.world.is_alive(self.process(index)) {
            return;
        }
        let (machine, starts) = (self.instances[index].machine, self.instances[index].starts);
        let (process, controls) = self.launch(index, machine, starts);
        self.instances[index] = Instance { machine, process, controls, starts: starts + 1 };
    }

    /// SIGTERM.
    pub fn terminate(&self, index: InstanceIndex) {
        self.instances[index].controls.stop.cancel();
    }

    fn on(&self, machine: MachineId) -> Vec<InstanceIndex> {
        (0..self.instances.len()).filter(|index| self.machine(Target::Nth(*index)) == machine).collect()
    }

    fn name(&self, target: Target) -> String {
        self.world.name(self.machine(target)).to_owned()
    }

    fn members(&self, only: Option<usize>) -> Vec<String> {
        (0..self.settings.extent.members)
            .filter(|member| only.is_none_or(|only| only == *member))
            .map(World::member_name)
            .collect()
    }

    /// Lets a fault happen, or begin.
    pub fn begin(&mut self, fault: &Fault) {
        self.trace.tell("fault", &format!("{fault:?}"));
        match *fault {
            Fault::Kill(at) | Fault::Restart(at) => self.kill(Self::index(at)),
            Fault::Terminate(at) => self.terminate(Self::index(at)),
            Fault::Freeze(at) => self.world.freeze(self.process(Self::index(at))),
            Fault::Pause(at, _) => self.world.pause(self.machine(at)),
            Fault::PowerLoss(at) => {
                let machine = self.machine(at);
                self.world.lose(machine);
                // Nobody on the machine is left to hear of it.
                for index in self.on(machine) {
                    self.publish(index);
                }
            }
            Fault::CutFromEtcd(at, member) => {
                for etcd in self.members(member) {
                    self.world.cut(&self.name(at), &etcd);
                }
            }
            Fault::CutPeers(a, b) if self.machine(a) != self.machine(b) => {
                self.world.cut(&self.name(a), &self.name(b));
            }
            Fault::CutClients(at) => {
                for host in 0..CLIENT_HOSTS {
                    self.world.cut(&self.name(at), &client_host(host));
                }
            }
            Fault::Reject(a, b, both) => {
                let (a, b) = (self.machine(a), self.machine(b));
                self.world.reject(a, b);
                if both {
                    self.world.reject(b, a);
                }
                self.world.reset(a, b);
            }
            Fault::Reset(a, b) => self.world.reset(self.machine(a), self.machine(b)),
            Fault::Trouble(at, errno) => self.world.set_trouble(self.machine(at), Some(errno)),
            Fault::WallJump(at, ms) => {
                self.world.time(self.machine(at)).jump_wall(i128::from(ms) * 1_000_000);
            }
            Fault::Drift(at, ppm) => self.world.time(self.machine(at)).set_drift(ppm),
            Fault::WatchLag(at, lag) => {
                let of = Some(format!("rc{}.", Self::index(at)));
                self.lag_watches(WatchFault { of, lag, ..WatchFault::default() });
            }
            Fault::MemberWatchLag(member, lag) => {
                self.lag_watches(WatchFault { member: Some(member), lag, ..WatchFault::default() });
            }
            Fault::RevokeActive => self.revoke_active(),
            Fault::PauseTakeover => self.pause_takeover(true),
            Fault::Late(from, writing, delay) => self.delay(from, writing, delay, DELAYED),
            Fault::Unheard(odds) => self.etcd.fates(|fates| fates.odds.unheard = odds),
            Fault::Lost(odds) => self.etcd.fates(|fates| fates.odds.lost = odds),
            Fault::CutPeers(..)
            | Fault::EtcdNoLeader
            | Fault::EtcdMoveLeader(_)
            | Fault::EtcdIsolate(_)
            | Fault::EtcdStaleLeader
            | Fault::EtcdHang(_)
            | Fault::EtcdOutage
            | Fault::EtcdLag(..)
            | Fault::EtcdFull
            | Fault::Compact => self.begin_etcd(fault),
        }
    }

    fn lag_watches(&self, fault: WatchFault) {
        self.etcd.with(|cluster, _| cluster.add_watch_fault(fault));
    }

    fn begin_etcd(&self, fault: &Fault) {
        self.etcd.with(|cluster, now| match *fault {
            Fault::EtcdNoLeader => cluster.drop_leader(now),
            Fault::EtcdMoveLeader(to) => cluster.move_leader(to, now),
            Fault::EtcdIsolate(member) => cluster.isolate(member, now),
            Fault::EtcdStaleLeader => cluster.make_leader_stale(now),
            Fault::EtcdHang(member) => cluster.set_hung(member, true),
            Fault::EtcdOutage => (0..cluster.size()).for_each(|member| cluster.set_hung(member, true)),
            Fault::EtcdLag(member, lag) => cluster.set_lag(member, lag),
            Fault::EtcdFull => cluster.set_out_of_space(true),
            Fault::Compact => cluster.compact_all(),
            _ => {}
        });
    }

    /// Ends a fault.
    pub fn end(&mut self, fault: &Fault) {
        self.trace.tell("mended", &format!("{fault:?}"));
        match *fault {
            Fault::Kill(at) | Fault::Restart(at) | Fault::Terminate(at) => self.revive(Self::index(at)),
            Fault::Freeze(at) => self.world.thaw(self.process(Self::index(at))),
            Fault::Pause(at, noticed) => self.world.resume(self.machine(at), noticed),
            Fault::PowerLoss(at) => {
                let machine = self.machine(at);
                self.world.bring_back(machine);
                for index in self.on(machine) {
                    self.revive(index);
                }
            }
            Fault::CutFromEtcd(at, member) => {
                for etcd in self.members(member) {
                    self.world.mend(&self.name(at), &etcd);
                }
            }
            Fault::CutPeers(a, b) if self.machine(a) != self.machine(b) => {
                self.world.mend(&self.name(a), &self.name(b));
            }
            Fault::CutClients(at) => {
                for host in 0..CLIENT_HOSTS {
                    self.world.mend(&self.name(at), &client_host(host));
                }
            }
            Fault::Reject(a, b, _) => {
                let (a, b) = (self.machine(a), self.machine(b));
                self.world.allow(a, b);
                self.world.allow(b, a);
            }
            Fault::Trouble(at, _) => self.world.set_trouble(self.machine(at), None),
            Fault::Drift(at, _) => self.world.time(self.machine(at)).set_drift(0),
            Fault::Late(..) => self.etcd.fates(Fates::clear_rules),
            Fault::Unheard(_) => self.etcd.fates(|fates| fates.odds.unheard = 0.0),
            Fault::Lost(_) => self.etcd.fates(|fates| fates.odds.lost = 0.0),
            Fault::PauseTakeover => self.pause_takeover(false),
            Fault::CutPeers(..) | Fault::Reset(..) | Fault::WallJump(..) | Fault::RevokeActive => {}
            Fault::WatchLag(..)
            | Fault::MemberWatchLag(..)
            | Fault::EtcdNoLeader
            | Fault::EtcdMoveLeader(_)
            | Fault::EtcdIsolate(_)
            | Fault::EtcdStaleLeader
            | Fault::EtcdHang(_)
            | Fault::EtcdOutage
            | Fault::EtcdLag(..)
            | Fault::EtcdFull
            | Fault::Compact => self.end_etcd(fault),
        }
    }

    fn end_etcd(&self, fault: &Fault) {
        self.etcd.with(|cluster, now| match *fault {
            Fault::EtcdIsolate(member) => cluster.heal(member, now),
            // Whoever it was.
            Fault::EtcdStaleLeader => (0..cluster.size()).for_each(|member| cluster.heal(member, now)),
            Fault::EtcdHang(member) => cluster.set_hung(member, false),
            Fault::EtcdOutage => (0..cluster.size()).for_each(|member| cluster.set_hung(member, false)),
            Fault::EtcdLag(member, _) => cluster.set_lag(member, Duration::ZERO),
            Fault::WatchLag(..) | Fault::MemberWatchLag(..) => cluster.clear_watch_faults(),
            Fault::EtcdFull => cluster.set_out_of_space(false),
            _ => {}
        });
    }

    /// The next `times` proposals of one instance, or of anybody, are carried out so much later.
    pub fn delay(&self, from: Option<Target>, writing: Writing, delay: Duration, times: u32) {
        let keys = coord::keys();
        let writes = |prefix: String| Matching::Writing(prefix.into_bytes());
        let matching = match writing {
            Writing::Any => Matching::Any,
            Writing::Windows => writes(format!("{}/gid/", keys.kv())),
            Writing::Databases => writes(format!("{}/root-coord/", keys.meta())),
            Writing::Active => writes(keys.active(Role::RootCoord)),
            Writing::Revokes => Matching::Revokes,
        };
        let from = from.map(|target| format!("rc{}.", Self::index(target)));
        let rule = FateRule { from, matching, fate: Fate::after(delay), times };
        self.etcd.fates(|fates| fates.add_rule(rule));
    }

    fn revoke_active(&self) {
        let active = coord::keys().active(Role::RootCoord);
        self.etcd.with(|cluster, now| {
            let lease = cluster.store().get(active.as_bytes()).map_or(0, |kv| kv.lease);
            let set_out = cluster.store().revision();
            let revoke = Proposal::Revoke(PbLeaseRevokeRequest { id: lease });
            // Nobody may hold the key just now.
            let _ = cluster.apply(&revoke, &Origin::operator(), set_out, now);
        });
    }

    fn pause_takeover(&self, paused: bool) {
        let key = coord::keys().pause(Role::RootCoord).into_bytes();
        // Ended by the operator long before its time.
        let pause = Pause { since_ms: 0, until_ms: u64::MAX, ..Pause::default() };
        let write = if paused {
            Proposal::Put(PbPutRequest { key, value: pause.encode(), ..Default::default() })
        } else {
            Proposal::Delete(PbDeleteRequest { key, ..Default::default() })
        };
        self.etcd.with(|cluster, now| {
            let set_out = cluster.store().revision();
            // Etcd may have no space.
            let _ = cluster.apply(&write, &Origin::operator(), set_out, now);
        });
    }

    /// Whatever is still wrong is mended, and everybody runs.
    pub fn mend_all(&mut self) {
        for index in 0..self.instances.len() {
            self.world.thaw(self.process(index));
            self.revive(index);
        }
    }

    /// Lets a client call this, after what it was told to call before.
    ///
    /// # Panics
    /// The scenario has no such client, or none that takes orders.
    pub fn order(&self, client: usize, call: Call) {
        self.orders[client].try_send(call).expect("a client takes its orders as they come");
    }

    /// No more calls.
    pub fn stop_clients(&self) {
        self.clients.cancel();
    }
}
