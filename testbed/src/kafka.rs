//! A Kafka broker for the real Milvus, which becomes Healthy only with one.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    log::Mark,
    oracle::Oracle,
    ports::free_port,
    process::{Process, Usage},
};

/// How long a start may take: a Java program on a busy machine.
const START: Duration = Duration::from_secs(120);

/// A running broker. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct Kafka {
    process: Process,
    port: u16,
    _folder: TempDir,
}

impl Kafka {
    /// Starts one broker that is its own controller, and waits until it serves.
    ///
    /// # Panics
    /// When it doesn't within two minutes.
    pub async fn start(oracle: &Oracle) -> Self {
        let folder =
            tempfile::Builder::new().prefix("milvus-coord-kafka-").tempdir().expect("a temporary folder");
        let (port, controller) = (free_port(), free_port());
        let properties = folder.path().join("server.properties");
        fs::write(&properties, configuration(folder.path(), port, controller))
            .expect("the broker's configuration");

        let properties = properties.display().to_string();
        let format = ["format", "--cluster-id", "bWlsdnVzLWNvb3JkLXRiMQ", "--config", &properties];
        let format = java(oracle, folder.path(), "kafka.tools.StorageTool", &format);
        let format = Process::start("kafka format", format, &folder.path().join("format.log"));
        assert_eq!(format.exit(START).await.code, Some(0), "{}", format.log.tail(40));

        let broker = java(oracle, folder.path(), "kafka.Kafka", &[&properties]);
        let process = Process::start("kafka", broker, &folder.path().join("broker.log"));
        process.log.wait(Mark::default(), "Kafka Server started", START).await;
        Self { process, port, _folder: folder }
    }

    /// What `kafka.brokerList` is to be.
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What its process has used so far.
    pub fn usage(&self) -> Usage {
        self.process.usage()
    }

    /// The moment at which it said that it serves.
    pub fn ready_at(&self) -> Option<Instant> {
        self.process.log.find(Mark::default(), "Kafka Server started").map(|line| line.at)
    }
}

fn java(oracle: &Oracle, folder: &Path, class: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("java");
    command
        .current_dir(folder)
        .args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(oracle.kafka_classes())
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=info")
        .arg(class)
        .args(arguments);
    command
}

fn configuration(folder: &Path, port: u16, controller: u16) -> String {
    // Milvus sends messages of up to 10 MB.
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={}
num.partitions=1
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
message.max.bytes=10485760
auto.create.topics.enable=true
",
        folder.join("data").display()
    )
}
