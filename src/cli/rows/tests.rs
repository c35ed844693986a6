use super::*;
use crate::{
    cli::{
        sessions::{
            Sessions,
            tests::{PREFIX, entry, milvus_session, own_session},
        },
        table::table,
        testing::{component, status},
    },
    etcd::txn::KeyValue,
};

const AT: Revision = Revision(94);

fn own(id: i64, phase: Phase) -> Result<Answer, String> {
    Ok(Answer::Own(status(id, phase)))
}

fn milvus(id: i64, code: StateCode) -> Result<Answer, String> {
    Ok(Answer::Foreign(component(id, code)))
}

fn refused() -> Result<Answer, String> {
    Err("connection refused".to_owned())
}

/// The instances of `entries` in their order, each with its answer.
fn seen(entries: &[KeyValue], answers: Vec<Result<Answer, String>>) -> Vec<Seen> {
    let instances = Sessions::of(PREFIX, entries, AT).instances;
    assert_eq!(instances.len(), answers.len());
    let lease = Lease::Left(Duration::from_secs(4));
    instances
        .into_iter()
        .zip(answers)
        .map(|(instance, answer)| Seen { instance, answer, lease: lease.clone() })
        .collect()
}

fn report_of(seen: &[Seen]) -> Report {
    report(seen, AT, PREFIX, &TimeZone::UTC)
}

/// A pair of our kind: 12 holds the key.
fn pair() -> Vec<KeyValue> {
    vec![
        entry("rootcoord", &own_session(12).encode(), 61, 12),
        entry("rootcoord-12", &own_session(12).encode(), 50, 12),
        entry("rootcoord-9", &own_session(9).encode(), 30, 9),
    ]
}

/// State and reason of the pair's rows, and the troubles.
#[track_caller]
fn check_pair(
    active: Result<Answer, String>,
    standby: Result<Answer, String>,
    states: [&str; 2],
    errors: [Option<&str>; 2],
    troubles: &[&str],
) {
    let report = report_of(&seen(&pair(), vec![active, standby]));
    let of = |index: usize| &report.rows[index];
    assert_eq!([of(0).state.as_str(), of(1).state.as_str()], states);
    assert_eq!([of(0).error.as_deref(), of(1).error.as_deref()], errors);
    assert_eq!(report.troubles, troubles);
}

#[test]
fn a_pair_that_works_has_no_troubles() {
    let active = StatusResponse { active_since_ms: 1_795_224_737_123, ..status(12, Phase::Active) };
    let seen = seen(&pair(), vec![Ok(Answer::Own(active)), own(9, Phase::Standby)]);
    let report = report_of(&seen);
    assert_eq!(
        table(&report.rows),
        format!(
            "\
ROLE       STATE    SERVER ID  ADDRESS          SOFTWARE            PRIORITY  ACTIVE SINCE         EPOCH  LEASE  LAG
rootcoord  ACTIVE   12         10.0.0.12:53100  milvus-coord/{0}  0         2026-11-21 01:32:17  61     4s     4
rootcoord  STANDBY  9          10.0.0.9:53100   milvus-coord/{0}  0         -                    -      4s     4
",
            env!("CARGO_PKG_VERSION")
        )
    );
    assert_eq!(report.troubles, <[String; 0]>::default());
    assert!(!seen.iter().any(Seen::contradicts_itself));
}

#[test]
fn a_standby_that_does_not_answer_is_a_row_and_no_trouble() {
    check_pair(
        own(12, Phase::Active),
        refused(),
        ["ACTIVE", "STANDBY"],
        [None, Some("connection refused")],
        &[],
    );
}

#[test]
fn an_active_one_that_does_not_answer_is_a_trouble() {
    check_pair(
        refused(),
        own(9, Phase::Standby),
        ["ACTIVE", "STANDBY"],
        [Some("connection refused"), None],
        &["rootcoord: the ACTIVE one does not answer"],
    );
}

#[test]
fn the_word_of_the_instance_counts_where_the_key_can_not_know() {
    let silent = &["rootcoord: the ACTIVE one does not serve"][..];
    for (phase, state) in [
        (Phase::Activating, "ACTIVATING"),
        (Phase::Suspended, "SUSPENDED"),
        (Phase::Leaving, "LEAVING"),
        (Phase::Unspecified, "UNKNOWN"),
    ] {
        check_pair(own(12, phase), own(9, Phase::Standby), [state, "STANDBY"], [None; 2], silent);
    }
    check_pair(own(12, Phase::Active), own(9, Phase::WaitingForEtcd), ["ACTIVE", "WAITING"], [None; 2], &[]);
}

#[test]
fn a_key_that_changes_hands_while_it_is_looked_at_is_noticed() {
    check_pair(
        own(12, Phase::Standby),
        own(9, Phase::Active),
        ["ACTIVE", "STANDBY"],
        [Some("it says of itself that it is STANDBY"), Some("it says of itself that it is ACTIVE")],
        &["rootcoord: the ACTIVE one does not serve"],
    );
    let seen = seen(&pair(), vec![own(12, Phase::Standby), own(9, Phase::Active)]);
    assert_eq!(seen.iter().map(Seen::contradicts_itself).collect::<Vec<_>>(), [true, true]);
}

#[test]
fn somebody_else_at_the_address_is_not_taken_for_the_instance() {
    check_pair(
        own(15, Phase::Active),
        Ok(Answer::Own(StatusResponse { role: "datacoord".into(), ..status(9, Phase::Standby) })),
        ["ACTIVE", "STANDBY"],
        [
            Some("another instance (server id 15) answers at its address"),
            Some("a datacoord answers at its address"),
        ],
        &["rootcoord: the ACTIVE one does not answer"],
    );
    check_pair(
        own(0, Phase::WaitingForEtcd),
        own(9, Phase::Standby),
        ["ACTIVE", "STANDBY"],
        [Some("an instance without a server id answers at its address"), None],
        &["rootcoord: the ACTIVE one does not answer"],
    );
}

#[test]
fn real_ones_are_shown_by_their_component_states() {
    let entries = [
        entry("datacoord", &milvus_session(3).encode(), 40, 3),
        entry("datacoord-3", &milvus_session(3).encode(), 39, 3),
        entry("indexcoord", &milvus_session(3).encode(), 42, 33),
        entry("querycoord", &milvus_session(4).encode(), 41, 4),
        entry("rootcoord-5", &milvus_session(5).encode(), 43, 5),
    ];
    let named = |id, role: &str, code| {
        Ok(Answer::Foreign(ComponentInfo { role: role.to_owned(), ..component(id, code) }))
    };
    let report = report_of(&seen(
        &entries,
        vec![
            milvus(5, StateCode::StandBy),
            named(3, "datacoord", StateCode::Healthy),
            named(4, "", StateCode::Abnormal),
            named(3, "datacoord", StateCode::Healthy),
        ],
    ));
    let shown: Vec<_> = report
        .rows
        .iter()
        .map(|row| (row.role.as_str(), row.state.as_str(), row.software.as_deref(), row.lag_revisions))
        .collect();
    let software = Some("milvus/2.3.5");
    assert_eq!(
        shown,
        [
            ("rootcoord", "STANDBY", software, None),
            ("datacoord", "ACTIVE", software, None),
            ("querycoord", "ABNORMAL", software, None),
            ("indexcoord", "ACTIVE", software, None),
        ]
    );
    assert_eq!(report.troubles, ["rootcoord: nobody is ACTIVE", "querycoord: the ACTIVE one does not serve"]);
}

#[test]
fn what_can_not_be_read_is_a_row_with_its_reason() {
    let entries = [entry("rootcoord", b"{", 7, 1), entry("rootcoord-2", &own_session(2).encode(), 5, 2)];
    let report = report_of(&seen(&entries, vec![Err(String::new()), own(2, Phase::Standby)]));
    let row = &report.rows[0];
    assert_eq!((row.state.as_str(), row.server_id, row.epoch), ("UNREADABLE", None, Some(7)));
    let error = row.error.as_deref().unwrap();
    assert!(error.starts_with("the value of by-dev/meta/session/rootcoord is no session (EOF"), "{error}");
    assert_eq!(report.troubles, ["rootcoord: nobody can tell who is ACTIVE"]);
}

#[test]
fn a_lease_is_shown_or_missed() {
    let mut seen = seen(&pair(), vec![own(12, Phase::Active), own(9, Phase::Standby)]);
    for (lease, left, error) in [
        (Lease::Left(Duration::from_secs(28)), Some(28), None),
        (Lease::Over, Some(0), None),
        (
            Lease::Missing,
            None,
            Some("by-dev/meta/session/rootcoord-12 is bound to no lease: it stays when the process is gone"),
        ),
        (Lease::Unknown("too late".to_owned()), None, Some("its lease is not known: too late")),
    ] {
        seen[0].lease = lease;
        let row = report_of(&seen).rows.swap_remove(0);
        assert_eq!((row.lease_left_s, row.error.as_deref()), (left, error));
    }
}

#[test]
fn lag_is_counted_against_the_newest_revision_that_anybody_knows() {
    let of = |mirror, etcd| {
        let status =
            StatusResponse { mirror_revision: mirror, etcd_revision: etcd, ..status(1, Phase::Standby) };
        lag(&status, AT)
    };
    assert_eq!(of(94, 94), Some(0));
    assert_eq!(of(90, 97), Some(7));
    // Cut off from etcd, it has heard of nothing.
    assert_eq!(of(60, 60), Some(34));
    // Read later than etcd was.
    assert_eq!(of(99, 97), Some(0));
    assert_eq!(of(0, 97), None);
}

#[test]
fn an_empty_etcd_is_a_trouble() {
    let report = report_of(&[]);
    assert_eq!(report.rows, []);
    assert!(report.troubles[0].starts_with("no coordinator has a session below by-dev/meta/session/"));
}
