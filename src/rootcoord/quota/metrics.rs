//! What nodes and proxies tell of themselves, from the JSON that GetMetrics answers.
//!
//! A node that its coordinator could not ask has an error instead of figures, and an id that is
//! made up.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer};

use crate::{
    ids::{CollectionId, ServerId},
    tso::hybrid::Timestamp,
};

/// An answer can't be read.
#[derive(Debug, thiserror::Error)]
#[error("the metrics of {of} can't be read: {source}")]
pub struct BadMetrics {
    /// Whose they are.
    of: &'static str,
    source: serde_json::Error,
}

/// A node's memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// What it uses.
    pub used: u64,
    /// What there is.
    pub total: u64,
}

impl Memory {
    /// How much of it `bytes` are; `None`: it is not known how much there is.
    pub(super) fn part(self, bytes: u64) -> Option<f64> {
        (self.total > 0).then(|| bytes as f64 / self.total as f64)
    }
}

/// How far a node has come in the channel that is furthest behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The channel.
    pub channel: String,
    /// The tick that it has come to.
    pub at: Timestamp,
}

/// What waits in a querynode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// So many vectors; a query counts as one.
    pub length: i64,
    /// So long on average.
    pub latency: Duration,
}

/// A querynode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryNode {
    /// Its memory.
    pub memory: Memory,
    /// Bytes of segments that are still written.
    pub growing: u64,
    /// `None`: it follows no channel.
    pub flow: Option<Flow>,
    /// Searches.
    pub searches: Queue,
    /// Queries.
    pub queries: Queue,
    /// What is loaded there.
    pub collections: Vec<CollectionId>,
}

/// A datanode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataNode {
    /// Its memory.
    pub memory: Memory,
    /// `None`: it follows no channel.
    pub flow: Option<Flow>,
    /// What is written there.
    pub collections: Vec<CollectionId>,
}

/// How much data there is, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// In all.
    pub total: i64,
    /// Of each collection.
    pub collections: BTreeMap<CollectionId, i64>,
}

/// What goes through a proxy, per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProxyRates {
    /// Vectors searched for.
    pub searches: f64,
    /// Queries.
    pub queries: f64,
    /// Bytes of results.
    pub results: f64,
}

/// Everything that is known of the cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// The querynodes.
    pub query_nodes: BTreeMap<ServerId, QueryNode>,
    /// The datanodes.
    pub data_nodes: BTreeMap<ServerId, DataNode>,
    /// `None`: datacoord has not counted yet.
    pub disk: Option<Disk>,
    /// The proxies.
    pub proxies: BTreeMap<ServerId, ProxyRates>,
}

/// What a coordinator tells of its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told<N> {
    /// By id.
    pub nodes: BTreeMap<ServerId, N>,
    /// There are nodes that it could not ask.
    pub some_silent: bool,
}

/// Querycoord's answer.
///
/// # Errors
/// [`BadMetrics`]
pub fn of_query_coord(json: &str) -> Result<Told<QueryNode>, BadMetrics> {
    let read: QueryTopology = read("querycoord", json)?;
    Ok(told(read.cluster.connected_nodes, |quota: QueryQuota| QueryNode {
        memory: quota.hms.memory(),
        growing: u64::try_from(quota.growing_segments_size).unwrap_or_default(),
        flow: quota.fgm.flow(),
        searches: quota.search_queue.queue(),
        queries: quota.query_queue.queue(),
        collections: quota.effect.collections(),
    }))
}

/// Datacoord's answer.
///
/// # Errors
/// [`BadMetrics`]
pub fn of_data_coord(json: &str) -> Result<(Told<DataNode>, Option<Disk>), BadMetrics> {
    let read: DataTopology = read("datacoord", json)?;
    let disk = read.cluster.own.quota_metrics.map(|quota| Disk {
        total: quota.total_binlog_size,
        collections: quota
            .collection_binlog_size
            .into_iter()
            .map(|(id, size)| (CollectionId(id), size))
            .collect(),
    });
    let nodes = told(read.cluster.connected_data_nodes, |quota: DataQuota| DataNode {
        memory: quota.hms.memory(),
        flow: quota.fgm.flow(),
        collections: quota.effect.collections(),
    });
    Ok((nodes, disk))
}

/// A proxy's answer.
///
/// # Errors
/// [`BadMetrics`]
pub fn of_proxy(json: &str) -> Result<ProxyRates, BadMetrics> {
    let read: Node<ProxyQuota> = read("a proxy", json)?;
    let measured = read.quota_metrics.unwrap_or_default().rms;
    let sum = |label: &str| measured.iter().filter(|it| it.label == label).map(|it| it.rate).sum();
    Ok(ProxyRates {
        searches: sum("DQLSearch"),
        queries: sum("DQLQuery"),
        results: sum("ReadResultThroughput"),
    })
}

fn read<'a, T: Deserialize<'a>>(of: &'static str, json: &'a str) -> Result<T, BadMetrics> {
    serde_json::from_str(json).map_err(|source| BadMetrics { of, source })
}

fn told<Q, N>(nodes: Vec<Node<Q>>, figures: impl Fn(Q) -> N) -> Told<N> {
    let mut told = Told { nodes: BTreeMap::new(), some_silent: false };
    for node in nodes {
        match node.quota_metrics {
            Some(quota) => {
                told.nodes.insert(ServerId(node.id), figures(quota));
            }
            None => told.some_silent |= node.has_error,
        }
    }
    told
}

/// Go writes an empty list or map that was never made as `null`.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct QueryTopology {
    cluster: QueryCluster,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct QueryCluster {
    #[serde(deserialize_with = "or_default")]
    connected_nodes: Vec<Node<QueryQuota>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DataTopology {
    cluster: DataCluster,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DataCluster {
    #[serde(rename = "self")]
    own: Node<DiskQuota>,
    #[serde(deserialize_with = "or_default")]
    connected_data_nodes: Vec<Node<DataQuota>>,
}

#[derive(Debug, Deserialize)]
struct Node<Q> {
    #[serde(default)]
    id: i64,
    #[serde(default)]
    has_error: bool,
    quota_metrics: Option<Q>,
}

impl<Q> Default for Node<Q> {
    fn default() -> Self {
        Self { id: 0, has_error: false, quota_metrics: None }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct QueryQuota {
    hms: Hardware,
    fgm: FlowGraph,
    search_queue: QueueFigures,
    query_queue: QueueFigures,
    growing_segments_size: i64,
    effect: Effect,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct DataQuota {
    hms: Hardware,
    fgm: FlowGraph,
    effect: Effect,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct DiskQuota {
    total_binlog_size: i64,
    #[serde(deserialize_with = "or_default")]
    collection_binlog_size: BTreeMap<i64, i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ProxyQuota {
    #[serde(deserialize_with = "or_default")]
    rms: Vec<Measured>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Measured {
    label: String,
    rate: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Hardware {
    memory: u64,
    memory_usage: u64,
}

impl Hardware {
    fn memory(&self) -> Memory {
        Memory { used: self.memory_usage, total: self.memory }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct FlowGraph {
    min_flow_graph_channel: String,
    min_flow_graph_tt: u64,
    num_flow_graph: i64,
}

impl FlowGraph {
    fn flow(self) -> Option<Flow> {
        let flows = self.num_flow_graph > 0 && !self.min_flow_graph_channel.is_empty();
        flows.then_some(Flow { channel: self.min_flow_graph_channel, at: Timestamp(self.min_flow_graph_tt) })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct QueueFigures {
    unsolved_queue: i64,
    ready_queue: i64,
    receive_chan: i64,
    execute_chan: i64,
    /// Nanoseconds.
    avg_queue_duration: i64,
}

impl QueueFigures {
    fn queue(&self) -> Queue {
        let parts = [self.unsolved_queue, self.ready_queue, self.receive_chan, self.execute_chan];
        Queue {
            length: parts.into_iter().fold(0, i64::saturating_add),
            latency: Duration::from_nanos(u64::try_from(self.avg_queue_duration).unwrap_or_default()),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Effect {
    #[serde(rename = "CollectionIDs", deserialize_with = "or_default")]
    collection_ids: Vec<i64>,
}

impl Effect {
    fn collections(self) -> Vec<CollectionId> {
        self.collection_ids.into_iter().map(CollectionId).collect()
    }
}
