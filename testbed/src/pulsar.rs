//! A Pulsar broker with its own storage in one process, for the real Milvus, and for tests of
//! those who produce.
//!
//! It listens in plain and encrypted form. Who shows a token needs a [good one](TOKEN); who
//! shows none is let in as well.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use futures::StreamExt;
use pulsar::{
    Consumer, ConsumerOptions, DeserializeMessage, Payload, TokioExecutor,
    consumer::InitialPosition,
    proto::{MessageIdData, MessageMetadata},
    reader::Reader,
};
use tempfile::TempDir;

use crate::{
    certificates::{Authority, Pair},
    http,
    log::Mark,
    oracle::Oracle,
    ports::free_port,
    process::{Process, Usage},
};

/// How long a start may take: a large Java program on a busy machine.
const START: Duration = Duration::from_secs(300);

/// How long reading a topic may take.
const READ: Duration = Duration::from_secs(30);

/// How often a broker that is not ready is asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// A token that the broker knows.
pub const TOKEN: &str =
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtaWx2dXMifQ.QQ3nxZFkwlTdi-DjZXlq5MNzAx5F68AOsrXM3T4RT-E";

/// One that somebody else has signed.
pub const FOREIGN_TOKEN: &str =
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtaWx2dXMifQ.Bezb0stiUeoSkcD-3YUQPtMTudGmeZEcdXxXn59woVc";

/// What [`TOKEN`] is signed with, base64.
const TOKEN_KEY: &str = "bWlsdnVzLWNvb3JkIHRlc3RiZWQgc2VjcmV0IDAxMjM0NTY3ODlhYmNkZWY=";

/// A broker. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct Pulsar {
    process: Option<Process>,
    ports: Ports,
    /// How often it was run, which names its logs.
    runs: u32,
    classes: PathBuf,
    authority: Authority,
    folder: TempDir,
    ready_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    plain: u16,
    encrypted: u16,
    web: u16,
}

/// A message as it stands in a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Its place: ledger and entry.
    pub place: (u64, u64),
    /// Its bytes, uncompressed.
    pub payload: Vec<u8>,
    /// What the producer said of it.
    pub metadata: MessageMetadata,
}

impl Pulsar {
    /// A broker that serves.
    ///
    /// # Panics
    /// When it doesn't within five minutes.
    pub async fn start(oracle: &Oracle) -> Self {
        let mut pulsar = Self::prepare(oracle);
        pulsar.run().await;
        pulsar
    }

    /// Makes the folder of a broker that does not run yet. Its address is known.
    ///
    /// # Panics
    /// When Pulsar was not fetched.
    pub fn prepare(oracle: &Oracle) -> Self {
        let classes = oracle.pulsar_classes().unwrap_or_else(|missing| panic!("{missing}"));
        let folder =
            tempfile::Builder::new().prefix("milvus-coord-pulsar-").tempdir().expect("a temporary folder");
        let ports = Ports { plain: free_port(), encrypted: free_port(), web: free_port() };
        let authority = Authority::new(folder.path(), "authority");
        let settings = configuration(ports, &authority.issue_rsa("pulsar"));
        fs::write(folder.path().join("standalone.conf"), settings).expect("the broker's configuration");
        fs::write(folder.path().join("log4j2.properties"), LOGGING).expect("the configuration of its log");
        Self { process: None, ports, runs: 0, classes, authority, folder, ready_at: None }
    }

    /// Runs it, and waits until it serves. After [`kill`](Self::kill) it has the same
    /// addresses and what it had stored.
    ///
    /// # Panics
    /// When it runs already, or doesn't serve within five minutes.
    pub async fn run(&mut self) {
        assert!(self.process.is_none(), "the broker runs already");
        self.runs += 1;
        let log = self.folder.path().join(format!("broker-{}.log", self.runs));
        let command = java(&self.classes, self.folder.path());
        let process = self.process.insert(Process::start("pulsar", command, &log));
        // It says that it is ready before it has the namespace.
        let begun = Instant::now();
        let address = format!("127.0.0.1:{}", self.ports.web);
        loop {
            let answer = http::get(&address, "/admin/v2/namespaces/public").await;
            if answer.is_ok_and(|answer| answer.body.contains("public/default")) {
                break;
            }
            if let Some(exit) = process.ended() {
                panic!("pulsar ended before it served: {exit:?}\n{}", process.log.tail(60));
            }
            assert!(begun.elapsed() < START, "pulsar does not serve\n{}", process.log.tail(60));
            tokio::time::sleep(AGAIN).await;
        }
        self.ready_at = Some(Instant::now());
    }

    /// `kill -9`, and waits for its end. Returns the moment before.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn kill(&mut self) -> Instant {
        self.ready_at = None;
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

    /// What `pulsar.address` is to be.
    pub fn url(&self) -> String {
        format!("pulsar://127.0.0.1:{}", self.ports.plain)
    }

    /// The same, encrypted.
    pub fn encrypted_url(&self) -> String {
        format!("pulsar+ssl://127.0.0.1:{}", self.ports.encrypted)
    }

    /// Who has signed its certificate, a PEM file.
    pub fn authority(&self) -> PathBuf {
        self.authority.certificate()
    }

    /// What `pulsar.webport` is to be.
    pub fn web_port(&self) -> u16 {
        self.ports.web
    }

    /// What its process has used so far.
    pub fn usage(&self) -> Usage {
        self.process().map(Process::usage).unwrap_or_default()
    }

    /// When it was seen to serve.
    pub fn ready_at(&self) -> Option<Instant> {
        self.ready_at
    }

    /// Waits until it has written a line that contains `text`, in this run.
    ///
    /// # Panics
    /// When it does not run, or doesn't within half a minute.
    pub async fn says(&self, text: &str) {
        self.process().expect("a broker that runs").log.wait(Mark::default(), text, READ).await;
    }

    /// Everything in that topic of `public/default`, in its order.
    ///
    /// # Panics
    /// When it can't be read.
    pub async fn messages(&self, topic: &str) -> Vec<Stored> {
        tokio::time::timeout(READ, self.read(topic)).await.expect("reading a topic in time")
    }

    async fn read(&self, topic: &str) -> Vec<Stored> {
        let mut reader = self.reader(topic).await;
        let last = reader.get_last_message_id().await.expect("the topic's end");
        let mut found = Vec::new();
        while found.last().map(|stored: &Stored| stored.place) < end(&last) {
            found.push(next(&mut reader).await);
        }
        found
    }

    /// The first message that a consumer gets who seeks to that place, which is the
    /// serialized `MessageIdData` of a start position.
    ///
    /// # Panics
    /// When there is none, or it is no place.
    pub async fn message_at(&self, topic: &str, place: &[u8]) -> Stored {
        let place: MessageIdData = decode_place(place);
        let sought = async {
            let client = self.client().await;
            let mut consumer: Consumer<Raw, _> = client
                .consumer()
                .with_topic(full(topic))
                .with_subscription("testbed-seek")
                .with_subscription_type(pulsar::SubType::Exclusive)
                .build()
                .await
                .expect("a consumer");
            consumer.seek(None, Some(place), None, client).await.expect("a place in the topic");
            let message = consumer.next().await.expect("a message").expect("a message");
            stored(message)
        };
        tokio::time::timeout(READ, sought).await.expect("seeking in time")
    }

    /// The names of the topics in `public/default`, without Pulsar's own.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn topics(&self) -> Vec<String> {
        let path = "/admin/v2/persistent/public/default";
        let answer = http::get(&format!("127.0.0.1:{}", self.ports.web), path).await.expect("the topics");
        let topics: Vec<String> = serde_json::from_str(&answer.body).expect("a list of topics");
        let mut topics: Vec<_> = topics
            .into_iter()
            .filter_map(|topic| topic.strip_prefix("persistent://public/default/").map(str::to_owned))
            .filter(|topic| !topic.starts_with("__"))
            .collect();
        topics.sort();
        topics
    }

    /// Deletes that topic of `public/default`, whoever is connected to it.
    ///
    /// # Panics
    /// When it is not deleted.
    pub async fn delete(&self, topic: &str) {
        self.manage("DELETE", &format!("{topic}?force=true"), "").await;
    }

    /// Makes a topic with that many partitions.
    ///
    /// # Panics
    /// When it is not made.
    pub async fn make_partitioned(&self, topic: &str, partitions: u32) {
        self.manage("PUT", &format!("{topic}/partitions"), &partitions.to_string()).await;
    }

    async fn manage(&self, method: &str, what: &str, body: &str) {
        let address = format!("127.0.0.1:{}", self.ports.web);
        let path = format!("/admin/v2/persistent/public/default/{what}");
        let answer = http::request(&address, method, &path, body).await.expect("an answer");
        assert!(matches!(answer.status, 200..300), "{method} {path}: {answer:?}");
    }

    async fn client(&self) -> pulsar::Pulsar<TokioExecutor> {
        pulsar::Pulsar::builder(self.url(), TokioExecutor).build().await.expect("a client of Pulsar")
    }

    async fn reader(&self, topic: &str) -> Reader<Raw, TokioExecutor> {
        let options =
            ConsumerOptions::default().durable(false).with_initial_position(InitialPosition::Earliest);
        let builder = self.client().await.reader().with_topic(full(topic)).with_options(options);
        builder.into_reader().await.expect("a reader")
    }
}

fn full(topic: &str) -> String {
    format!("persistent://public/default/{topic}")
}

/// The place of the last message; `None` before everything: there is none.
fn end(last: &MessageIdData) -> Option<(u64, u64)> {
    (last.entry_id != u64::MAX).then_some((last.ledger_id, last.entry_id))
}

async fn next(reader: &mut Reader<Raw, TokioExecutor>) -> Stored {
    stored(reader.next().await.expect("a message").expect("a message"))
}

fn stored(message: pulsar::consumer::Message<Raw>) -> Stored {
    let id = message.message_id();
    Stored {
        place: (id.ledger_id, id.entry_id),
        payload: message.payload.data.clone(),
        metadata: message.payload.metadata.clone(),
    }
}

/// The fields of the place that consumers look at.
fn decode_place(bytes: &[u8]) -> MessageIdData {
    let field = |number: u8, bytes: &mut &[u8]| {
        let (tag, rest) = bytes.split_first().expect("a tag");
        assert_eq!(*tag, number << 3, "the tag of field {number}");
        *bytes = rest;
        prost::encoding::decode_varint(bytes).expect("a number")
    };
    let mut rest = bytes;
    let [ledger_id, entry_id, partition, batch] = [1, 2, 3, 4].map(|number| field(number, &mut rest));
    assert_eq!((partition, batch, rest), (0, 0, &[][..]), "a place as Milvus writes it");
    MessageIdData { ledger_id, entry_id, ..MessageIdData::default() }
}

/// Whatever it is.
struct Raw;

impl DeserializeMessage for Raw {
    type Output = ();

    fn deserialize_message(_: &Payload) {}
}

fn java(classes: &Path, folder: &Path) -> Command {
    let mut command = Command::new("java");
    command
        .current_dir(folder)
        .args(["-Xmx512m", "-XX:MaxDirectMemorySize=512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .args(["-Dio.netty.tryReflectionSetAccessible=true", "-Dlog4j.configurationFile=log4j2.properties"])
        .args(OPENED.map(|package| format!("--add-opens={package}=ALL-UNNAMED")))
        .arg("-cp")
        .arg(classes)
        .arg("org.apache.pulsar.PulsarStandaloneStarter")
        .args(["--config", "standalone.conf", "--no-functions-worker", "--no-stream-storage"])
        // Its storage takes a free port by itself.
        .args(["--metadata-dir", "data/metadata", "--bookkeeper-dir", "data/bookkeeper"]);
    command
}

/// What it reaches into, against the rules of its Java.
const OPENED: [&str; 6] = [
    "java.base/java.nio",
    "java.base/jdk.internal.misc",
    "java.base/sun.net",
    "java.base/jdk.internal.platform",
    "java.management/sun.management",
    "jdk.management/com.sun.management.internal",
];

const LOGGING: &str = "status=error
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{HH:mm:ss.SSS} %-5p %c{1} %m%n
rootLogger.level=info
rootLogger.appenderRef.console.ref=console
";

fn configuration(ports: Ports, own: &Pair) -> String {
    let Ports { plain, encrypted, web } = ports;
    // The storage takes its settings from here, too: without `listeningInterface` it would
    // listen everywhere, and it must take what the broker takes, and a little more.
    format!(
        "clusterName=standalone
bindAddress=127.0.0.1
advertisedAddress=127.0.0.1
brokerServicePort={plain}
brokerServicePortTls={encrypted}
tlsCertificateFilePath={}
tlsKeyFilePath={}
webServicePort={web}
authenticationEnabled=true
authenticationProviders=org.apache.pulsar.broker.authentication.AuthenticationProviderToken
tokenSecretKey=data:;base64,{TOKEN_KEY}
anonymousUserRole=anonymous
numIOThreads=2
numHttpServerThreads=4
managedLedgerDefaultEnsembleSize=1
managedLedgerDefaultWriteQuorum=1
managedLedgerDefaultAckQuorum=1
managedLedgerCacheSizeMB=64
loadBalancerEnabled=false
systemTopicEnabled=false
topicLevelPoliciesEnabled=false
transactionCoordinatorEnabled=false
brokerDeleteInactiveTopicsEnabled=false
bookkeeperNumberOfChannelsPerBookie=2
defaultNumberOfNamespaceBundles=1
allowLoopback=true
listeningInterface=lo
diskUsageThreshold=0.99
diskUsageWarnThreshold=0.98
httpServerEnabled=false
dbStorage_writeCacheMaxSizeMb=32
dbStorage_readAheadCacheMaxSizeMb=32
dbStorage_rocksDB_blockCacheSize=16777216
journalSyncData=false
nettyMaxFrameSizeBytes=5253120
",
        own.cert.display(),
        own.key.display(),
    )
}
