//! The real Milvus 2.3.5, as `testbed/oracle/fetch.sh` leaves it in the cache, and
//! its members as processes.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{
    instance::Plan,
    kafka::Kafka,
    ports::free_port,
    queue::{Broker, Queue},
    role::Role,
};

/// The fetched programs.
#[derive(Clone, Debug)]
pub struct Oracle {
    milvus: PathBuf,
    kafka: PathBuf,
    pulsar: PathBuf,
}

impl Oracle {
    /// Looks into `$MILVUS_COORD_CACHE`, else `$XDG_CACHE_HOME/milvus-coord`, else
    /// `~/.cache/milvus-coord`. Fetches nothing.
    ///
    /// # Errors
    /// What is missing, and the command that fetches it.
    pub fn find() -> Result<Self, String> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = variable("MILVUS_COORD_CACHE")
            .or_else(|| variable("XDG_CACHE_HOME").map(|folder| folder.join("milvus-coord")))
            .or_else(|| variable("HOME").map(|folder| folder.join(".cache/milvus-coord")))
            .ok_or("no cache folder: HOME is not set")?;
        let oracle = Self {
            milvus: cache.join("milvus-2.3.5"),
            kafka: cache.join("kafka-3.7.2"),
            pulsar: cache.join("pulsar-3.1.0"),
        };
        is_there(&oracle.milvus)?;
        is_there(&oracle.kafka)?;
        Ok(oracle)
    }

    /// The same, with Pulsar.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn find_with_pulsar() -> Result<Self, String> {
        let oracle = Self::find()?;
        oracle.pulsar_classes()?;
        Ok(oracle)
    }

    /// The class path of Kafka.
    pub(crate) fn kafka_classes(&self) -> PathBuf {
        self.kafka.join("lib/*")
    }

    /// The folder of its configuration files.
    pub fn configuration(&self) -> PathBuf {
        self.milvus.join("conf")
    }

    /// The class path of Pulsar.
    pub(crate) fn pulsar_classes(&self) -> Result<PathBuf, String> {
        is_there(&self.pulsar)?;
        Ok(self.pulsar.join("lib/*"))
    }

    /// The executable.
    pub fn program(&self) -> PathBuf {
        self.milvus.join("bin/milvus")
    }
}

/// What several real instances of one cluster share: a broker, and a folder for storage.
#[derive(Debug)]
pub struct RealCluster {
    oracle: Oracle,
    broker: Broker,
    storage: TempDir,
    number: std::sync::atomic::AtomicU32,
}

impl RealCluster {
    /// Starts a Kafka broker.
    ///
    /// # Panics
    /// When it doesn't start.
    pub async fn start(oracle: &Oracle) -> Self {
        Self::on(Queue::Kafka, oracle).await
    }

    /// Starts a broker of that kind.
    ///
    /// # Panics
    /// When it doesn't start.
    pub async fn on(queue: Queue, oracle: &Oracle) -> Self {
        let broker = queue.start(oracle).await;
        let storage =
            tempfile::Builder::new().prefix("milvus-coord-storage-").tempdir().expect("a temporary folder");
        Self { oracle: oracle.clone(), broker, storage, number: 0.into() }
    }

    /// The broker of a cluster on Kafka.
    ///
    /// # Panics
    /// When it is another one.
    pub fn kafka(&self) -> &Kafka {
        match &self.broker {
            Broker::Kafka(kafka) => kafka,
            other => panic!("the cluster runs on {}", other.name()),
        }
    }

    /// The broker.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The broker, to kill it and run it again.
    pub fn broker_mut(&mut self) -> &mut Broker {
        &mut self.broker
    }

    /// A real rootcoord on the etcd at `endpoints`, below `root`, active-standby on. Its
    /// session's time to live is what Milvus ships: 30 s, unless set.
    pub fn rootcoord(&self, endpoints: &[String], root: &str) -> Plan {
        self.node(Role::RootCoord, endpoints, root)
            .named("real rootcoord")
            .set("rootCoord.enableActiveStandby", true)
    }

    /// A real node of any role.
    pub fn node(&self, role: Role, endpoints: &[String], root: &str) -> Plan {
        let number = self.number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let alias = format!("testbed-{}-{number}", std::process::id());
        let bin = self.oracle.milvus.join("bin");
        let plan = Plan::of(role, &self.oracle.program(), endpoints, root)
            .alias(&alias)
            .environment("MILVUSCONF", show(&self.oracle.configuration()))
            .environment("LD_LIBRARY_PATH", show(&bin))
            .set("localStorage.path", show(self.storage.path()));
        let plan = self.broker.settings().iter().fold(plan, |plan, (key, value)| plan.set(key, value));
        match role {
            // What proxies and coordinators call it by.
            Role::Proxy => plan.set("proxy.internalPort", free_port()),
            _ => plan,
        }
    }
}

fn is_there(folder: &Path) -> Result<(), String> {
    if folder.is_dir() {
        return Ok(());
    }
    Err(format!("{} is not there; testbed/oracle/fetch.sh fetches it", folder.display()))
}

fn show(path: &Path) -> String {
    path.display().to_string()
}
