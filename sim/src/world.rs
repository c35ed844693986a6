//! A network of machines with processes on them, and everything that can happen to these.
//!
//! Time goes in steps: the network and what lives in it move by one tick, then every
//! process that is not frozen does, in an order drawn from the seed.

use std::{
    collections::BTreeMap,
    future::Future,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use milvus_coord::clock::UnixNanos;
use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::SmallRng, seq::SliceRandom};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::{
    fake_etcd::{
        cluster::{Cluster, MemberIndex},
        fate::Odds,
        record::Origin,
        server::{FakeEtcd, Now},
    },
    machine::{
        kernel::{Firewall, Kernel, KernelHandle, Names, Open},
        process::{Connections, Ended, Env, Process},
        time::MachineTime,
    },
    net::TurmoilListener,
};

/// How many calls a kernel may have waiting.
const CALLS: usize = 256;
/// Etcd's port.
pub const ETCD_PORT: u16 = 2379;
/// When the simulation begins: some day in 2026, in nanoseconds since 1970.
const EPOCH: u64 = 1_780_000_000_000_000_000;

/// A machine of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MachineId(usize);

/// A process of a world. A restart is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessId(usize);

/// What a world is made with.
#[derive(Clone, Copy, Debug)]
pub struct WorldSettings {
    /// From it everything is drawn.
    pub seed: u64,
    /// How far time goes in one step; whole milliseconds.
    pub tick: Duration,
    /// The longest time that a message takes.
    pub latency: Duration,
}

impl WorldSettings {
    /// Ticks of a millisecond, and a network of up to two.
    pub fn seeded(seed: u64) -> Self {
        Self { seed, tick: Duration::from_millis(1), latency: Duration::from_millis(2) }
    }
}

struct Machine {
    name: String,
    kernel: KernelHandle,
    time: Arc<MachineTime>,
    /// Since when its clocks stand still.
    stopped: Option<Duration>,
}

struct Slot {
    machine: MachineId,
    origin: Origin,
    process: Option<Process>,
    ended: Option<Ended>,
}

/// The world.
pub struct World {
    sim: turmoil::Sim<'static>,
    settings: WorldSettings,
    now: Arc<AtomicU64>,
    hosts: Vec<String>,
    machines: Vec<Machine>,
    processes: Vec<Slot>,
    names: Names,
    firewall: Firewall,
    connections: Connections,
    /// How many faults hold each link.
    holds: BTreeMap<(String, String), u32>,
    rng: SmallRng,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("now", &self.now()).field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

fn link(a: &str, b: &str) -> (String, String) {
    if a < b { (a.to_owned(), b.to_owned()) } else { (b.to_owned(), a.to_owned()) }
}

impl World {
    /// An empty world.
    pub fn new(settings: WorldSettings) -> Self {
        let sim = turmoil::Builder::new()
            .rng_seed(settings.seed)
            .tick_duration(settings.tick)
            .min_message_latency(Duration::ZERO)
            .max_message_latency(settings.latency)
            .epoch(std::time::UNIX_EPOCH + Duration::from_nanos(EPOCH))
            // The runner sets the end, and a scenario ends long before this.
            .simulation_duration(Duration::from_secs(24 * 3600))
            .tcp_capacity(1024)
            .enable_random_order()
            .build();
        Self {
            sim,
            settings,
            now: Arc::new(AtomicU64::new(0)),
            hosts: Vec::new(),
            machines: Vec::new(),
            processes: Vec::new(),
            names: Names::default(),
            firewall: Firewall::default(),
            connections: Connections::default(),
            holds: BTreeMap::new(),
            rng: SmallRng::seed_from_u64(settings.seed ^ 0x7072_6f63_6573_7365),
        }
    }

    /// Time since the world began.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.now.load(Ordering::Relaxed))
    }

    /// The same, for those who live in it.
    pub fn clock(&self) -> Now {
        let now = Arc::clone(&self.now);
        Arc::new(move || {
            turmoil::sim_elapsed().unwrap_or_else(|| Duration::from_nanos(now.load(Ordering::Relaxed)))
        })
    }

    /// Adds a host that can't be frozen or killed: a client.
    pub fn host<F, Fut>(&mut self, name: &str, main: F)
    where
        F: FnOnce() -> Fut + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        self.hosts.push(name.to_owned());
        self.names.add(name, self.sim.lookup(name));
        let main = Mutex::new(Some(main));
        self.sim.host(name, move || {
            let main = main.lock().take();
            async move {
                if let Some(main) = main {
                    main().await;
                }
                // A host that ends is no longer moved by turmoil.
                std::future::pending().await
            }
        });
    }

    /// Adds an etcd cluster, each member on a host of its own: `etcd-0`, `etcd-1`, …
    pub fn etcd(&mut self, members: usize, election_timeout: Duration, odds: Odds) -> FakeEtcd {
        let connections = self.connections.clone();
        let etcd = FakeEtcd::new(
            Cluster::new(members, election_timeout),
            odds,
            self.settings.seed ^ 0x6574_6364,
            self.clock(),
            Arc::new(move |from| connections.origin(from)),
        );
        for member in 0..members {
            let etcd = etcd.clone();
            self.host(&Self::member_name(member), move || async move {
                let listener = TurmoilListener::bind(ETCD_PORT).await.expect("the host has one listener");
                etcd.serve(member, listener).await.expect("turmoil's listener does not fail");
            });
        }
        etcd
    }

    /// The host of a member.
    pub fn member_name(member: MemberIndex) -> String {
        format!("etcd-{member}")
    }

    /// Adds a machine. Its wall clock is `wall_ahead` nanoseconds ahead, its time runs `drift_ppm`
    /// millionths faster than real time.
    pub fn machine(&mut self, name: &str, wall_ahead: i64, drift_ppm: i64) -> MachineId {
        let ip = self.sim.lookup(name);
        let (calls, queue) = mpsc::channel(CALLS);
        let (open, trouble) = (Open::default(), Arc::default());
        let kernel = Kernel {
            ip,
            names: self.names.clone(),
            firewall: self.firewall.clone(),
            open: open.clone(),
            trouble: Arc::clone(&trouble),
            connections: self.connections.clone(),
            tasks: TaskTracker::new(),
        };
        self.host(name, move || kernel.run(queue));
        let up = Duration::from_millis(self.rng.random_range(3_600_000..360_000_000));
        let wall = UnixNanos(EPOCH.saturating_add_signed(wall_ahead));
        self.machines.push(Machine {
            name: name.to_owned(),
            kernel: KernelHandle { ip, calls, open, trouble },
            time: MachineTime::new(up, wall, drift_ppm),
            stopped: None,
        });
        MachineId(self.machines.len() - 1)
    }

    /// A machine's address.
    pub fn ip(&self, machine: MachineId) -> IpAddr {
        self.machines[machine.0].kernel.ip
    }

    /// A machine's clocks.
    pub fn time(&self, machine: MachineId) -> &MachineTime {
        &self.machines[machine.0].time
    }

    /// Starts a process under a name of its own. What `main` returns is its exit code.
    pub fn start<F, Fut>(&mut self, machine: MachineId, name: &str, main: F) -> ProcessId
    where
        F: FnOnce(Env) -> Fut,
        Fut: Future<Output = i32> + Send + 'static,
    {
        let Machine { kernel, time, .. } = &self.machines[machine.0];
        let origin = Origin::new(name);
        let process = Process::start(origin.clone(), kernel.ip, Arc::clone(time), kernel.calls.clone(), main);
        self.processes.push(Slot { machine, origin, process: Some(process), ended: None });
        ProcessId(self.processes.len() - 1)
    }

    /// Moves everything by one tick.
    ///
    /// # Panics
    /// A host of turmoil's failed: an error of the simulation itself.
    pub fn step(&mut self) {
        self.sim.step().expect("hosts do not fail");
        let tick = self.settings.tick;
        let passed: Vec<Duration> = self.machines.iter().map(|machine| machine.time.advance(tick)).collect();
        let mut order: Vec<usize> =
            (0..self.processes.len()).filter(|index| self.processes[*index].process.is_some()).collect();
        order.shuffle(&mut self.rng);
        for index in order {
            let slot = &mut self.processes[index];
            let Some(process) = &mut slot.process else { continue };
            process.tick(passed[slot.machine.0]);
            if let Some(ended) = process.ended() {
                slot.ended = Some(ended);
                slot.process = None;
            }
        }
        let tick = u64::try_from(tick.as_nanos()).unwrap_or(u64::MAX);
        self.now.fetch_add(tick, Ordering::Relaxed);
    }

    /// Lets that much time pass.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now() + time;
        while self.now() < until {
            self.step();
        }
    }

    /// Lets time pass until `done`, at most `limit`. Whether it was.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let until = self.now() + limit;
        while !done(self) {
            if self.now() >= until {
                return false;
            }
            self.step();
        }
        true
    }

    /// Whether the process runs, or is frozen.
    pub fn is_alive(&self, process: ProcessId) -> bool {
        self.processes[process.0].process.is_some()
    }

    /// Whether the process is frozen.
    pub fn is_frozen(&self, process: ProcessId) -> bool {
        self.processes[process.0].process.as_ref().is_some_and(Process::is_frozen)
    }

    /// How it ended by itself.
    pub fn ended(&self, process: ProcessId) -> Option<&Ended> {
        self.processes[process.0].ended.as_ref()
    }

    /// Its name.
    pub fn origin(&self, process: ProcessId) -> &Origin {
        &self.processes[process.0].origin
    }

    /// Its machine.
    pub fn machine_of(&self, process: ProcessId) -> MachineId {
        self.processes[process.0].machine
    }

    /// SIGKILL: it stops at once, and its machine closes its connections.
    pub fn kill(&mut self, process: ProcessId) {
        self.processes[process.0].process = None;
    }

    /// SIGSTOP.
    pub fn freeze(&mut self, process: ProcessId) {
        if let Some(process) = &mut self.processes[process.0].process {
            process.freeze();
        }
    }

    /// SIGCONT.
    pub fn thaw(&mut self, process: ProcessId) {
        if let Some(process) = &mut self.processes[process.0].process {
            process.thaw();
        }
    }

    /// The virtual machine is paused: nothing runs, no clock moves, the network waits.
    pub fn pause(&mut self, machine: MachineId) {
        let now = self.now();
        let paused = &mut self.machines[machine.0];
        if paused.stopped.is_none() {
            paused.stopped = Some(now);
            paused.time.stop();
            self.hold_all(machine);
        }
    }

    /// Ends a pause. With `noticed`, it was a suspension: the boot clock makes up for it.
    pub fn resume(&mut self, machine: MachineId, noticed: bool) {
        let now = self.now();
        let paused = &mut self.machines[machine.0];
        if let Some(since) = paused.stopped.take() {
            paused.time.resume(if noticed { now - since } else { Duration::ZERO });
            self.release_all(machine);
        }
    }

    /// The machine loses its power: all its processes are gone, and nobody says goodbye for them.
    pub fn lose(&mut self, machine: MachineId) {
        self.hold_all(machine);
        for slot in self.processes.iter_mut().filter(|slot| slot.machine == machine) {
            slot.process = None;
        }
    }

    /// It is there again, without processes.
    pub fn bring_back(&mut self, machine: MachineId) {
        self.release_all(machine);
    }

    fn hold_all(&mut self, machine: MachineId) {
        let name = self.machines[machine.0].name.clone();
        for other in self.hosts.clone().iter().filter(|other| **other != name) {
            self.cut(&name, other);
        }
    }

    fn release_all(&mut self, machine: MachineId) {
        let name = self.machines[machine.0].name.clone();
        for other in self.hosts.clone().iter().filter(|other| **other != name) {
            self.mend(&name, other);
        }
    }

    /// Nothing passes between two hosts any more. What is sent arrives when the link is mended,
    /// as TCP would see to it.
    pub fn cut(&mut self, a: &str, b: &str) {
        let holds = self.holds.entry(link(a, b)).or_default();
        *holds += 1;
        if *holds == 1 {
            self.sim.hold(a, b);
        }
    }

    /// Ends one cut.
    pub fn mend(&mut self, a: &str, b: &str) {
        if let Some(holds) = self.holds.get_mut(&link(a, b)).filter(|holds| **holds > 0) {
            *holds -= 1;
            if *holds == 0 {
                self.sim.release(a, b);
            }
        }
    }

    /// A machine's name.
    pub fn name(&self, machine: MachineId) -> &str {
        &self.machines[machine.0].name
    }

    /// Resets every connection between two machines.
    pub fn reset(&self, a: MachineId, b: MachineId) {
        let (a, b) = (&self.machines[a.0].kernel, &self.machines[b.0].kernel);
        a.open.reset(b.ip);
        b.open.reset(a.ip);
    }

    /// From now on connections from one to the other are refused, although nobody is dead.
    pub fn reject(&self, from: MachineId, to: MachineId) {
        self.firewall.reject(self.ip(from), self.ip(to));
    }

    /// Ends that.
    pub fn allow(&self, from: MachineId, to: MachineId) {
        self.firewall.allow(self.ip(from), self.ip(to));
    }

    /// What connecting from the machine fails with, by the operating system's number.
    pub fn set_trouble(&self, machine: MachineId, errno: Option<i32>) {
        *self.machines[machine.0].kernel.trouble.lock() = errno;
    }
}
