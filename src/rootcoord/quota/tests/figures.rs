//! What is read from the answers of others, and for how long it counts.

use super::*;
use crate::{
    clock::BootInstant,
    rootcoord::quota::{Collected, of_data_coord, of_proxy, of_query_coord},
};

const QUERY_COORD: &str = r#"{"cluster": {
    "self": {"has_error": false, "name": "querycoord8", "id": 8, "system_configurations": {}},
    "connected_nodes": [
        {"has_error": false, "error_reason": "", "name": "querynode21", "hardware_infos": {"memory": 1},
         "id": 21, "quota_metrics": {
            "Hms": {"ip": "10.0.0.1", "cpu_core_count": 2, "cpu_core_usage": 1.5,
                    "memory": 1000, "memory_usage": 900, "disk": 5, "disk_usage": 4},
            "Rms": [{"Label": "NQPerSecond", "Rate": 1.5}],
            "Fgm": {"MinFlowGraphChannel": "dml_0_1v0", "MinFlowGraphTt": 440000000000000000, "NumFlowGraph": 2},
            "SearchQueue": {"UnsolvedQueue": 1, "ReadyQueue": 2, "ReceiveChan": 3, "ExecuteChan": 4,
                            "AvgQueueDuration": 2500000000},
            "QueryQueue": {"UnsolvedQueue": 0, "ReadyQueue": 0, "ReceiveChan": 0, "ExecuteChan": 0,
                           "AvgQueueDuration": -1},
            "GrowingSegmentsSize": 300,
            "Effect": {"NodeID": 21, "CollectionIDs": [1, 2]}}},
        {"has_error": false, "id": 22, "quota_metrics": {
            "Hms": {"memory": 10, "memory_usage": 1}, "Rms": null,
            "Fgm": {"MinFlowGraphChannel": "", "MinFlowGraphTt": 18446744073709551615, "NumFlowGraph": 0},
            "GrowingSegmentsSize": 0, "Effect": {"NodeID": 22, "CollectionIDs": null}}},
        {"has_error": false, "id": 23, "quota_metrics": null}]},
    "connections": {"name": "", "connected_components": null}}"#;

const DATA_COORD: &str = r#"{"cluster": {
    "self": {"id": 7, "quota_metrics": {"TotalBinlogSize": 500, "CollectionBinlogSize": {"1": 200, "3": 300}}},
    "connected_data_nodes": [{"id": 11, "quota_metrics": {
        "Hms": {"memory": 1000, "memory_usage": 100}, "Rms": null,
        "Fgm": {"MinFlowGraphChannel": "dml_0_1v0", "MinFlowGraphTt": 5, "NumFlowGraph": 1},
        "Effect": {"NodeID": 11, "CollectionIDs": [1]}}}],
    "connected_index_nodes": null}}"#;

const PROXY: &str = r#"{"has_error": false, "name": "proxy5", "id": 5, "quota_metrics": {"Hms": {}, "Rms": [
    {"Label": "DQLSearch", "Rate": 3.5}, {"Label": "DQLQuery", "Rate": 2}, {"Label": "DMLInsert", "Rate": 9},
    {"Label": "ReadResultThroughput", "Rate": 1e6}]}}"#;

#[test]
fn querycoord_s_answer() {
    let told = of_query_coord(QUERY_COORD).expect("it is right");
    let busy = QueryNode {
        memory: Memory { used: 900, total: 1000 },
        growing: 300,
        flow: Some(Flow { channel: "dml_0_1v0".to_owned(), at: Timestamp(440_000_000_000_000_000) }),
        searches: Queue { length: 10, latency: Duration::from_millis(2_500) },
        queries: Queue::default(),
        collections: vec![A, B],
    };
    let idle = QueryNode { memory: Memory { used: 1, total: 10 }, ..QueryNode::default() };
    assert_eq!(told.nodes, [(ServerId(21), busy), (ServerId(22), idle)].into());
    assert!(!told.some_silent);
}

#[test]
fn datacoord_s_answer() {
    let (told, disk) = of_data_coord(DATA_COORD).expect("it is right");
    let flow = Some(Flow { channel: "dml_0_1v0".to_owned(), at: Timestamp(5) });
    let node = DataNode { flow, ..data_node(full(10), &[A]) };
    assert_eq!(told.nodes, [(ServerId(11), node)].into());
    assert_eq!(disk, Some(Disk { total: 500, collections: [(A, 200), (C, 300)].into() }));
}

#[test]
fn a_proxy_s_answer() {
    let rates = ProxyRates { searches: 3.5, queries: 2.0, results: 1e6 };
    assert_eq!(of_proxy(PROXY).expect("it is right"), rates);
    assert_eq!(of_proxy(r#"{"id": 5}"#).expect("it is right"), ProxyRates::default());
}

#[test]
fn answers_of_nobody_yet_and_of_nonsense() {
    for json in ["{}", r#"{"cluster": {}}"#, r#"{"cluster": {"self": {}, "connected_nodes": null}}"#] {
        assert_eq!(of_query_coord(json).expect("it is right").nodes, BTreeMap::new(), "{json}");
        assert_eq!(of_data_coord(json).expect("it is right").1, None, "{json}");
    }
    for json in ["", "5", "none", r#"{"cluster": {"connected_nodes": 5}}"#] {
        let error = of_query_coord(json).expect_err(json).to_string();
        assert!(error.starts_with("the metrics of querycoord can't be read: "), "{error}");
    }
}

fn at(seconds: u64) -> BootInstant {
    BootInstant::from_boot(Duration::from_secs(seconds))
}

fn nothing() -> (crate::rootcoord::quota::Told<DataNode>, Option<Disk>) {
    of_data_coord("{}").expect("it is right")
}

#[test]
fn both_coordinators_must_have_told_not_long_ago() {
    let mut collected = Collected::default();
    assert!(collected.metrics(at(0)).is_err());
    collected.query_nodes(of_query_coord(QUERY_COORD).expect("it is right"), at(0));
    assert!(collected.metrics(at(0)).is_err());
    collected.data_nodes(nothing(), at(30));
    assert_eq!(collected.metrics(at(59)).expect("both have told").query_nodes.len(), 2);
    assert!(collected.metrics(at(60)).is_err());
    collected.query_nodes(of_query_coord("{}").expect("it is right"), at(60));
    assert!(collected.metrics(at(61)).expect("both have told").query_nodes.is_empty());
}

#[test]
fn a_node_that_its_coordinator_could_not_ask_counts_as_it_was() {
    let mut collected = Collected::default();
    collected.data_nodes(of_data_coord(DATA_COORD).expect("it is right"), at(0));
    collected.query_nodes(of_query_coord(QUERY_COORD).expect("it is right"), at(0));
    let broken =
        r#"{"cluster": {"connected_nodes": [{"has_error": true, "id": 990, "quota_metrics": null}]}}"#;
    for (seconds, nodes) in [(30, 2), (59, 2), (60, 0)] {
        collected.query_nodes(of_query_coord(broken).expect("it is right"), at(seconds));
        collected.data_nodes(nothing(), at(seconds));
        assert_eq!(collected.metrics(at(seconds)).expect("both have told").query_nodes.len(), nodes);
    }
    // One that is not named is gone, but data that were counted are there.
    let metrics = collected.metrics(at(60)).expect("both have told");
    assert!(metrics.data_nodes.is_empty());
    assert_eq!(metrics.disk.map(|disk| disk.total), Some(500));
}

#[test]
fn a_silent_proxy_counts_as_it_was_and_one_without_a_session_no_more() {
    let mut collected = Collected::default();
    collected.data_nodes(nothing(), at(0));
    collected.query_nodes(of_query_coord("{}").expect("it is right"), at(0));
    let rates = ProxyRates { searches: 1.0, ..ProxyRates::default() };
    collected.proxies([(ServerId(5), Some(rates)), (ServerId(6), Some(rates))], at(0));
    collected.proxies([(ServerId(5), None), (ServerId(7), None)], at(30));
    assert_eq!(collected.metrics(at(30)).expect("both have told").proxies, [(ServerId(5), rates)].into());
    collected.data_nodes(nothing(), at(60));
    collected.query_nodes(of_query_coord("{}").expect("it is right"), at(60));
    assert!(collected.metrics(at(60)).expect("both have told").proxies.is_empty());
}
