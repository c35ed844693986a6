//! What reading is slowed down and denied by.

use super::*;
use crate::rootcoord::quota::QueueLimits;

/// Two querynodes with A and B, and two proxies through which go 40 vectors, 30 queries, 3 MB.
fn busy() -> Metrics {
    let mut metrics = metrics([], [query_node(full(1), &[A]), query_node(full(1), &[B])]);
    let some = ProxyRates { searches: 10.0, queries: 20.0, results: MB };
    let more = ProxyRates { searches: 30.0, queries: 10.0, results: 2.0 * MB };
    metrics.proxies = [(ServerId(31), some), (ServerId(32), more)].into();
    metrics
}

/// The first querynode with such a line.
fn waiting(searches: Queue, queries: Queue) -> Metrics {
    let mut metrics = busy();
    let first = metrics.query_nodes.get_mut(&ServerId(21)).expect("it is there");
    (first.searches, first.queries) = (searches, queries);
    metrics
}

#[track_caller]
fn check_cooled(metrics: &Metrics, limits: &Limits, cooled: &[CollectionId]) {
    let rates = decide(metrics, limits);
    for collection in [A, B] {
        let expected = if cooled.contains(&collection) { [20.0, 15.0] } else { [50.0, 60.0] };
        assert_eq!(reads(&rates[&collection]), expected, "{collection}");
        assert!(rates[&collection].denied.is_empty());
    }
}

fn halving(limits: Limits) -> Limits {
    Limits { cool_off: 0.5, ..limits }
}

#[test]
fn an_operator_denies_reading() {
    let mut metrics = well();
    metrics.proxies = busy().proxies;
    let rates = decide(&metrics, &Limits { deny_reading: true, results: Some(0.0), ..limited() });
    assert_eq!(reads(&rates[&A]), [0.0, 0.0]);
    assert_eq!(rates[&A].denied, [(Access::Reading, Reason::ForceDeny)].into());
    assert_eq!(writes(&rates[&A]), [100.0, 200.0, 300.0, 400.0]);
    assert!(rates[&B].denied.is_empty());
}

#[test]
fn both_may_be_denied() {
    let rates = decide(&well(), &Limits { deny_reading: true, deny_writing: true, ..limited() });
    let both = [(Access::Writing, Reason::ForceDeny), (Access::Reading, Reason::ForceDeny)];
    assert_eq!(rates[&A].denied, both.into());
}

#[test]
fn long_waits_slow_down_what_lies_in_that_querynode() {
    let latency = Some(Duration::from_secs(2));
    let limits = halving(Limits { queue: QueueLimits { length: None, latency }, ..limited() });
    let wait = |millis| Queue { length: 0, latency: Duration::from_millis(millis) };
    check_cooled(&waiting(wait(1_999), wait(1_999)), &limits, &[]);
    check_cooled(&waiting(wait(2_000), wait(0)), &limits, &[A]);
    check_cooled(&waiting(wait(0), wait(2_000)), &limits, &[A]);
    check_cooled(&waiting(wait(9_000), wait(9_000)), &halving(limited()), &[]);
}

#[test]
fn long_lines_slow_down_what_lies_in_that_querynode() {
    let limits = halving(Limits { queue: QueueLimits { length: Some(100), latency: None }, ..limited() });
    let line = |length| Queue { length, latency: Duration::ZERO };
    check_cooled(&waiting(line(99), line(500)), &limits, &[]);
    check_cooled(&waiting(line(100), line(0)), &limits, &[A]);
}

#[test]
fn large_results_slow_down_all_that_is_read() {
    let limits = |most| halving(Limits { results: Some(most), ..limited() });
    check_cooled(&busy(), &limits(3.5 * MB), &[]);
    check_cooled(&busy(), &limits(3.0 * MB), &[A, B]);
}

#[test]
fn slowed_down_is_never_more_than_allowed_nor_less_than_the_least() {
    let flood = Limits { results: Some(0.0), cool_off: 0.9, ..limited() };
    let mut metrics = busy();
    let narrow = own(&[("collection.searchRate.max.vps", "5"), ("collection.queryRate.min.qps", "29")]);
    assert_eq!(reads(&decide_with(&metrics, &flood, narrow)), [5.0, 29.0]);
    // What nobody does is not slowed down, and what has no limit gets none.
    metrics.proxies.values_mut().for_each(|proxy| proxy.searches = 0.0);
    assert_eq!(reads(&decide(&metrics, &flood)[&A]), [50.0, 27.0]);
    let unlimited = Limits { results: Some(0.0), ..Limits::default() };
    assert_eq!(reads(&decide(&busy(), &unlimited)[&A]), [NO_LIMIT; 2]);
}
