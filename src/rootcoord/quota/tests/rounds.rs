//! What happens in a term, with others that are played. Time is paused.

use std::sync::Arc;

use milvus_proto::{
    common::KeyValuePair,
    milvus::CreateCollectionRequest,
    schema::{CollectionSchema, DataType, FieldSchema},
};
use parking_lot::Mutex;
use prost::Message as _;

use super::*;
use crate::{
    clock::Clock as _,
    election::core::RoleCore as _,
    rootcoord::{
        ddl::Request,
        peers::memory::{Call, CallKind},
        quota::{LimitSource, QuotaSettings},
        testing::{Bed, Instance, W},
    },
    rpc::merr::MilvusError,
};

const INTERVAL: Duration = Duration::from_secs(3);
/// More than a round that ends takes.
const MOMENT: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
struct Set(Mutex<Limits>);

impl LimitSource for Set {
    fn limits(&self) -> Limits {
        self.0.lock().clone()
    }
}

/// The instances of a cluster whose limits can be set.
struct Cluster {
    bed: Bed,
    set: Arc<Set>,
}

impl Cluster {
    fn new() -> Self {
        let mut bed = Bed::new();
        let set = Arc::new(Set::default());
        bed.quota = Some(QuotaSettings { interval: INTERVAL, limits: set.clone() });
        let cluster = Self { bed, set };
        cluster.nodes_have(&[1]);
        cluster
    }

    /// A datanode, with memory to spare.
    fn nodes_have(&self, collections: &[i64]) {
        let json = serde_json::json!({"cluster": {"connected_data_nodes": [{"id": 11, "quota_metrics": {
            "Hms": {"memory": 100, "memory_usage": 10}, "Effect": {"CollectionIDs": collections},
        }}]}});
        self.bed.peers.set_metrics(CallKind::DataMetrics, &json.to_string());
    }

    async fn active(&self) -> Instance {
        let mut instance = self.bed.instance();
        instance.take_over(&self.bed.store).await;
        let gate = instance.gate.as_ref().expect("a term");
        let long = self.bed.clock.boot() + Duration::from_secs(3600);
        gate.lease_valid_until(long);
        gate.excuse_until(long);
        instance
    }

    /// The rates that were told from now on for so long, in short: collections, and inserts of 1.
    async fn told_within(&self, time: Duration) -> Vec<(Vec<i64>, Option<f64>)> {
        tokio::time::sleep(time).await;
        let short = |rates: Rates| {
            let inserts = rates.get(&A).map(|it| it.rates[&Rate::Insert]);
            (rates.keys().map(|id| id.0).collect(), inserts)
        };
        self.bed.peers.take_rates().into_iter().map(short).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn proxies_are_told_at_once_and_then_again_and_again() {
    let cluster = Cluster::new();
    let _active = cluster.active().await;
    let unlimited = || (vec![1], Some(NO_LIMIT));
    assert_eq!(cluster.told_within(MOMENT).await, [unlimited()]);
    assert_eq!(cluster.told_within(2 * INTERVAL).await, [unlimited(), unlimited()]);
    cluster.nodes_have(&[]);
    assert_eq!(cluster.told_within(INTERVAL).await, [(vec![], None)]);
}

#[tokio::test(start_paused = true)]
async fn limits_that_change_count_in_the_next_round() {
    let cluster = Cluster::new();
    let _active = cluster.active().await;
    cluster.told_within(MOMENT).await;
    cluster.set.0.lock().deny_writing = true;
    assert_eq!(cluster.told_within(INTERVAL).await, [(vec![1], Some(0.0))]);
    *cluster.set.0.lock() = limited();
    assert_eq!(cluster.told_within(INTERVAL).await, [(vec![1], Some(100.0))]);
}

#[tokio::test(start_paused = true)]
async fn who_takes_over_tells_the_same_at_once() {
    let cluster = Cluster::new();
    *cluster.set.0.lock() = limited();
    let first = cluster.active().await;
    assert_eq!(cluster.told_within(MOMENT).await, [(vec![1], Some(100.0))]);
    first.core.deactivate().await;
    assert_eq!(cluster.told_within(2 * INTERVAL).await, []);
    let _second = cluster.active().await;
    assert_eq!(cluster.told_within(MOMENT).await, [(vec![1], Some(100.0))]);
}

#[tokio::test(start_paused = true)]
async fn a_collection_s_own_limits_come_from_the_catalogue() {
    let cluster = Cluster::new();
    let active = cluster.active().await;
    let field = |name: &str, data_type: DataType| FieldSchema {
        name: name.to_owned(),
        data_type: data_type.into(),
        is_primary_key: name == "id",
        ..FieldSchema::default()
    };
    let schema = CollectionSchema {
        name: "books".to_owned(),
        fields: vec![field("id", DataType::Int64), field("vector", DataType::FloatVector)],
        ..CollectionSchema::default()
    };
    let property = KeyValuePair { key: "collection.insertRate.max.mb".to_owned(), value: "2".to_owned() };
    let create = CreateCollectionRequest {
        collection_name: "books".to_owned(),
        schema: schema.encode_to_vec(),
        shards_num: 1,
        properties: vec![property],
        ..CreateCollectionRequest::default()
    };
    let created = active.core.change(active.caller(), Request::CreateCollection(Box::new(create))).await;
    assert_eq!(created, Ok(()));
    let watched = cluster.bed.peers.take_calls().into_iter().find_map(|call| match call {
        Call::WatchChannels(id) => Some(id),
        _ => None,
    });
    let id = watched.expect("datacoord was told");
    cluster.nodes_have(&[id.0]);
    cluster.bed.peers.heard(|call| matches!(call, Call::SetRates(rates) if rates.contains_key(&id))).await;
    let told = cluster.bed.peers.take_rates().pop().expect("it was heard");
    assert_eq!(told[&id].rates[&Rate::Insert], 2.0 * MB);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_before_both_coordinators_have_told() {
    for kind in [CallKind::QueryMetrics, CallKind::DataMetrics] {
        let cluster = Cluster::new();
        cluster.bed.peers.fail(kind, MilvusError::plain("just being replaced"));
        let _active = cluster.active().await;
        assert_eq!(cluster.told_within(MOMENT).await, []);
        assert_eq!(cluster.told_within(INTERVAL).await.len(), 1);
        // It counts as it was, but not for ever.
        for _ in 0..100 {
            cluster.bed.peers.fail(kind, MilvusError::plain("gone"));
        }
        assert_eq!(cluster.told_within(19 * INTERVAL).await.len(), 19);
        assert_eq!(cluster.told_within(5 * INTERVAL).await, []);
    }
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_read_or_told_ends_no_more_than_its_round() {
    let cluster = Cluster::new();
    let peers = &cluster.bed.peers;
    peers.set_metrics(CallKind::QueryMetrics, "nonsense");
    let _active = cluster.active().await;
    assert_eq!(cluster.told_within(INTERVAL).await, []);
    peers.set_metrics(CallKind::QueryMetrics, "{}");
    peers.set_metrics(CallKind::ProxyMetrics, "nonsense");
    peers.fail(CallKind::SetRates, MilvusError::plain("not now"));
    assert_eq!(cluster.told_within(2 * INTERVAL).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_hangs_does_not_hold_up_the_end_of_the_term() {
    let kinds = [CallKind::QueryMetrics, CallKind::DataMetrics, CallKind::ProxyMetrics, CallKind::SetRates];
    for kind in kinds {
        let cluster = Cluster::new();
        let hanging = cluster.bed.peers.hang(kind);
        let active = cluster.active().await;
        cluster.bed.peers.heard(|call| call.kind() == kind).await;
        let before = tokio::time::Instant::now();
        active.core.deactivate().await;
        assert!(before.elapsed() < MOMENT, "{kind:?}");
        // What it tells then is for nobody.
        assert!(hanging.is_closed(), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_anything_without_a_proof() {
    let cluster = Cluster::new();
    let mut active = cluster.bed.instance();
    active.take_over(&cluster.bed.store).await;
    assert_eq!(cluster.told_within(MOMENT).await.len(), 1);
    assert_eq!(cluster.told_within(2 * INTERVAL).await, []);
    let mut told = 0;
    for _ in 0..100 {
        active.prove();
        told += cluster.told_within(W / 2).await.len();
    }
    assert!(told > 0);
    active.prove();
    active.gate.as_ref().expect("a term").end();
    assert_eq!(cluster.told_within(2 * INTERVAL).await, []);
}

#[tokio::test(start_paused = true)]
async fn without_it_nobody_is_asked_and_the_term_ends() {
    let mut cluster = Cluster::new();
    cluster.bed.quota = None;
    let active = cluster.active().await;
    tokio::time::sleep(3 * INTERVAL).await;
    let asked = cluster.bed.peers.take_calls();
    let kinds = [CallKind::QueryMetrics, CallKind::DataMetrics, CallKind::ProxyMetrics, CallKind::SetRates];
    assert!(!asked.iter().any(|call| kinds.contains(&call.kind())), "{asked:?}");
    active.core.deactivate().await;
}
