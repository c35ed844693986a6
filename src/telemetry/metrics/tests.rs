use std::collections::BTreeSet;

use super::{
    names::{Family, Kind},
    *,
};
use crate::{
    clock::SystemClock,
    ids::{Epoch, Revision},
    telemetry::{
        testing::Stopped,
        words::{CallOutcome, Phase, ProofResult, Stage, TakeoverCause, TermEnd},
    },
};

/// Sets a bit of everything that has no value of its own.
fn used(role: Role) -> Arc<Metrics> {
    let metrics = Metrics::new(role, &Stopped);
    let ms = Duration::from_millis;
    metrics.meta_request(MetaOp::Txn, Outcome::Success, ms(3));
    metrics.meta_request(MetaOp::Txn, Outcome::Fail, ms(300));
    metrics.meta_value(MetaOp::Put, 5);
    metrics.serves(ServerId(9), true);
    let rootcoord = &metrics.rootcoord;
    rootcoord.ddl_received("CreateDatabase");
    rootcoord.ddl_waited("CreateDatabase", ms(1));
    rootcoord.ddl_done("CreateDatabase", Outcome::Success, ms(20));
    rootcoord.timestamp.set(446_127_345_678_901_248_u64 as f64);
    rootcoord.id_alloc_count.inc_by(1000);
    rootcoord.produce_tt_lag.with_label_values(&["by-dev-rootcoord-dml_0"]).set(3.0);
    rootcoord.time_tick_delay.with_label_values(&["querynode", "4"]).set(7.0);
    rootcoord.quota_states.with_label_values(&["MemoryQuotaExhausted"]).set(1);
    rootcoord.rate_limit_ratio.with_label_values(&["4461"]).set(0.25);
    let pair = &metrics.pair;
    pair.phase(Phase::Active);
    pair.term_began(Epoch(160), TakeoverCause::Vacant);
    pair.term_ended(TermEnd::LeaseLost);
    pair.term_began(Epoch(167), TakeoverCause::Certain);
    pair.stage(Stage::Won, Duration::from_micros(1100));
    pair.takeover_total(ms(4));
    pair.proof(ProofResult::Confirmed);
    pair.call(CallOutcome::PushedAway);
    pair.etcd_available(true);
    pair.paused(true);
    metrics
}

fn live() -> LiveFigures {
    LiveFigures {
        proof_age: Some(Duration::from_millis(25)),
        lease_left: Some(Duration::from_secs(4)),
        mirror_revision: Some(Revision(170)),
        mirror_lag: Some(2),
    }
}

/// The families of a text, as `name kind`.
fn families(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(|line| Some(line.strip_prefix("# TYPE ")?.to_owned())).collect()
}

fn listed(lists: &[&[Family]]) -> BTreeSet<String> {
    lists
        .iter()
        .flat_map(|list| list.iter())
        .map(|family| match family.kind {
            Kind::Counter => format!("{} counter", family.name),
            Kind::Gauge => format!("{} gauge", family.name),
            Kind::Histogram(_) => format!("{} histogram", family.name),
        })
        .collect()
}

#[test]
fn what_is_shown_is_what_the_lists_say() {
    let text = used(Role::RootCoord).render(&live());
    assert_eq!(families(&text), listed(names::ALL));

    let text = used(Role::DataCoord).render(&live());
    assert_eq!(families(&text), listed(&[names::COMMON, names::OWN, names::PROCESS]));
}

#[test]
fn process_metrics_measure_this_process() {
    let metrics = Metrics::new(Role::RootCoord, &SystemClock);
    let value = |text: &str, name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    };
    let first = metrics.render_process();
    assert_eq!(families(&first), listed(&[names::PROCESS]));
    let age = SystemClock.wall().millis() as f64 / 1000.0 - value(&first, "process_start_time_seconds");
    assert!((-1.0..3600.0).contains(&age), "started {age} s ago");
    assert!(value(&first, "process_resident_memory_bytes") > 1e6);
    assert!(value(&first, "process_open_fds") >= 3.0);

    let mut noise = 0_u64;
    let text = loop {
        noise = (0..1_000_000).fold(noise, |sum, n| std::hint::black_box(sum ^ n));
        let text = metrics.render_process();
        if value(&text, "process_cpu_seconds_total") > value(&first, "process_cpu_seconds_total") {
            break text;
        }
    };
    // Dashboards take rates over seconds: whole seconds would be too coarse.
    assert!(value(&text, "process_cpu_seconds_total") - value(&first, "process_cpu_seconds_total") < 1.0);
}

#[test]
fn rendered_text() {
    let text = used(Role::RootCoord).render(&live());
    let measured = |line: &&str| !line.contains("process_");
    insta::assert_snapshot!(text.lines().filter(measured).collect::<Vec<_>>().join("\n"));
}

#[test]
fn what_is_not_measured_is_not_shown() {
    let metrics = used(Role::RootCoord);
    metrics.render(&live());
    metrics.pair.term_ended(TermEnd::Stopped);
    metrics.serves(ServerId(9), false);
    let text = metrics.render(&LiveFigures::default());
    let shown = families(&text);
    for absent in
        ["epoch", "proof_age_seconds", "lease_left_seconds", "mirror_revision", "mirror_lag_revisions"]
    {
        assert!(!shown.contains(&format!("milvus_coord_{absent} gauge")), "{absent}");
    }
    assert!(text.contains("\nmilvus_num_node{node_id=\"9\",role_name=\"rootcoord\"} 0\n"));
}
