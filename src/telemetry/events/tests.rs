use std::time::Duration;

use super::*;
use crate::{
    clock::BootInstant,
    election::standing::Peer,
    etcd::{
        call::{CallError, Refusal},
        txn::KeyValue,
    },
    ids::{Epoch, LeaseId, Revision},
    telemetry::{
        log::LogLevel,
        metrics::LiveFigures,
        testing::{Stopped, lines_of},
        words::{Stage, TakeoverCause, TermEnd},
    },
};

const ACTIVE_KEY: &str = "by-dev/meta/session/rootcoord";
const OWN: ServerId = ServerId(19);
const ADDRESS: &str = "127.0.0.1:53101";

fn events(role: Role) -> Events {
    Events::new(role, Metrics::new(role, &Stopped))
}

fn at(micros: u64) -> BootInstant {
    BootInstant::from_boot(Duration::from_micros(micros))
}

/// The series of the metrics whose name contains `part`.
fn series(events: &Events, part: &str) -> Vec<String> {
    let text = events.metrics().render(&LiveFigures::default());
    text.lines().filter(|line| line.contains(part) && !line.starts_with('#')).map(str::to_owned).collect()
}

fn becomes_standby(events: &Events) {
    events.server_started(OWN, ADDRESS);
    events.phase_changed(Phase::Standby, StateCode::StandBy);
    events.standby_mode_entered();
    events.session_registered(OWN, "by-dev/meta/session/rootcoord-19", "{\"ServerID\":19}");
    events.standby_entered();
    events.in_standby();
    events.registration_tried();
    events.already_registered();
    events.watch_started(ACTIVE_KEY);
}

fn takes_over(events: &Events) {
    events.watched_key_deleted(ACTIVE_KEY, Revision(167));
    events.watched_key_deleted("by-dev/meta/session/rootcoord-15", Revision(167));
    events.watch_stopped(ACTIVE_KEY);
    let victim = Some((ServerId(15), Epoch(150)));
    let mut takeover =
        events.takeover_begun(TakeoverCause::Certain, victim, Some(Duration::from_micros(300)), at(1_000));
    events.retrying_to_register();
    events.registration_tried();
    takeover.reached(Stage::Won, at(2_100));
    takeover.reached(Stage::Deposed, at(2_100));
    takeover.reached(Stage::CaughtUp, at(2_200));
    events.registered_active(OWN, Epoch(168), TakeoverCause::Certain);
    events.standby_quit(OWN);
    events.activating();
    events.phase_changed(Phase::Activating, StateCode::Initializing);
    events.allocators_initialized("by-dev/kv");
    let found = Reloaded { databases: 2, collections: 10_000, partitions: 10_001 };
    events.meta_reloaded(found, Duration::from_micros(100));
    events.initialized(OWN, ADDRESS);
    takeover.serving(Epoch(168), at(3_000));
    events.phase_changed(Phase::Active, StateCode::Healthy);
    events.startup_succeeded(OWN, ADDRESS);
}

/// Standby of an active one that is killed.
const LINES: [&str; 35] = [
    r#"[INFO] ["start server"] [name=rootcoord] [address=127.0.0.1:53101] [id=19]"#,
    r#"[INFO] ["update rootcoord state"] [state=StandBy]"#,
    r#"[INFO] ["RootCoord enter standby mode successfully"]"#,
    r#"[INFO] ["put session key into etcd"] [key=by-dev/meta/session/rootcoord-19] [value="{\"ServerID\":19}"]"#,
    r#"[INFO] ["Service registered successfully"] [ServerName=rootcoord] [serverID=19]"#,
    r#"[INFO] ["serverName: rootcoord enter STANDBY mode"]"#,
    r#"[INFO] ["serverName: rootcoord is in STANDBY ..."]"#,
    r#"[INFO] ["try to register as ACTIVE rootcoord service..."]"#,
    r#"[INFO] ["ACTIVE rootcoord has already been registered"]"#,
    r#"[INFO] ["rootcoord start to watch ACTIVE key by-dev/meta/session/rootcoord"]"#,
    r#"[DEBUG] ["watch the ACTIVE key"] [DELETE="key:\"by-dev/meta/session/rootcoord\" mod_revision:167 "]"#,
    r#"[DEBUG] ["watch the ACTIVE key"] [DELETE="key:\"by-dev/meta/session/rootcoord-15\" mod_revision:167 "]"#,
    r#"[INFO] ["stop watching ACTIVE key"]"#,
    r#"[INFO] ["stop watching ACTIVE key by-dev/meta/session/rootcoord"]"#,
    r#"[INFO] ["the ACTIVE rootcoord is gone, taking over"] [verdict=certain] [victim=15] [victimEpoch=150]"#,
    r#"[INFO] ["start retrying to register as ACTIVE service..."]"#,
    r#"[INFO] ["try to register as ACTIVE rootcoord service..."]"#,
    r#"[INFO] ["register ACTIVE service successfully"] [ServerID=19]"#,
    r#"[INFO] ["register ACTIVE rootcoord"]"#,
    r#"[INFO] ["quit STANDBY mode, this node will become ACTIVE"]"#,
    r#"[INFO] ["serverName: rootcoord quit STANDBY mode, this node will become ACTIVE, ID: 19"]"#,
    r#"[INFO] ["rootcoord switch from standby to active, activating"]"#,
    r#"[INFO] ["RootCoord switch from standby to active, activating"]"#,
    r#"[INFO] ["update rootcoord state"] [state=Initializing]"#,
    r#"[INFO] ["id allocator initialized"] [root_path=by-dev/kv] [sub_path=gid] [key=idTimestamp]"#,
    r#"[INFO] ["tso allocator initialized"] [root_path=by-dev/kv] [sub_path=gid] [key=idTimestamp]"#,
    r#"[INFO] ["recover databases"] ["num of dbs"=2]"#,
    r#"[INFO] ["recover collections from db"] [collection_num=10000] [partition_num=10001]"#,
    r#"[INFO] ["RootCoord meta table reload done"] [duration=100µs]"#,
    r#"[INFO] ["init rootcoord done"] [nodeID=19] [Address=127.0.0.1:53101]"#,
    r#"[INFO] ["takeover done"] [verdict=certain] [epoch=168] [detected=300µs] [deposed=0s] [won=1.1ms] [caughtUp=100µs] [serving=800µs] [total=2ms]"#,
    r#"[INFO] ["update rootcoord state"] [state=Healthy]"#,
    r#"[INFO] ["rootcoord startup successfully"]"#,
    r#"[INFO] ["RootCoord startup success"] [address=127.0.0.1:53101]"#,
    r#"[INFO] ["RootCoord Register Finished"]"#,
];

#[test]
fn a_standby_that_takes_over_writes_these_lines_in_this_order() {
    let events = events(Role::RootCoord);
    let lines = lines_of(LogLevel::Debug, || {
        becomes_standby(&events);
        takes_over(&events);
    });
    assert_eq!(lines[..LINES.len()], LINES);
    assert_eq!(
        lines[LINES.len()..],
        [r#"[DEBUG] ["RootCoord start done ..."]"#, r#"[INFO] ["RootCoord successfully started"]"#]
    );
}

/// The guide to the high availability of coordinators quotes these, caller and time left out.
#[test]
fn the_guides_lines_are_there_in_its_order() {
    let guide = [
        r#"["watch the ACTIVE key"] [DELETE="key:\"by-dev/meta/session/rootcoord\" mod_revision:167 "]"#,
        r#"["watch the ACTIVE key"] [DELETE="key:\"by-dev/meta/session/rootcoord-15\" mod_revision:167 "]"#,
        r#"["stop watching ACTIVE key"]"#,
        r#"["start retrying to register as ACTIVE service..."]"#,
        r#"["register ACTIVE service successfully"] [ServerID=19]"#,
        r#"["quit STANDBY mode, this node will become ACTIVE"]"#,
        r#"["rootcoord switch from standby to active, activating"]"#,
        r#"["RootCoord Register Finished"]"#,
        r#"["RootCoord start done ..."]"#,
        r#"["RootCoord successfully started"]"#,
    ];
    let lines = lines_of(LogLevel::Debug, || takes_over(&events(Role::RootCoord)));
    let mut rest = lines.iter();
    for wanted in guide {
        assert!(
            rest.any(|line| line.split_once(' ').unwrap().1 == wanted),
            "{wanted} is missing or late in {lines:#?}"
        );
    }
}

#[test]
fn a_takeover_is_measured() {
    let events = events(Role::RootCoord);
    takes_over(&events);
    let sums: Vec<_> = series(&events, "milvus_coord_takeover_seconds_sum");
    assert_eq!(
        sums,
        [
            r#"milvus_coord_takeover_seconds_sum{stage="caught_up"} 0.0001"#,
            r#"milvus_coord_takeover_seconds_sum{stage="deposed"} 0"#,
            r#"milvus_coord_takeover_seconds_sum{stage="detected"} 0.0003"#,
            r#"milvus_coord_takeover_seconds_sum{stage="serving"} 0.0008"#,
            r#"milvus_coord_takeover_seconds_sum{stage="total"} 0.002"#,
            r#"milvus_coord_takeover_seconds_sum{stage="won"} 0.0011"#,
        ]
    );
    assert_eq!(series(&events, "milvus_coord_epoch"), ["milvus_coord_epoch 168"]);
    assert_eq!(
        series(&events, "milvus_num_node"),
        [r#"milvus_num_node{node_id="19",role_name="rootcoord"} 1"#]
    );
    assert_eq!(series(&events, r#"phase="active""#), [r#"milvus_coord_phase{phase="active"} 1"#]);
}

#[test]
fn other_roles_use_their_own_words() {
    let lines = lines_of(LogLevel::Info, || {
        let events = events(Role::QueryCoord);
        events.standby_mode_entered();
        events.in_standby();
        events.activating();
        events.phase_changed(Phase::Active, StateCode::Healthy);
        events.startup_succeeded(OWN, ADDRESS);
        events.disconnected(OWN);
        let events = self::events(Role::DataCoord);
        events.startup_succeeded(OWN, ADDRESS);
        events.disconnected(OWN);
    });
    assert_eq!(
        lines,
        [
            r#"[INFO] ["QueryCoord enter standby mode successfully"]"#,
            r#"[INFO] ["serverName: querycoord is in STANDBY ..."]"#,
            r#"[INFO] ["querycoord switch from standby to active, activating"]"#,
            r#"[INFO] ["QueryCoord switch from standby to active, activating"]"#,
            r#"[INFO] ["QueryCoord startup success"]"#,
            r#"[ERROR] ["QueryCoord disconnected from etcd, process will exit"] [serverID=19]"#,
            r#"[INFO] ["DataCoord startup success"]"#,
            r#"[INFO] ["DataCoord Register Finished"]"#,
            r#"[ERROR] ["disconnected from etcd and exited"] [serverID=19]"#,
        ]
    );
}

#[test]
fn an_end_is_told_and_counted() {
    let events = events(Role::RootCoord);
    let lines = lines_of(LogLevel::Info, || {
        events.registered_active(OWN, Epoch(168), TakeoverCause::Vacant);
        events.startup_succeeded(OWN, ADDRESS);
    });
    assert_eq!(lines.len(), 6);
    let lines = lines_of(LogLevel::Info, || {
        events.session_key_deleted(ACTIVE_KEY);
        events.connection_lost();
        events.lease_lost(OWN, LeaseId(7_587_899_049_178_795_489));
        events.term_ended(OWN, Epoch(168), TermEnd::LeaseLost);
        events.disconnected(OWN);
        events.exit_signal(Signal::SIGTERM);
        events.stopping();
        events.stopped();
    });
    assert_eq!(
        lines,
        [
            r#"[INFO] ["session key is deleted, exit..."] [role=rootcoord] [key=by-dev/meta/session/rootcoord]"#,
            r#"[WARN] ["connection lost detected, shuting down"]"#,
            r#"[WARN] ["the lease of the session is over, registering again"] [serverID=19] [leaseID=7587899049178795489]"#,
            r#"[WARN] ["the term is over"] [epoch=168] [cause=lease_lost]"#,
            r#"[ERROR] ["Root Coord disconnected from etcd, process will exit"] ["Server Id"=19]"#,
            r#"[WARN] ["Get signal to exit"] [signal=terminated]"#,
            r#"[WARN] ["stop processing"]"#,
            r#"[INFO] ["All coordinators have stopped"]"#,
            r#"[INFO] ["Milvus components graceful stop done"]"#,
        ]
    );
    let mut changes = series(&events, "term_changes");
    changes.retain(|line| !line.ends_with(" 0"));
    assert_eq!(
        changes,
        [
            r#"milvus_coord_term_changes_total{cause="lease_lost",change="end"} 1"#,
            r#"milvus_coord_term_changes_total{cause="vacant",change="begin"} 1"#,
        ]
    );
    assert_eq!(series(&events, "milvus_coord_epoch"), <[String; 0]>::default());
    assert_eq!(
        series(&events, "milvus_num_node"),
        [r#"milvus_num_node{node_id="19",role_name="rootcoord"} 0"#]
    );
    assert_eq!(series(&events, "leases_lost"), ["milvus_coord_leases_lost_total 1"]);
}

#[test]
fn trouble_names_what_it_is_about() {
    let events = events(Role::RootCoord);
    let refused = CallError::Refused { what: "the campaign", refusal: Refusal::NoSpace };
    let lines = lines_of(LogLevel::Info, || {
        events.etcd_awaited("a:2379,b:2379", Duration::from_secs(70), &refused);
        assert_eq!(series(&events, "etcd_available"), ["milvus_coord_etcd_available 0"]);
        events.etcd_answers(Duration::from_millis(70_500));
        events.registration_failed(&refused);
        events.holder_awaited(&Peer { server_id: ServerId(15), address: "10.0.0.1:53100".to_owned() });
        events.self_fenced(Epoch(168), Some(Duration::from_millis(101)));
        events.self_fenced(Epoch(168), None);
        events.self_fencing_ended(Epoch(168), Duration::from_millis(400));
        events.foreign_write(Epoch(168), "by-dev/kv/gid/timestamp", Revision(170));
        events.undecodable_value("by-dev/meta/root-coord/database/db-info/2", Revision(5), &refused);
    });
    assert_eq!(
        lines,
        [
            r#"[WARN] ["waiting for etcd"] [endpoints=a:2379,b:2379] [waited=1m10s] [error="etcd refused the campaign: etcd's space quota is used up"]"#,
            r#"[INFO] ["etcd answers"] [waited=1m10.5s]"#,
            r#"[ERROR] ["register active key to etcd failed"] [error="etcd refused the campaign: etcd's space quota is used up"]"#,
            r#"[WARN] ["ACTIVE rootcoord is held by another instance and active-standby is off: waiting for it to go"] [holder=15] [address=10.0.0.1:53100]"#,
            r#"[WARN] ["etcd has not confirmed the term in time: answers wait until it does"] [epoch=168] [proofAge=101ms]"#,
            r#"[WARN] ["etcd has not confirmed the term in time: answers wait until it does"] [epoch=168]"#,
            r#"[INFO] ["etcd has confirmed the term: answers go on"] [epoch=168] [after=400ms]"#,
            r#"[WARN] ["somebody else changed metadata during the own term"] [key=by-dev/kv/gid/timestamp] [revision=170] [epoch=168]"#,
            r#"[ERROR] ["a value in etcd cannot be decoded: it is skipped and left as it is"] [key=by-dev/meta/root-coord/database/db-info/2] [revision=5] [error="etcd refused the campaign: etcd's space quota is used up"]"#,
        ]
    );
    for (metric, value) in [
        ("milvus_coord_etcd_available", 1),
        ("milvus_coord_self_fencings_total", 2),
        ("milvus_coord_foreign_writes_total", 1),
        ("milvus_coord_undecodable_total", 1),
    ] {
        assert_eq!(series(&events, metric), [format!("{metric} {value}")]);
    }
}

#[test]
fn keys_as_go_prints_them() {
    let kv = KeyValue {
        key: ACTIVE_KEY.to_owned(),
        value: b"{\"n\":\"\n\\\x01\xff\"}".to_vec(),
        create_revision: Revision(160),
        mod_revision: Revision(167),
        lease: LeaseId(5),
    };
    let lines = lines_of(LogLevel::Debug, || events(Role::RootCoord).watched_key_put(&kv));
    assert!(lines[0].starts_with(r#"[DEBUG] ["watch the ACTIVE key"] [ADD="key:\"by-dev/"#), "{lines:?}");
    assert_eq!(
        KeyValueText::Put(&kv).to_string(),
        "key:\"by-dev/meta/session/rootcoord\" create_revision:160 mod_revision:167 \
         value:\"{\\\"n\\\":\\\"\\n\\\\\\001\\377\\\"}\" lease:5 "
    );
}
