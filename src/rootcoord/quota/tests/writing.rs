//! What writing is slowed down and denied by.

use super::*;
use crate::rootcoord::quota::{DiskQuotas, GrowingLimits, Levels, MemoryLimits, NodeRole, Note};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_operator_denies_writing_whatever_else_there_is() {
    let mut limits = limited();
    limits.deny_writing = true;
    let mut metrics = well();
    metrics.disk = Some(Disk { total: i64::MAX, collections: [(C, i64::MAX)].into() });
    let rates = decide(&metrics, &limits);
    assert_eq!(rates.keys().collect::<Vec<_>>(), [&A, &B]);
    rates.values().for_each(|it| check_denied(it, Reason::ForceDeny));
    assert_eq!(reads(&rates[&A]), [50.0, 60.0]);
    // Not even the least gets through.
    let least = own(&[("collection.insertRate.min.mb", "1")]);
    check_denied(&decide_with(&metrics, &limits, least), Reason::ForceDeny);
}

#[test]
fn a_collection_with_too_much_data_is_denied_even_if_no_node_has_it() {
    let mut metrics = well();
    metrics.disk = Some(Disk { total: 30, collections: [(A, 9), (B, 10), (C, 11)].into() });
    let disk = Some(DiskQuotas { total: NO_LIMIT, collection: 10.0 });
    let rates = decide(&metrics, &Limits { disk, ..limited() });
    assert_eq!(writes(&rates[&A]), [100.0, 200.0, 300.0, 400.0]);
    check_denied(&rates[&B], Reason::DiskQuotaExhausted);
    check_denied(&rates[&C], Reason::DiskQuotaExhausted);
    let off = decide(&metrics, &Limits { disk: None, ..limited() });
    assert!(off.values().all(|it| it.denied.is_empty()) && !off.contains_key(&C));
}

#[test]
fn a_collection_has_a_disk_quota_of_its_own() {
    let megabytes = |number: i64| number * 1024 * 1024;
    let mut metrics = well();
    let quota = |mb: &str| own(&[("collection.diskProtection.diskQuota.mb", mb)]);
    let mut denied = |used: i64, own: OwnLimits| {
        metrics.disk = Some(Disk { total: 0, collections: [(A, used)].into() });
        decide_with(&metrics, &limited(), own).denied.get(&Access::Writing).copied()
    };
    assert_eq!(denied(megabytes(5) - 1, quota("5")), None);
    assert_eq!(denied(megabytes(5), quota("5")), Some(Reason::DiskQuotaExhausted));
    assert_eq!(denied(0, quota("0")), Some(Reason::DiskQuotaExhausted));
    assert_eq!(denied(i64::MAX, quota("-5")), None);
}

#[test]
fn too_much_data_in_all_denies_all_that_is_written() {
    let mut metrics = well();
    let disk = Some(DiskQuotas { total: 100.0, collection: NO_LIMIT });
    for (total, denied) in [(99, false), (100, true)] {
        metrics.disk = Some(Disk { total, collections: [(C, total)].into() });
        let rates = decide(&metrics, &Limits { disk, ..limited() });
        assert_eq!(rates.keys().collect::<Vec<_>>(), [&A, &B]);
        for rates in rates.values() {
            assert_eq!(rates.denied.contains_key(&Access::Writing), denied);
        }
    }
    metrics.disk = None;
    let unknown = decide(&metrics, &Limits { disk, ..limited() });
    assert!(unknown.values().all(|it| it.denied.is_empty()));
}

#[test]
fn the_further_nodes_are_behind_the_less_is_written() {
    let limits = Limits { longest_delay: Some(100 * SECOND), ..limited() };
    for (delay, left) in [(0, 1.0), (25, 0.75), (99, 0.01)] {
        let mut metrics = well();
        metrics.data_nodes.values_mut().for_each(|node| node.flow = behind(delay * SECOND));
        let rates = decide(&metrics, &limits);
        for collection in [A, B] {
            let [inserts, upserts, deletions, imports] = writes(&rates[&collection]);
            let slowed = [inserts / 100.0, upserts / 200.0, deletions / 300.0];
            assert!(slowed.iter().all(|part| (part - left).abs() < 1e-9), "{delay} {slowed:?}");
            assert_eq!(imports, 400.0);
        }
        assert_eq!(reads(&rates[&A]), [50.0, 60.0]);
    }
}

#[test]
fn who_is_too_far_behind_gets_nothing_and_the_worst_node_counts() {
    let limits = Limits { longest_delay: Some(100 * SECOND), ..limited() };
    let mut metrics = well();
    metrics.data_nodes.values_mut().for_each(|node| node.flow = behind(50 * SECOND));
    metrics.query_nodes.values_mut().for_each(|node| node.flow = behind(100 * SECOND));
    let rates = decide(&metrics, &limits);
    check_denied(&rates[&A], Reason::TimeTickLongDelay);
    assert_eq!(writes(&rates[&B]), [50.0, 100.0, 150.0, 400.0]);
    let unlimited = decide(&metrics, &Limits { longest_delay: limits.longest_delay, ..Limits::default() });
    check_denied(&unlimited[&A], Reason::TimeTickLongDelay);
    assert_eq!(writes(&unlimited[&B]), [NO_LIMIT; 4]);
    // Nobody looks at it, and nobody has told how far it has come.
    assert_eq!(writes(&decide(&metrics, &limited())[&A]), [100.0, 200.0, 300.0, 400.0]);
    assert_eq!(writes(&decide(&well(), &limits)[&A]), [100.0, 200.0, 300.0, 400.0]);
}

#[test]
fn how_far_nodes_are_behind_is_told_in_any_case() {
    let mut metrics = well();
    metrics.data_nodes.values_mut().for_each(|node| node.flow = behind(5 * SECOND));
    let verdict = compute(&metrics, &Limits::default(), &BTreeMap::new(), Timestamp::at_milli(NOW));
    assert_eq!(verdict.delays, BTreeMap::from([((NodeRole::DataNode, ServerId(11)), 5 * SECOND)]));
    // A clock that went back is no delay.
    let earlier = compute(&metrics, &limited(), &BTreeMap::new(), Timestamp::at_milli(NOW - 60_000));
    assert_eq!(earlier.delays[&(NodeRole::DataNode, ServerId(11))], Duration::ZERO);
}

#[test]
fn memory_between_its_marks_slows_down_and_above_denies() {
    let levels = Levels { low: 0.8, high: 0.9 };
    let memory = Some(MemoryLimits { data_node: levels, query_node: levels });
    let limits = Limits { memory, ..limited() };
    for (percent, left) in [(80, 1.0), (85, 0.5), (88, 0.2), (90, 0.0), (100, 0.0)] {
        let by_data_node = metrics([data_node(full(percent), &[A])], [query_node(full(1), &[A])]);
        let by_query_node = metrics([data_node(full(1), &[A])], [query_node(full(percent), &[A])]);
        for metrics in [by_data_node, by_query_node] {
            let rates = decide(&metrics, &limits);
            let inserts = writes(&rates[&A])[0];
            assert!((inserts - left * 100.0).abs() < 1e-9, "{percent} {inserts}");
            if left == 0.0 {
                check_denied(&rates[&A], Reason::MemoryQuotaExhausted);
            } else {
                assert!(rates[&A].denied.is_empty());
            }
        }
    }
}

#[test]
fn each_kind_of_node_has_its_marks_and_each_collection_its_worst_node() {
    let memory = MemoryLimits {
        data_node: Levels { low: 0.5, high: 1.0 },
        query_node: Levels { low: 0.8, high: 0.9 },
    };
    let limits = Limits { memory: Some(memory), ..limited() };
    let data = [data_node(full(75), &[A]), data_node(full(60), &[A, B])];
    let rates = decide(&metrics(data, [query_node(full(75), &[A, B])]), &limits);
    assert!((writes(&rates[&A])[0] - 50.0).abs() < 1e-9);
    assert!((writes(&rates[&B])[0] - 80.0).abs() < 1e-9);
    let unknown = Memory { used: 5, total: 0 };
    let rates = decide(&metrics([data_node(unknown, &[A])], []), &limits);
    assert_eq!(writes(&rates[&A])[0], 100.0);
    let off = Limits { memory: None, ..limited() };
    assert_eq!(writes(&decide(&metrics([data_node(full(100), &[A])], []), &off)[&A])[0], 100.0);
}

#[test]
fn no_limit_stays_none_until_writing_is_denied() {
    let short = metrics([data_node(full(90), &[A]), data_node(full(96), &[B])], []);
    let rates = decide(&short, &Limits::default());
    assert_eq!(writes(&rates[&A]), [NO_LIMIT; 4]);
    check_denied(&rates[&B], Reason::MemoryQuotaExhausted);
}

#[test]
fn the_least_gets_through_whatever_is_short() {
    let least = own(&[
        ("collection.insertRate.max.mb", "10"),
        ("collection.insertRate.min.mb", "4"),
        ("collection.deleteRate.min.mb", "1"),
    ]);
    let slow = metrics([data_node(full(93), &[A])], []);
    let rates = decide_with(&slow, &limited(), least.clone());
    assert_eq!(writes(&rates)[0], 4.0 * MB);
    assert_eq!(writes(&rates)[2], MB);
    let full = metrics([data_node(full(99), &[A])], []);
    let rates = decide_with(&full, &limited(), least);
    assert_eq!(writes(&rates), [4.0 * MB, 0.0, MB, 0.0]);
    assert_eq!(rates.denied.get(&Access::Writing), Some(&Reason::MemoryQuotaExhausted));
    let mut configured = limited();
    configured.bounds.insert(Rate::Upsert, Bounds { most: 200.0, least: 150.0 });
    assert_eq!(writes(&decide(&full, &configured)[&A])[1], 150.0);
}

#[test]
fn growing_segments_slow_down_but_never_deny() {
    let growing = GrowingLimits { levels: Levels { low: 0.2, high: 0.4 }, least_part: 0.25 };
    let limits = Limits { growing: Some(growing), ..limited() };
    for (percent, left) in [(20, 1.0), (30, 0.5), (38, 0.25), (40, 0.25), (90, 0.25)] {
        let node = QueryNode { growing: percent * 10, ..query_node(full(1), &[A]) };
        let grown = metrics([data_node(full(1), &[A, B])], [node]);
        let rates = decide(&grown, &limits);
        assert!((writes(&rates[&A])[0] - left * 100.0).abs() < 1e-9, "{percent}");
        assert_eq!(writes(&rates[&B])[0], 100.0);
        assert!(rates[&A].denied.is_empty());
        assert_eq!(writes(&decide(&grown, &limited())[&A])[0], 100.0);
    }
}

#[test]
fn the_least_of_all_factors_counts_and_is_told() {
    let mut metrics = metrics([data_node(full(90), &[A])], [query_node(full(1), &[A])]);
    metrics.data_nodes.values_mut().for_each(|node| node.flow = behind(20 * SECOND));
    let limits = Limits { longest_delay: Some(100 * SECOND), ..limited() };
    let verdict = compute(&metrics, &limits, &BTreeMap::new(), Timestamp::at_milli(NOW));
    assert!((verdict.factors[&A] - 0.5).abs() < 1e-9);
    assert!((writes(&verdict.rates[&A])[0] - 50.0).abs() < 1e-9);
    assert_eq!(verdict.factors.len(), 1);
    // Of two that leave nothing, the delay is the reason.
    metrics.data_nodes.values_mut().for_each(|node| {
        node.flow = behind(200 * SECOND);
        node.memory = full(100);
    });
    check_denied(&decide(&metrics, &limits)[&A], Reason::TimeTickLongDelay);
}

/// The real one tells proxies zeros there, which they take for no limit.
#[test]
fn what_only_querynodes_have_is_slowed_down_from_its_limits() {
    let metrics = metrics([], [query_node(full(90), &[A])]);
    let rates = decide(&metrics, &limited());
    let inserts = rates[&A].rates[&Rate::Insert];
    assert!((inserts - 50.0).abs() < 1e-9, "{inserts}");
    assert_eq!(rates[&A].rates.get(&Rate::BulkLoad), None);
}

#[test]
fn operators_hear_of_what_is_short_once_for_each_reason() {
    let mut short = metrics([data_node(full(99), &[A, B])], []);
    short.disk = Some(Disk { total: 5, collections: [(C, 5)].into() });
    let limits = Limits { disk: Some(DiskQuotas { total: NO_LIMIT, collection: 5.0 }), ..limited() };
    let own = BTreeMap::from([(A, own(&[("collection.insertRate.max.mb", "x")]))]);
    let verdict = compute(&short, &limits, &own, Timestamp::at_milli(NOW));
    let expected = [
        Note::CollectionDisk { collection: C, used: 5, quota: 5.0 },
        Note::Memory {
            role: NodeRole::DataNode,
            node: ServerId(11),
            collections: vec![A, B],
            level: 0.99,
            mark: 0.95,
            full: true,
        },
        Note::BadProperty { collection: A, key: "collection.insertRate.max.mb", value: "x".to_owned() },
        Note::Denied(Access::Writing, Reason::DiskQuotaExhausted, vec![C]),
        Note::Denied(Access::Writing, Reason::MemoryQuotaExhausted, vec![A, B]),
    ];
    assert_eq!(verdict.notes, expected);
}
