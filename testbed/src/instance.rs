//! A member of a cluster as a process: milvus-coord or the real Milvus.

use std::{
    collections::BTreeMap,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::{
    faketime::Faketime,
    grpc::{Direct, Failure},
    http,
    log::Mark,
    namespaces::Host,
    ports::free_port,
    process::Process,
    role::Role,
};

/// How long a state may take that needs no lease to run out. Generous: test machines are busy.
pub const SOON: Duration = Duration::from_secs(20);

/// What an instance is started with.
#[derive(Clone, Debug)]
pub struct Plan {
    role: Role,
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    port: u16,
    metrics_port: Option<u16>,
    host: Option<Host>,
    alias: Option<String>,
}

impl Plan {
    /// `program run rootcoord` on loopback, with its own ports, on the etcd at
    /// `endpoints`, below the etcd root path `root`. Active-standby is on.
    pub fn rootcoord(program: &Path, endpoints: &[String], root: &str) -> Self {
        Self::of(Role::RootCoord, program, endpoints, root).set("rootCoord.enableActiveStandby", true)
    }

    /// `program run ROLE` on loopback, with its own ports, on the etcd at `endpoints`,
    /// below the etcd root path `root`.
    pub fn of(role: Role, program: &Path, endpoints: &[String], root: &str) -> Self {
        let bare: Vec<&str> =
            endpoints.iter().map(|e| e.split_once("://").map_or(e.as_str(), |(_, rest)| rest)).collect();
        let plan = Self {
            role,
            name: role.name().to_owned(),
            program: program.to_owned(),
            arguments: vec!["run".to_owned(), role.name().to_owned()],
            environment: BTreeMap::new(),
            port: free_port(),
            metrics_port: Some(free_port()),
            host: None,
            alias: None,
        };
        // Nothing of the test's own environment: every variable is a setting to Milvus.
        plan.environment("PATH", "/usr/local/bin:/usr/bin:/bin")
            .set("etcd.endpoints", bare.join(","))
            .set("etcd.rootPath", root)
            .set(&format!("{}.ip", role.section()), Ipv4Addr::LOCALHOST)
    }

    /// How messages call it.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Sets a key of `milvus.yaml`, through the environment by Milvus's mapping rule.
    #[must_use]
    pub fn set(self, key: &str, value: impl ToString) -> Self {
        let variable = key.replace('.', "_").to_uppercase();
        self.environment(&variable, value)
    }

    /// Reaches etcd somewhere else: through a proxy.
    #[must_use]
    pub fn through(self, endpoint: &str) -> Self {
        self.set("etcd.endpoints", endpoint)
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn environment(mut self, variable: &str, value: impl ToString) -> Self {
        self.environment.insert(variable.to_owned(), value.to_string());
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// `-alias`: part of the name of its pid file.
    #[must_use]
    pub fn alias(mut self, alias: &str) -> Self {
        self.alias = Some(alias.to_owned());
        self
    }

    /// Its gRPC port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Its HTTP port; `None` leaves the choice to the program.
    #[must_use]
    pub fn metrics_port(mut self, port: Option<u16>) -> Self {
        self.metrics_port = port;
        self
    }

    /// Runs it on a host of a network.
    #[must_use]
    pub fn on(mut self, host: &Host) -> Self {
        self.host = Some(host.clone());
        let address = host.address();
        let key = format!("{}.ip", self.role.section());
        self.set(&key, address)
    }

    /// Lets it live by that wall clock.
    #[must_use]
    pub fn by(mut self, clock: &Faketime) -> Self {
        for (variable, value) in clock.environment() {
            self = self.environment(variable, value);
        }
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When the program can't be started.
    pub fn start(self) -> Instance {
        let folder =
            tempfile::Builder::new().prefix("milvus-coord-instance-").tempdir().expect("a temporary folder");
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .args(self.alias.iter().flat_map(|alias| ["-alias", alias]))
            .current_dir(folder.path())
            .env_clear()
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            .envs(&self.environment)
            .env(format!("{}_PORT", self.role.name().to_uppercase()), self.port.to_string());
        if let Some(port) = self.metrics_port {
            command.env("METRICS_PORT", port.to_string());
        }
        let log = folder.path().join("log");
        let start = || {
            let before = Instant::now();
            (before, Process::start(&self.name, command, &log))
        };
        let (started, process) = match &self.host {
            Some(host) => host.run(start),
            None => start(),
        };
        let ip = self.host.as_ref().map_or(Ipv4Addr::LOCALHOST, Host::address);
        Instance { started, process, ip, plan: self, folder }
    }
}

/// A running or ended instance. Dropping it kills it.
#[derive(Debug)]
pub struct Instance {
    /// The moment before it was started.
    pub started: Instant,
    /// The process.
    pub process: Process,
    ip: Ipv4Addr,
    plan: Plan,
    folder: TempDir,
}

impl Instance {
    /// `host:port` of its gRPC server, as its session names it.
    pub fn address(&self) -> String {
        format!("{}:{}", self.ip, self.plan.port)
    }

    /// What it does in the cluster.
    pub fn role(&self) -> Role {
        self.plan.role
    }

    /// Its gRPC port.
    pub fn port(&self) -> u16 {
        self.plan.port
    }

    /// What it was started with: to start it again.
    pub fn plan(&self) -> Plan {
        self.plan.clone()
    }

    /// Its working folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until it says that it waits as standby.
    ///
    /// # Panics
    /// When it doesn't within 20 seconds.
    pub async fn standby(&self) -> Instant {
        self.says("rootcoord is in STANDBY ...", SOON).await
    }

    /// Waits until it has all of etcd's metadata in memory, as of `revision`.
    ///
    /// # Panics
    /// When it hasn't within `limit`, or when the program chose its HTTP port itself.
    pub async fn mirrors(&self, revision: i64, limit: Duration) {
        let reached = async {
            loop {
                let metrics = self.http("/metrics").await.map(|answer| answer.body).unwrap_or_default();
                let at = http::metric(&metrics, "milvus_coord_mirror_revision");
                if at.is_some_and(|at| at >= revision as f64) {
                    return;
                }
                // A metric can only be asked for.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let name = self.process.name();
        tokio::time::timeout(limit, reached)
            .await
            .unwrap_or_else(|_| panic!("{name} does not know revision {revision} after {limit:?}"));
    }

    /// Waits until it says that it serves.
    ///
    /// # Panics
    /// When it doesn't within `limit`.
    pub async fn serves(&self, limit: Duration) -> Instant {
        self.says("RootCoord startup success", limit).await
    }

    /// Waits until it has written a line that contains `text`, since its start.
    ///
    /// # Panics
    /// When it doesn't within `limit`.
    pub async fn says(&self, text: &str, limit: Duration) -> Instant {
        self.process.log.wait(Mark::default(), text, limit).await.at
    }

    /// A connection to it, whether it is ACTIVE or not; no server id is sent.
    ///
    /// # Errors
    /// [`Failure::Connect`].
    pub async fn direct(&self) -> Result<Direct, Failure> {
        Direct::connect(&self.address(), None).await
    }

    /// `GET path` from its HTTP port.
    ///
    /// # Errors
    /// Those of the connection.
    ///
    /// # Panics
    /// When the program chose the port itself.
    pub async fn http(&self, path: &str) -> std::io::Result<http::Answer> {
        let port = self.plan.metrics_port.expect("the test chose the HTTP port");
        http::get(&format!("{}:{port}", self.ip), path).await
    }

    /// `kill -9`, and waits for its end. Returns the moment before.
    pub async fn kill(&self) -> Instant {
        self.process.kill().await
    }

    /// SIGTERM. Returns the moment before.
    pub fn terminate(&self) -> Instant {
        self.process.signal(Signal::SIGTERM)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // What a real Milvus leaves behind when it is killed, outside its folder.
        let _ = fs::remove_file(format!("/tmp/milvus/server_id_{}", self.process.pid()));
        if let Some(alias) = &self.plan.alias {
            for folder in ["/run/milvus", "/tmp/milvus"] {
                let _ = fs::remove_file(format!("{folder}/{}-{alias}.pid", self.plan.role.name()));
            }
        }
    }
}
