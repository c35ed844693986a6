//! A Kafka broker, for the real Milvus, which becomes Healthy only with one, and for tests
//! of those who produce.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
    message::Headers as _,
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

/// How long reading a topic may take.
const READ: Duration = Duration::from_secs(30);

/// What it says when it serves.
const READY: &str = "Kafka Server started";

/// One broker that is its own controller. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct Kafka {
    process: Option<Process>,
    port: u16,
    /// How often it was run, which names its logs.
    runs: u32,
    classes: PathBuf,
    folder: TempDir,
}

/// A message as it stands in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where it stands.
    pub offset: i64,
    /// `None`: null.
    pub key: Option<Vec<u8>>,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// Its headers, as texts.
    pub headers: Vec<(String, String)>,
}

impl Kafka {
    /// A broker that serves.
    ///
    /// # Panics
    /// When it doesn't within two minutes.
    pub async fn start(oracle: &Oracle) -> Self {
        let mut kafka = Self::prepare(oracle).await;
        kafka.run().await;
        kafka
    }

    /// Makes the folder of a broker that does not run yet. Its address is known.
    ///
    /// # Panics
    /// When Kafka's own tool fails.
    pub async fn prepare(oracle: &Oracle) -> Self {
        let folder =
            tempfile::Builder::new().prefix("milvus-coord-kafka-").tempdir().expect("a temporary folder");
        let (port, controller) = (free_port(), free_port());
        fs::write(properties(folder.path()), configuration(folder.path(), port, controller))
            .expect("the broker's configuration");
        let kafka = Self { process: None, port, runs: 0, classes: oracle.kafka_classes(), folder };

        let properties = properties(kafka.folder.path()).display().to_string();
        let format = ["format", "--cluster-id", "bWlsdnVzLWNvb3JkLXRiMQ", "--config", &properties];
        let format = kafka.java("kafka.tools.StorageTool", &format);
        let format = Process::start("kafka format", format, &kafka.folder.path().join("format.log"));
        assert_eq!(format.exit(START).await.code, Some(0), "{}", format.log.tail(40));
        kafka
    }

    /// Runs it, and waits until it serves. After [`kill`](Self::kill) it has the same
    /// address and what it had stored.
    ///
    /// # Panics
    /// When it runs already, or doesn't serve within two minutes.
    pub async fn run(&mut self) {
        assert!(self.process.is_none(), "the broker runs already");
        let properties = properties(self.folder.path()).display().to_string();
        let broker = self.java("kafka.Kafka", &[&properties]);
        self.runs += 1;
        let log = self.folder.path().join(format!("broker-{}.log", self.runs));
        let process = self.process.insert(Process::start("kafka", broker, &log));
        process.log.wait(Mark::default(), READY, START).await;
    }

    /// `kill -9`, and waits for its end. Returns the moment before.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn kill(&mut self) -> Instant {
        self.process.take().expect("a broker that runs").kill().await
    }

    /// Kills it and runs it again.
    ///
    /// # Panics
    /// As [`run`](Self::run).
    pub async fn restart(&mut self) {
        self.kill().await;
        self.run().await;
    }

    /// The process, while it runs: to freeze it, say.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// What `kafka.brokerList` is to be.
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What its process has used so far.
    pub fn usage(&self) -> Usage {
        self.process().map(Process::usage).unwrap_or_default()
    }

    /// The moment at which it said that it serves.
    pub fn ready_at(&self) -> Option<Instant> {
        self.process.as_ref()?.log.find(Mark::default(), READY).map(|line| line.at)
    }

    /// Everything in partition 0 of that topic, in its order.
    ///
    /// # Panics
    /// When it can't be read.
    pub async fn messages(&self, topic: &str) -> Vec<Stored> {
        let (brokers, topic) = (self.brokers(), topic.to_owned());
        tokio::task::spawn_blocking(move || read(&brokers, &topic)).await.expect("reading a topic")
    }

    /// The names of its topics, without Kafka's own, and how many partitions each has.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn topics(&self) -> Vec<(String, usize)> {
        let brokers = self.brokers();
        let list = move || {
            let metadata = consumer(&brokers).fetch_metadata(None, READ).expect("the topics");
            let topics =
                metadata.topics().iter().map(|topic| (topic.name().to_owned(), topic.partitions().len()));
            let mut topics: Vec<_> = topics.filter(|(name, _)| !name.starts_with("__")).collect();
            topics.sort();
            topics
        };
        tokio::task::spawn_blocking(list).await.expect("listing topics")
    }

    /// Deletes a topic, and waits until it is gone.
    ///
    /// # Panics
    /// When it is not deleted in time.
    pub async fn delete(&self, topic: &str) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", self.brokers()).create().expect("a client");
        let options = AdminOptions::new().operation_timeout(Some(READ)).request_timeout(Some(READ));
        let deleted = admin.delete_topics(&[topic], &options).await.expect("an answer");
        assert_eq!(deleted, [Ok(topic.to_owned())]);
    }

    fn java(&self, class: &str, arguments: &[&str]) -> Command {
        java(&self.classes, self.folder.path(), class, arguments)
    }
}

fn consumer(brokers: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "testbed")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "50")
        .create()
        .expect("a consumer")
}

fn read(brokers: &str, topic: &str) -> Vec<Stored> {
    let consumer = consumer(brokers);
    let (low, high) = consumer.fetch_watermarks(topic, 0, READ).expect("the ends of the topic");
    let mut places = TopicPartitionList::new();
    places.add_partition_offset(topic, 0, Offset::Offset(low)).expect("a partition");
    consumer.assign(&places).expect("the partition");
    let mut found: Vec<Stored> = Vec::new();
    let begun = Instant::now();
    while found.last().map_or(low, |last| last.offset + 1) < high {
        assert!(begun.elapsed() < READ, "{topic}: {} of {low}..{high} read", found.len());
        let Some(message) = consumer.poll(Duration::from_millis(200)) else { continue };
        let message = message.expect("a message");
        let header = |header: rdkafka::message::Header<'_, &[u8]>| {
            let value = header.value.unwrap_or_default();
            (header.key.to_owned(), String::from_utf8_lossy(value).into_owned())
        };
        found.push(Stored {
            offset: message.offset(),
            key: message.key().map(Into::into),
            payload: message.payload().unwrap_or_default().into(),
            headers: message
                .headers()
                .map(|headers| headers.iter().map(header).collect())
                .unwrap_or_default(),
        });
    }
    found
}

fn properties(folder: &Path) -> PathBuf {
    folder.join("server.properties")
}

fn java(classes: &Path, folder: &Path, class: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("java");
    command
        .current_dir(folder)
        .args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(classes)
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=info")
        .arg(class)
        .args(arguments);
    command
}

fn configuration(folder: &Path, port: u16, controller: u16) -> String {
    // Milvus sends messages of up to 10 MB. A broker that was killed may register again
    // when its session is over; one that stood still for longer than that is fenced, and a
    // lone one may then wait for ever for a leader.
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
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=9000
",
        folder.join("data").display()
    )
}
