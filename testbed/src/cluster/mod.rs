//! A whole Milvus 2.3.5 on loopback: etcd, Kafka or Pulsar, every kind of node as the real
//! program, and rootcoords of which each is ours or the real one.
//!
//! Object storage is a folder that all nodes share. There is one node of each kind.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    bed::ROOT,
    catalog::Catalog,
    etcd::Etcd,
    instance::{Instance, Plan},
    log::Log,
    oracle::{Oracle, RealCluster},
    process::{Exit, resident},
    progress::Progress,
    queue::{Broker, Queue},
    role::Role,
    session::{Session, Sessions},
};

mod operate;
mod ready;
mod user;

pub use self::user::User;

/// How long any single part may take to serve: Go programs on a busy machine.
const START: Duration = Duration::from_secs(120);

/// One cluster at a time: ten programs fill a small machine.
static ALONE: Semaphore = Semaphore::const_new(1);

/// Which program runs as a rootcoord.
#[derive(Clone, Debug)]
pub enum Rootcoord {
    /// The real one.
    Real,
    /// milvus-coord, at this path.
    Ours(PathBuf),
}

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Options {
    rootcoords: Vec<Rootcoord>,
    lease: u32,
    queue: Queue,
    settings: Vec<(String, String)>,
    catalog: Option<Catalog>,
    apart: bool,
}

impl Options {
    /// A cluster whose rootcoords are these: the first one becomes ACTIVE. Their leases
    /// last 10 s, and the message queue is Kafka.
    pub fn new(rootcoords: impl Into<Vec<Rootcoord>>) -> Self {
        Self {
            rootcoords: rootcoords.into(),
            lease: 10,
            queue: Queue::Kafka,
            settings: Vec::new(),
            catalog: None,
            apart: false,
        }
    }

    /// How many seconds the leases of the rootcoords last.
    #[must_use]
    pub fn lease(mut self, seconds: u32) -> Self {
        self.lease = seconds;
        self
    }

    /// Which message queue all of them use.
    #[must_use]
    pub fn queue(mut self, queue: Queue) -> Self {
        self.queue = queue;
        self
    }

    /// Sets a key of `milvus.yaml` for every member.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.settings.push((key.to_owned(), value.to_string()));
        self
    }

    /// Has these collections in etcd before the first rootcoord starts. They have no rows.
    #[must_use]
    pub fn catalog(mut self, catalog: Catalog) -> Self {
        self.catalog = Some(catalog);
        self
    }

    /// Treats rootcoords of ours as on machines of their own: nothing but etcd and the
    /// network tells one that another is gone.
    #[must_use]
    pub fn apart(mut self, apart: bool) -> Self {
        self.apart = apart;
        self
    }
}

/// A running cluster. Dropping it kills every process and removes its data.
#[derive(Debug)]
pub struct Cluster {
    // In the order in which they are dropped: those first that depend on others.
    nodes: Vec<Instance>,
    rootcoords: Vec<Instance>,
    sessions: Sessions,
    real: RealCluster,
    etcd: Etcd,
    options: Options,
    run: TempDir,
    ready_after: Duration,
    _alone: SemaphorePermit<'static>,
}

impl Cluster {
    /// Starts everything and waits until the proxy serves. Tells on standard error how
    /// far it is.
    ///
    /// # Panics
    /// When a part isn't ready within two minutes; the message has the end of its log.
    pub async fn start(oracle: &Oracle, options: Options) -> Self {
        assert!(!options.rootcoords.is_empty(), "a cluster without a rootcoord");
        let alone = ALONE.acquire().await.expect("never closed");
        let progress = Progress::of("cluster");
        let (etcd, real) = tokio::join!(Etcd::single(), RealCluster::on(options.queue, oracle));
        let etcd = etcd.unwrap_or_else(|e| panic!("no etcd: {e}"));
        progress.say(&format!("etcd and {} serve", real.broker().name()));
        let client = etcd.client().await.expect("a client of etcd");
        if let Some(catalog) = &options.catalog {
            catalog.write(&client, ROOT).await.expect("etcd takes collections");
            progress.say(&format!("{} collections are in etcd", catalog.collections));
        }
        let mut cluster = Self {
            nodes: Vec::new(),
            rootcoords: Vec::new(),
            sessions: Sessions::new(client, ROOT, Role::RootCoord.name()),
            real,
            etcd,
            options,
            run: tempfile::Builder::new().prefix("milvus-coord-run-").tempdir().expect("a temporary folder"),
            ready_after: Duration::ZERO,
            _alone: alone,
        };
        cluster.start_rootcoords(&progress).await;
        cluster.start_nodes(&progress).await;
        cluster.ready_after = progress.begin().elapsed();
        cluster
    }

    async fn start_rootcoords(&mut self, progress: &Progress) {
        for index in 0..self.options.rootcoords.len() {
            let rootcoord = self.rootcoord_plan(index).start();
            let state = if index == 0 {
                rootcoord.serves(START).await;
                "serves"
            } else {
                rootcoord.standby().await;
                "is standby"
            };
            progress.say(&format!("{} {state}", rootcoord.process.name()));
            self.rootcoords.push(rootcoord);
        }
    }

    async fn start_nodes(&mut self, progress: &Progress) {
        self.nodes = Role::OTHERS.iter().map(|&role| self.node_plan(role).start()).collect();
        for node in &self.nodes {
            ready::healthy(node, START).await;
            progress.say(&format!("{} is healthy", node.process.name()));
        }
    }

    fn rootcoord_plan(&self, index: usize) -> Plan {
        let endpoints = self.etcd.endpoints();
        let plan = match &self.options.rootcoords[index] {
            Rootcoord::Real => self
                .real
                .rootcoord(&endpoints, ROOT)
                .named(&format!("real rootcoord {index}"))
                .set("common.session.ttl", self.options.lease),
            Rootcoord::Ours(program) => Plan::rootcoord(program, &endpoints, ROOT)
                .named(&format!("our rootcoord {index}"))
                .set("common.activeStandby.runDirectory", self.run_directory(index).display())
                .set("common.activeStandby.leaseSeconds", self.options.lease),
        };
        let queue = self.real.broker().settings();
        self.with_settings(queue.iter().fold(plan, |plan, (key, value)| plan.set(key, value)))
    }

    fn run_directory(&self, index: usize) -> PathBuf {
        let shared = self.run.path();
        if self.options.apart { shared.join(index.to_string()) } else { shared.to_owned() }
    }

    fn node_plan(&self, role: Role) -> Plan {
        self.with_settings(self.real.node(role, &self.etcd.endpoints(), ROOT))
    }

    fn with_settings(&self, plan: Plan) -> Plan {
        self.options.settings.iter().fold(plan, |plan, (key, value)| plan.set(key, value))
    }

    /// Where clients connect to: `http://127.0.0.1:PORT`.
    pub fn proxy_uri(&self) -> String {
        format!("http://{}", self.node(Role::Proxy).address())
    }

    /// The etcd.
    pub fn etcd(&self) -> &Etcd {
        &self.etcd
    }

    /// The message queue, to kill it and run it again.
    pub fn broker_mut(&mut self) -> &mut Broker {
        self.real.broker_mut()
    }

    /// How long the start took.
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// The member of that role.
    ///
    /// # Panics
    /// For rootcoord, of which there may be several: see [`rootcoord`](Self::rootcoord).
    pub fn node(&self, role: Role) -> &Instance {
        let is_it = |node: &&Instance| node.role() == role;
        self.nodes.iter().find(is_it).unwrap_or_else(|| panic!("no node is a {}", role.name()))
    }

    /// The `index`-th rootcoord, running or not.
    pub fn rootcoord(&self, index: usize) -> &Instance {
        &self.rootcoords[index]
    }

    /// The sessions of the rootcoords.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Which rootcoord is ACTIVE.
    ///
    /// # Panics
    /// When none is within `limit`.
    pub async fn active(&self, limit: Duration) -> usize {
        let session = self.sessions.wait_active("an ACTIVE rootcoord", limit, |s| self.index(s).is_some());
        self.index(&session.await).expect("just seen")
    }

    /// Waits until the `index`-th rootcoord is ACTIVE.
    ///
    /// # Panics
    /// When it isn't within `limit`.
    pub async fn wait_active(&self, index: usize, limit: Duration) {
        let what = format!("{} to be ACTIVE", self.rootcoords[index].process.name());
        self.sessions.wait_active(&what, limit, |session| self.index(session) == Some(index)).await;
    }

    fn index(&self, session: &Session) -> Option<usize> {
        self.rootcoords.iter().position(|rootcoord| rootcoord.address() == session.address)
    }

    /// `kill -9` of the `index`-th rootcoord, and waits for its end. Returns the moment before.
    pub async fn kill(&self, index: usize) -> Instant {
        self.rootcoords[index].kill().await
    }

    /// Freezes the `index`-th rootcoord. Returns the moment before.
    ///
    /// # Panics
    /// When it has ended.
    pub async fn freeze(&self, index: usize) -> Instant {
        self.rootcoords[index].process.freeze().await
    }

    /// Lets a frozen one go on.
    pub fn thaw(&self, index: usize) -> Instant {
        self.rootcoords[index].process.thaw()
    }

    /// Asks the `index`-th rootcoord to end (SIGTERM), and waits for that.
    ///
    /// # Panics
    /// When it still runs after `limit`.
    pub async fn stop(&self, index: usize, limit: Duration) -> Exit {
        self.rootcoords[index].process.signal(Signal::SIGTERM);
        self.rootcoords[index].process.exit(limit).await
    }

    /// Starts a new process in the place of the `index`-th rootcoord, which is killed if
    /// it still runs. Does not wait for what becomes of it.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start_again(&mut self, index: usize) -> &Instance {
        // Under its old address, as a service manager would.
        let plan = self.rootcoords[index].plan();
        self.rootcoords[index].process.signal(Signal::SIGKILL);
        self.rootcoords[index] = plan.start();
        &self.rootcoords[index]
    }

    /// What every rootcoord and node has written since its start, by name.
    pub fn logs(&self) -> Vec<(String, Log)> {
        let log = |member: &Instance| (member.process.name().to_owned(), member.process.log.clone());
        self.rootcoords.iter().chain(&self.nodes).map(log).collect()
    }

    /// Resident memory of every living process, in bytes, by name.
    pub fn memory(&self) -> Vec<(String, u64)> {
        let instances = self.rootcoords.iter().chain(&self.nodes);
        let mut memory: Vec<_> = instances
            .map(|member| (member.process.name().to_owned(), member.process.usage().resident))
            .collect();
        let broker = self.real.broker();
        memory.push((broker.name().to_owned(), broker.usage().resident));
        memory.push(("etcd".to_owned(), self.etcd.pid(0).map_or(0, resident)));
        memory
    }
}
