mod figures;
mod reading;
mod rounds;
mod writing;

use std::{collections::BTreeMap, time::Duration};

use super::{
    Access, Bounds, CollectionRates, DataNode, Disk, Flow, Limits, Memory, Metrics, NO_LIMIT, OwnLimits,
    ProxyRates, QueryNode, Queue, Rate, Rates, Reason, compute,
};
use crate::{
    ids::{CollectionId, ServerId},
    tso::hybrid::Timestamp,
};

const MB: f64 = 1024.0 * 1024.0;
/// When decisions are made.
const NOW: u64 = 1_800_000_000_000;
/// Two collections; a third one nobody has.
const A: CollectionId = CollectionId(1);
const B: CollectionId = CollectionId(2);
const C: CollectionId = CollectionId(3);

/// So many percent of a node's memory.
fn full(percent: u64) -> Memory {
    Memory { used: percent * 10, total: 1000 }
}

fn behind(delay: Duration) -> Option<Flow> {
    let at = Timestamp::at_milli(NOW - u64::try_from(delay.as_millis()).expect("short"));
    Some(Flow { channel: "dml_0".to_owned(), at })
}

fn data_node(memory: Memory, collections: &[CollectionId]) -> DataNode {
    DataNode { memory, flow: None, collections: collections.to_vec() }
}

fn query_node(memory: Memory, collections: &[CollectionId]) -> QueryNode {
    QueryNode { memory, collections: collections.to_vec(), ..QueryNode::default() }
}

/// With ids from 11 and from 21.
fn metrics(data: impl IntoIterator<Item = DataNode>, query: impl IntoIterator<Item = QueryNode>) -> Metrics {
    Metrics {
        data_nodes: (11..).map(ServerId).zip(data).collect(),
        query_nodes: (21..).map(ServerId).zip(query).collect(),
        ..Metrics::default()
    }
}

/// Where datanodes have A and B, with memory to spare, and a querynode A.
fn well() -> Metrics {
    metrics([data_node(full(10), &[A, B])], [query_node(full(10), &[A])])
}

/// All of it per second: 100 inserted, 200 upserted, 300 deleted, 400 imported; 50 vectors, 60 queries.
fn limited() -> Limits {
    let most = [100.0, 200.0, 300.0, 400.0, 50.0, 60.0];
    let bounds = Rate::ALL.into_iter().zip(most).map(|(rate, most)| (rate, Bounds { most, least: 0.0 }));
    Limits { bounds: bounds.collect(), ..Limits::default() }
}

fn own(pairs: &[(&str, &str)]) -> OwnLimits {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    OwnLimits::of(&pairs.iter().map(owned).collect())
}

fn decide(metrics: &Metrics, limits: &Limits) -> Rates {
    compute(metrics, limits, &BTreeMap::new(), Timestamp::at_milli(NOW)).rates
}

fn decide_with(metrics: &Metrics, limits: &Limits, own: OwnLimits) -> CollectionRates {
    compute(metrics, limits, &BTreeMap::from([(A, own)]), Timestamp::at_milli(NOW)).rates[&A].clone()
}

/// Inserts, upserts, deletions, imports.
fn writes(rates: &CollectionRates) -> [f64; 4] {
    Rate::WRITES.map(|rate| rates.rates[&rate])
}

/// Searches, queries.
fn reads(rates: &CollectionRates) -> [f64; 2] {
    Rate::READS.map(|rate| rates.rates[&rate])
}

#[track_caller]
fn check_denied(rates: &CollectionRates, reason: Reason) {
    assert_eq!(writes(rates), [0.0; 4]);
    assert_eq!(rates.denied.get(&Access::Writing), Some(&reason));
}

#[test]
fn nothing_is_limited_if_nothing_is_set() {
    let rates = decide(&well(), &Limits::default());
    assert_eq!(rates.keys().collect::<Vec<_>>(), [&A, &B]);
    assert_eq!(writes(&rates[&A]), [NO_LIMIT; 4]);
    assert_eq!(reads(&rates[&A]), [NO_LIMIT; 2]);
    assert!(rates.values().all(|it| it.denied.is_empty()));
}

#[test]
fn what_datanodes_have_is_written_and_what_querynodes_have_is_read() {
    let rates = decide(&well(), &limited());
    assert_eq!(writes(&rates[&A]), [100.0, 200.0, 300.0, 400.0]);
    assert_eq!(reads(&rates[&A]), [50.0, 60.0]);
    assert_eq!(rates[&B].rates.keys().collect::<Vec<_>>(), Rate::WRITES.iter().collect::<Vec<_>>());
    assert_eq!(decide(&Metrics::default(), &limited()), Rates::new());
}

#[test]
fn a_collection_s_properties_go_before_the_configuration() {
    let properties = own(&[
        ("collection.insertRate.max.mb", "2"),
        ("collection.upsertRate.max.mb", "0.5"),
        ("collection.deleteRate.max.mb", "0"),
        ("collection.bulkLoadRate.max.mb", "1e300"),
        ("collection.searchRate.max.vps", "7"),
        ("collection.queryRate.max.qps", "8.5"),
    ]);
    for limits in [Limits::default(), limited()] {
        let rates = decide_with(&well(), &limits, properties.clone());
        assert_eq!(writes(&rates), [2.0 * MB, 0.5 * MB, 0.0, MB * 1e300]);
        assert_eq!(reads(&rates), [7.0, 8.5]);
        assert!(rates.denied.is_empty());
    }
}

#[test]
fn properties_that_say_nothing_leave_the_configuration() {
    let properties = own(&[
        ("collection.insertRate.max.mb", "-1"),
        ("collection.upsertRate.max.mb", "much"),
        ("collection.deleteRate.max.mb", "NaN"),
        ("collection.ttl.seconds", "5"),
    ]);
    let unreadable = [
        ("collection.upsertRate.max.mb", "much".to_owned()),
        ("collection.deleteRate.max.mb", "NaN".to_owned()),
    ];
    assert_eq!(properties.unreadable, unreadable);
    assert_eq!(writes(&decide_with(&well(), &limited(), properties)), [100.0, 200.0, 300.0, 400.0]);
    let endless = own(&[("collection.insertRate.max.mb", "1e308"), ("collection.searchRate.max.vps", "inf")]);
    let rates = decide_with(&well(), &limited(), endless);
    assert_eq!((writes(&rates)[0], reads(&rates)[0]), (NO_LIMIT, NO_LIMIT));
}
