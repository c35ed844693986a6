//! The stage of a scenario: etcd, machines, instances and clients, and the ways to hurt them.

use std::time::Duration;

use etcd_client::proto::PbLeaseRevokeRequest;
use milvus_coord::{election::rules::Rules, ids::Role};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use tokio_util::sync::CancellationToken;

use super::fault::{Extent, Fault, InstanceIndex, MachineIndex, Prefix};
use crate::{
    client::{self, ClientSettings},
    coord::{self, Controls, CoordSettings, Obituaries, Start, Trace},
    fake_etcd::{
        cluster::{Proposal, WatchFault},
        fate::{Fate, FateRule, Odds},
        record::Origin,
        server::FakeEtcd,
    },
    history::History,
    world::{ETCD_PORT, MachineId, ProcessId, World, WorldSettings},
};

/// Hosts of clients.
const CLIENT_HOSTS: usize = 2;
/// Clients on each.
const CLIENTS_PER_HOST: usize = 2;

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
        }
    }
}

struct Instance {
    machine: MachineIndex,
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
    settings: StageSettings,
    machines: Vec<MachineId>,
    instances: Vec<Instance>,
    obituaries: Obituaries,
    clients: CancellationToken,
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
        for host in 0..CLIENT_HOSTS {
            let loops: Vec<ClientSettings> = (0..CLIENTS_PER_HOST)
                .map(|index| ClientSettings {
                    id: host * CLIENTS_PER_HOST + index,
                    seed: rng.random(),
                    etcd: (0..settings.extent.members).map(World::member_name).collect(),
                    history: history.clone(),
                    now: world.clock(),
                    names: ["a", "b", "c", "d"].map(str::to_owned).to_vec(),
                    think: Duration::from_millis(15)..Duration::from_millis(130),
                    stop: clients.clone(),
                })
                .collect();
            world.host(&client_host(host), move || async move {
                futures::future::join_all(loops.into_iter().map(client::run)).await;
            });
        }
        let mut stage = Self {
            world,
            etcd,
            history,
            trace,
            settings,
            machines,
            instances: Vec::new(),
            obituaries: Obituaries::default(),
            clients,
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

    fn add(&mut self, machine: MachineIndex) {
        let index = self.instances.len();
        let (process, controls) = self.launch(index, machine, 0);
        self.instances.push(Instance { machine, process, controls, starts: 1 });
    }

    fn launch(&mut self, index: InstanceIndex, machine: MachineIndex, starts: u32) -> (ProcessId, Controls) {
        let controls = Controls::default();
        let endpoints = (0..self.settings.extent.members)
            .map(|member| format!("{}:{ETCD_PORT}", World::member_name(member)))
            .collect();
        let start = Start {
            settings: CoordSettings::new(endpoints, self.settings.rules),
            port: coord::PORT + u16::try_from(index).unwrap_or_default(),
            trace: self.trace.clone(),
            obituaries: self.obituaries.clone(),
            machine: self.world.name(self.machines[machine]).to_owned(),
            controls: controls.clone(),
        };
        let name = Self::process_name(index, starts);
        self.trace.tell(&name, "starts");
        let process = self.world.start(self.machines[machine], &name, |env| coord::main(env, start));
        (process, controls)
    }

    fn process_name(index: InstanceIndex, starts: u32) -> String {
        format!("rc{index}.{starts}")
    }

    /// The process that the instance is now.
    pub fn process(&self, index: InstanceIndex) -> ProcessId {
        self.instances[index].process
    }

    /// Where it runs.
    pub fn machine(&self, index: MachineIndex) -> MachineId {
        self.machines[index]
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

    fn on(&self, machine: MachineIndex) -> Vec<InstanceIndex> {
        (0..self.instances.len()).filter(|index| self.instances[*index].machine == machine).collect()
    }

    fn name(&self, machine: MachineIndex) -> String {
        self.world.name(self.machines[machine]).to_owned()
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
            Fault::Kill(index) | Fault::Restart(index) => self.kill(index),
            Fault::Terminate(index) => self.terminate(index),
            Fault::Freeze(index) => {
                let process = self.process(index);
                self.world.freeze(process);
            }
            Fault::Pause(machine, _) => self.world.pause(self.machines[machine]),
            Fault::PowerLoss(machine) => {
                // Nobody on the machine is left to hear of it.
                self.world.lose(self.machines[machine]);
                for index in self.on(machine) {
                    self.publish(index);
                }
            }
            Fault::CutFromEtcd(machine, member) => {
                for etcd in self.members(member) {
                    let name = self.name(machine);
                    self.world.cut(&name, &etcd);
                }
            }
            Fault::CutPeers(a, b) => self.world.cut(&self.name(a), &self.name(b)),
            Fault::CutClients(machine) => {
                for host in 0..CLIENT_HOSTS {
                    let name = self.name(machine);
                    self.world.cut(&name, &client_host(host));
                }
            }
            Fault::Reject(a, b, both) => {
                let (a, b) = (self.machines[a], self.machines[b]);
                self.world.reject(a, b);
                if both {
                    self.world.reject(b, a);
                }
                self.world.reset(a, b);
            }
            Fault::Reset(a, b) => self.world.reset(self.machines[a], self.machines[b]),
            Fault::Trouble(machine, errno) => self.world.set_trouble(self.machines[machine], Some(errno)),
            Fault::WallJump(machine, ms) => {
                self.world.time(self.machines[machine]).jump_wall(i128::from(ms) * 1_000_000);
            }
            Fault::Drift(machine, ppm) => self.world.time(self.machines[machine]).set_drift(ppm),
            Fault::RevokeActive => self.revoke_active(),
            Fault::Late(from, prefix, delay) => self.delay(from, prefix, delay),
            Fault::Unheard(odds) => self.etcd.fates(|fates| fates.odds.unheard = odds),
            Fault::Lost(odds) => self.etcd.fates(|fates| fates.odds.lost = odds),
            Fault::EtcdNoLeader
            | Fault::EtcdMoveLeader(_)
            | Fault::EtcdIsolate(_)
            | Fault::EtcdStaleLeader
            | Fault::EtcdHang(_)
            | Fault::EtcdOutage
            | Fault::EtcdLag(..)
            | Fault::WatchLag(..)
            | Fault::EtcdFull
            | Fault::Compact => self.begin_etcd(fault),
        }
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
            Fault::WatchLag(member, lag) => {
                cluster.set_watch_faults(vec![WatchFault { member: Some(member), containing: None, lag }]);
            }
            Fault::EtcdFull => cluster.set_out_of_space(true),
            Fault::Compact => cluster.compact_all(),
            _ => {}
        });
    }

    /// Ends a fault.
    pub fn end(&mut self, fault: &Fault) {
        self.trace.tell("mended", &format!("{fault:?}"));
        match *fault {
            Fault::Kill(index) | Fault::Restart(index) | Fault::Terminate(index) => self.revive(index),
            Fault::Freeze(index) => {
                let process = self.process(index);
                self.world.thaw(process);
            }
            Fault::Pause(machine, noticed) => self.world.resume(self.machines[machine], noticed),
            Fault::PowerLoss(machine) => {
                self.world.bring_back(self.machines[machine]);
                for index in self.on(machine) {
                    self.revive(index);
                }
            }
            Fault::CutFromEtcd(machine, member) => {
                for etcd in self.members(member) {
                    let name = self.name(machine);
                    self.world.mend(&name, &etcd);
                }
            }
            Fault::CutPeers(a, b) => self.world.mend(&self.name(a), &self.name(b)),
            Fault::CutClients(machine) => {
                for host in 0..CLIENT_HOSTS {
                    let name = self.name(machine);
                    self.world.mend(&name, &client_host(host));
                }
            }
            Fault::Reject(a, b, _) => {
                let (a, b) = (self.machines[a], self.machines[b]);
                self.world.allow(a, b);
                self.world.allow(b, a);
            }
            Fault::Trouble(machine, _) => self.world.set_trouble(self.machines[machine], None),
            Fault::Drift(machine, _) => self.world.time(self.machines[machine]).set_drift(0),
            Fault::Late(..) => self.etcd.fates(crate::fake_etcd::fate::Fates::clear_rules),
            Fault::Unheard(_) => self.etcd.fates(|fates| fates.odds.unheard = 0.0),
            Fault::Lost(_) => self.etcd.fates(|fates| fates.odds.lost = 0.0),
            Fault::Reset(..) | Fault::WallJump(..) | Fault::RevokeActive => {}
            Fault::EtcdNoLeader
            | Fault::EtcdMoveLeader(_)
            | Fault::EtcdIsolate(_)
            | Fault::EtcdStaleLeader
            | Fault::EtcdHang(_)
            | Fault::EtcdOutage
            | Fault::EtcdLag(..)
            | Fault::WatchLag(..)
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
            Fault::WatchLag(..) => cluster.set_watch_faults(vec![]),
            Fault::EtcdFull => cluster.set_out_of_space(false),
            _ => {}
        });
    }

    fn delay(&self, from: Option<InstanceIndex>, prefix: Prefix, delay: Duration) {
        let keys = coord::keys();
        let writing = match prefix {
            Prefix::Any => None,
            Prefix::Windows => Some(format!("{}/gid/", keys.kv())),
            Prefix::Databases => Some(format!("{}/root-coord/", keys.meta())),
            Prefix::Active => Some(keys.active(Role::RootCoord)),
        };
        let rule = FateRule {
            from: from.map(|index| format!("rc{index}.")),
            writing: writing.map(String::into_bytes),
            fate: Fate::after(delay),
            times: 3,
        };
        self.etcd.fates(|fates| fates.add_rule(rule));
    }

    fn revoke_active(&self) {
        let active = coord::keys().active(Role::RootCoord);
        self.etcd.with(|cluster, now| {
            let lease = cluster.store().get(active.as_bytes()).map_or(0, |kv| kv.lease);
            let set_out = cluster.store().revision();
            let revoke = Proposal::Revoke(PbLeaseRevokeRequest { id: lease });
            // Nobody may hold the key just now.
            let _ = cluster.apply(&revoke, &Origin::new("operator"), set_out, now);
        });
    }

    /// Whatever is still wrong is mended, and everybody runs.
    pub fn mend_all(&mut self) {
        for index in 0..self.instances.len() {
            let process = self.process(index);
            self.world.thaw(process);
            self.revive(index);
        }
    }

    /// No more calls.
    pub fn stop_clients(&self) {
        self.clients.cancel();
    }
}
