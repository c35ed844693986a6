//! One side of the comparison: an etcd, a Kafka, peers that are played, and a rootcoord that
//! is either the real one or ours. Both sides have the same names, ids of servers and limits.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use etcd_client::{Client, GetOptions};
use milvus_coord_testbed::{
    bed::ROOT,
    etcd::Etcd,
    instance::{Instance, Plan},
    kafka::Stored,
    keys,
    oracle::{Oracle, RealCluster},
    queue::{Broker, Queue},
    session::Sessions,
};
use milvus_proto::{
    common::{MsgBase, MsgType},
    internal::ChannelTimeTickMsg,
    rootcoord::{AllocTimestampRequest, AllocTimestampResponse},
};
use parking_lot::Mutex;
use prost::Message as _;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use crate::{
    calls::Call,
    fields::{self, Field, ROOT_COORD},
    peers::{Heard, Peer, Peers, SOON},
    quotas,
    transcript::Section,
    wire,
};

/// A Go program and a Java program on a busy machine.
const START: Duration = Duration::from_secs(120);

/// How often proxies report (`proxy.timeTickInterval`).
const REPORT: Duration = Duration::from_millis(200);

/// Seconds that a lease lasts. None is waited for.
const LEASE: u32 = 30;

/// Beside the fields of an answer: which peers were asked what, in order.
const ASKED: &str = "asked";

/// Small enough to be reached.
const LIMITS: [(&str, u32); 6] = [
    ("rootCoord.dmlChannelNum", 4),
    ("rootCoord.maxDatabaseNum", 3),
    ("rootCoord.maxPartitionNum", 4),
    ("proxy.maxShardNum", 3),
    ("quotaAndLimits.limits.maxCollectionNumPerDB", 5),
    ("quotaAndLimits.limits.maxCollectionNum", 7),
];

/// Which rootcoord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Real,
    Ours,
}

impl Kind {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Real => Self::Ours,
            Self::Ours => Self::Real,
        }
    }
}

/// See the module. Dropping it ends everything.
pub(crate) struct Side {
    pub(crate) kind: Kind,
    /// Asks the rootcoord in the proxy's name.
    reporter: JoinSet<()>,
    active: Member,
    pub(crate) peers: Peers,
    /// What peers were asked without a call that led to it.
    background: Mutex<Vec<Heard>>,
    store: Client,
    oracle: Oracle,
    cluster: RealCluster,
    etcd: Etcd,
    run: TempDir,
}

/// A rootcoord, and the way to it.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) instance: Instance,
    channel: Channel,
}

impl Member {
    fn start(plan: Plan) -> Self {
        let instance = plan.start();
        let endpoint = Endpoint::from_shared(format!("http://{}", instance.address())).expect("an address");
        let channel = endpoint.connect_timeout(SOON).timeout(SOON).connect_lazy();
        Self { instance, channel }
    }

    /// What it answers.
    pub(crate) async fn answer(
        &self,
        method: &str,
        headers: &[(&str, String)],
        request: Bytes,
    ) -> Vec<Field> {
        match wire::call(&self.channel, ROOT_COORD, method, headers, request).await {
            Ok(answer) => fields::of_type(fields::method(ROOT_COORD, method).output(), &answer),
            Err(status) => vec![("grpc".to_owned(), format!("{:?}: {}", status.code(), status.message()))],
        }
    }

    /// The same, as a message.
    ///
    /// # Panics
    /// When there is none.
    pub(crate) async fn decoded<M: prost::Message + Default>(
        &self,
        method: &str,
        request: impl prost::Message,
    ) -> M {
        let answer = wire::call(&self.channel, ROOT_COORD, method, &[], request.encode_to_vec().into()).await;
        M::decode(answer.unwrap_or_else(|status| panic!("{method}: {status}")))
            .expect("an answer of that type")
    }
}

impl Side {
    /// Starts everything, and waits until the rootcoord serves.
    pub(crate) async fn start(kind: Kind, queue: Queue, oracle: &Oracle) -> Self {
        let (etcd, cluster, peers) =
            tokio::join!(Etcd::single(), RealCluster::on(queue, oracle), Peers::start());
        let etcd = etcd.expect("an etcd");
        let mut store = etcd.client().await.expect("a client of etcd");
        for (key, value) in peers.sessions() {
            store.put(format!("{ROOT}/meta/session/{key}"), value, None).await.expect("a session");
        }
        let run = tempfile::Builder::new().prefix("milvus-coord-run-").tempdir().expect("a temporary folder");
        let active = Member::start(plan(kind, oracle, &cluster, &etcd, run.path()));
        active.instance.serves(START).await;
        let (reporter, background) = (JoinSet::new(), Mutex::default());
        Self { kind, reporter, active, peers, background, store, oracle: oracle.clone(), cluster, etcd, run }
    }

    /// From now on the proxy reports its times. Before that there are no ticks, nothing that waits
    /// for ticks is finished, and so no channel is given back: the channels that a collection gets
    /// do not depend on how fast that goes.
    pub(crate) fn report(&mut self) {
        self.reporter.spawn(report(self.active.channel.clone()));
    }

    /// What stands for the same on both sides, though it is not the same.
    pub(crate) fn replacements(&self) -> Vec<(String, String)> {
        let etcd = self.etcd.endpoint(0).replace("http://", "");
        let broker = self.broker();
        vec![
            (self.active.instance.address(), "<address>".to_owned()),
            (etcd, "<etcd>".to_owned()),
            (broker.address(), format!("<{}>", broker.name())),
        ]
    }

    /// Makes a call, and tells what came of it: the answer, and each question to a peer meanwhile.
    pub(crate) async fn ask(&self, call: &Call) -> Vec<Section> {
        self.keep_background(self.peers.take());
        for (method, refusal) in &call.refusals {
            self.peers.refuse(method, refusal.clone());
        }
        let mut answer = self.answer(call).await;
        self.peers.relent();
        let process = &self.active.instance.process;
        let gone = answer.iter().any(|(_, value)| value.contains("transport error"));
        assert!(!gone && process.ended().is_none(), "{}: it ended\n{}", call.label, process.log.tail(40));
        let heard = self.keep_background(self.peers.take());
        let order: Vec<String> = heard.iter().map(Heard::name).collect();
        if !order.is_empty() {
            answer.push((ASKED.to_owned(), order.join(", ")));
        }
        let mut sections = vec![Section::new(call.label.clone(), answer)];
        sections.extend(labelled(&format!("{}: ", call.label), heard));
        sections.into_iter().map(|section| section.at(&call.label)).collect()
    }

    /// Makes a call, and tells what the answer is.
    pub(crate) async fn answer(&self, call: &Call) -> Vec<Field> {
        self.active.answer(call.method, &call.headers, (call.request)(&self.peers)).await
    }

    /// Keeps those that no call led to, and returns the others.
    fn keep_background(&self, heard: Vec<Heard>) -> Vec<Heard> {
        let (background, others) = heard.into_iter().partition(Heard::is_in_background);
        self.background.lock().extend::<Vec<_>>(background);
        others
    }

    /// What peers were asked without a call that led to it, each once.
    pub(crate) fn background(&self) -> Vec<Section> {
        self.keep_background(self.peers.take());
        let mut seen = BTreeSet::new();
        let background = self.background.lock().clone();
        labelled("", background.into_iter().filter(|heard| seen.insert(heard.title())).collect())
    }

    /// Waits until a peer was asked something without a call that led to it.
    pub(crate) async fn asked(&self, what: &str, is_it: impl Fn(&Heard) -> bool) {
        if !self.background.lock().iter().any(&is_it) {
            self.peers.hear(what, is_it).await;
        }
    }

    /// Waits until a peer is asked something from now on.
    pub(crate) async fn next(&self, what: &str, is_it: impl Fn(&Heard) -> bool) -> Heard {
        self.keep_background(self.peers.take());
        self.peers.hear(what, &is_it).await;
        let heard = self.peers.take();
        let found = heard.iter().find(|heard| is_it(heard)).cloned();
        self.keep_background(heard);
        found.expect("it was heard")
    }

    /// Sets a setting while the rootcoord runs, or takes that back.
    pub(crate) async fn set_live(&self, key: &str, value: Option<&str>) {
        let (mut store, key) = (self.store.clone(), format!("{ROOT}/config/{key}"));
        match value {
            Some(value) => store.put(key, value, None).await.map(|_| ()),
            None => store.delete(key, None).await.map(|_| ()),
        }
        .expect("etcd takes it");
    }

    /// Every key of the cluster.
    pub(crate) async fn keys(&self) -> Vec<(String, Vec<u8>)> {
        let options = GetOptions::new().with_prefix();
        let found = self.store.clone().get(format!("{ROOT}/"), Some(options)).await.expect("etcd answers");
        let own: Vec<String> =
            self.peers.sessions().iter().map(|(key, _)| format!("{ROOT}/meta/session/{key}")).collect();
        let kvs =
            found.kvs().iter().map(|kv| (kv.key_str().expect("a text").to_owned(), kv.value().to_vec()));
        kvs.filter(|(key, _)| !own.contains(key)).collect()
    }

    /// Waits until a key has a value that is so.
    pub(crate) async fn key(&self, key: &str, is_it: impl Fn(&[u8]) -> bool) {
        let is_there = |pairs: &[keys::Pair]| pairs.iter().any(|(found, value)| found == key && is_it(value));
        keys::wait(&self.store, key, key, SOON, is_there).await;
    }

    /// Every message, by topic.
    pub(crate) async fn topics(&self) -> BTreeMap<String, Vec<Stored>> {
        let mut all = BTreeMap::new();
        for (topic, partitions) in self.cluster.kafka().topics().await {
            assert_eq!(partitions, 1, "{topic}");
            all.insert(topic.clone(), self.cluster.kafka().messages(&topic).await);
        }
        all
    }

    /// Waits until a topic holds a message that is so.
    pub(crate) async fn message(&self, topic: &str, what: &str, is_it: impl Fn(&[u8]) -> bool) {
        let deadline = Instant::now() + SOON;
        while !self.broker().payloads(topic).await.iter().any(|payload| is_it(payload)) {
            assert!(Instant::now() < deadline, "{topic}: no {what} in time");
        }
    }

    /// The message queue.
    pub(crate) fn broker(&self) -> &Broker {
        self.cluster.broker()
    }

    /// The message queue, to kill it and run it again.
    pub(crate) fn broker_mut(&mut self) -> &mut Broker {
        self.cluster.broker_mut()
    }

    /// A rootcoord that waits for its turn.
    pub(crate) async fn standby(&self, kind: Kind, settings: &[(&str, &str)]) -> Member {
        let plan = plan(kind, &self.oracle, &self.cluster, &self.etcd, self.run.path());
        let plan = settings.iter().fold(plan, |plan, (key, value)| plan.set(key, value));
        let standby = Member::start(plan);
        standby.instance.standby().await;
        standby
    }

    /// Ends the active one for good, as its operator does or, the real one, who would keep its
    /// lease, by force; waits until `standby` serves in its place.
    pub(crate) async fn hand_over(&mut self, standby: Member) {
        self.reporter.abort_all();
        let sessions = Sessions::new(self.store.clone(), ROOT, "rootcoord");
        let before = sessions.active().await.expect("etcd answers").expect("somebody is ACTIVE");
        match self.kind {
            Kind::Ours => {
                self.active.instance.terminate();
                self.active.instance.process.exit(SOON).await;
            }
            Kind::Real => {
                self.active.instance.kill().await;
                // Perhaps ours has seen its end, and done it already.
                let _ = self.store.lease_revoke(before.lease).await;
            }
        }
        standby.instance.serves(START).await;
        self.active = standby;
    }

    /// Kills the active one; waits until `standby`, of our kind, serves in its place, which it does
    /// within `limit` after that. The proxy reports to it then.
    pub(crate) async fn kill(&mut self, standby: Member, limit: Duration) {
        let killed = self.active.instance.kill().await;
        let served = standby.instance.serves(limit).await;
        assert!(served - killed < limit, "{:?}", served - killed);
        self.reporter.abort_all();
        self.active = standby;
        self.report();
    }

    /// The active one.
    pub(crate) fn active(&self) -> &Member {
        &self.active
    }
}

/// Both read the same files.
fn plan(kind: Kind, oracle: &Oracle, cluster: &RealCluster, etcd: &Etcd, run: &Path) -> Plan {
    let configuration = oracle.configuration();
    let plan = match kind {
        Kind::Real => cluster
            .rootcoord(&etcd.endpoints(), ROOT)
            .named("real rootcoord")
            .set("common.session.ttl", LEASE),
        Kind::Ours => Plan::rootcoord(Path::new(env!("CARGO_BIN_EXE_milvus-coord")), &etcd.endpoints(), ROOT)
            .named("our rootcoord")
            .environment("MILVUSCONF", configuration.display())
            .set("common.activeStandby.runDirectory", run.display())
            .set("common.activeStandby.leaseSeconds", LEASE),
    };
    let plan = cluster.broker().settings().iter().fold(plan, |plan, (key, value)| plan.set(key, value));
    let plan = LIMITS.iter().fold(plan, |plan, (key, value)| plan.set(key, value));
    quotas::LIMITS.iter().fold(plan, |plan, (key, value)| plan.set(key, value))
}

/// One section each. In an order of their own: in which order they were asked is in the answer.
fn labelled(prefix: &str, mut heard: Vec<Heard>) -> Vec<Section> {
    heard.sort_by_key(Heard::title);
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let label = |heard: &Heard| {
        let count = counts.entry(heard.title()).or_default();
        *count += 1;
        let again = if *count == 1 { String::new() } else { format!(", {count}") };
        Section::new(format!("{prefix}{}{again}", heard.title()), heard.fields())
    };
    heard.iter().map(label).collect()
}

/// A proxy without writes under way, for ever.
async fn report(channel: Channel) {
    let mut tick = tokio::time::interval(REPORT);
    loop {
        tick.tick().await;
        let request = AllocTimestampRequest { base: None, count: 1 }.encode_to_vec();
        let answer = wire::call(&channel, ROOT_COORD, "AllocTimestamp", &[], request.into()).await;
        let Some(answer) = answer.ok().and_then(|answer| AllocTimestampResponse::decode(answer).ok()) else {
            continue;
        };
        let report = ChannelTimeTickMsg {
            base: Some(MsgBase {
                msg_type: MsgType::TimeTick.into(),
                source_id: Peer::Proxy.id(),
                ..MsgBase::default()
            }),
            channel_names: Vec::new(),
            timestamps: Vec::new(),
            default_timestamp: answer.timestamp,
        };
        // What goes wrong is seen by those who wait for ticks.
        let _ = wire::call(&channel, ROOT_COORD, "UpdateChannelTimeTick", &[], report.encode_to_vec().into())
            .await;
    }
}
