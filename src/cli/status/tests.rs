use milvus_proto::{common::StateCode, peer::Phase};
use parking_lot::Mutex;
use tokio::{net::TcpListener, sync::oneshot};

use super::*;
use crate::cli::testing::{
    Cluster, Fake, LIMIT, Script, closed_port, dial, keys, milvus_session, own_session, status as said,
};

async fn run(cluster: &Cluster, options: StatusOptions) -> (Exit, String) {
    let mut out = Vec::new();
    let exit = status(&cluster.etcd, &keys(), dial(), options, &mut out).await.unwrap();
    (exit, String::from_utf8(out).unwrap())
}

fn patient() -> StatusOptions {
    StatusOptions { etcd_limit: LIMIT, limit: LIMIT, ..StatusOptions::default() }
}

#[tokio::test]
async fn every_instance_is_listed_with_what_etcd_and_it_know() {
    let cluster = Cluster::start().await;
    let active = Fake::start(Script::own(said(7, Phase::Active))).await;
    let standby = Fake::start(Script::milvus(9, StateCode::StandBy)).await;
    cluster.register(&own_session(7, active.address()), true).await;
    cluster.register(&milvus_session(9, standby.address()), false).await;
    cluster.put("proxy-3", b"not looked at".to_vec(), None).await;

    let (exit, json) = run(&cluster, StatusOptions { json: true, ..patient() }).await;
    assert_eq!(exit, Exit::Done, "{json}");
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    let rows = rows.as_array().unwrap();
    let field = |name: &str| rows.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(field("role"), ["rootcoord", "rootcoord"]);
    assert_eq!(field("state"), ["ACTIVE", "STANDBY"]);
    assert_eq!(field("server_id"), [7, 9]);
    assert_eq!(field("address"), [active.address(), standby.address()]);
    assert_eq!(field("software")[1], "milvus/2.3.5");
    assert!(rows.iter().all(|row| (1..=30).contains(&row["lease_left_s"].as_i64().unwrap())), "{json}");
    // What the ACTIVE key was put at, and how far behind that the fake says it is.
    assert!(rows[0]["epoch"].as_i64().unwrap() > 1);
    assert_eq!(field("lag_revisions"), [serde_json::json!(3), serde_json::Value::Null]);

    let (exit, text) = run(&cluster, patient()).await;
    assert_eq!((exit, text.lines().count()), (Exit::Done, 3), "{text}");
}

#[tokio::test]
async fn instances_that_do_not_answer_hold_up_nobody() {
    let cluster = Cluster::start().await;
    // The kernel takes the connection of a frozen process, too.
    let frozen = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let frozen_at = frozen.local_addr().unwrap().to_string();
    let (gone_at, _bound) = closed_port();
    let alive = Fake::start(Script::own(said(3, Phase::Standby))).await;
    cluster.register(&own_session(1, gone_at.clone()), true).await;
    cluster.register(&own_session(2, frozen_at.clone()), false).await;
    cluster.register(&own_session(3, alive.address()), false).await;
    cluster.register(&own_session(4, String::new()), false).await;
    cluster.put("rootcoord-5", b"{}x".to_vec(), None).await;

    let options = StatusOptions { limit: Duration::from_millis(500), ..patient() };
    let (exit, text) = run(&cluster, options).await;
    assert_eq!(exit, Exit::Failed, "{text}");
    for line in [
        format!("rootcoord 1 at {gone_at}: connection refused: nothing listens there"),
        format!("rootcoord 2 at {frozen_at}: no answer within 500ms"),
        "rootcoord 4 at : its session names no address".to_owned(),
        "rootcoord: the ACTIVE one does not answer".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line:?} is missing in\n{text}");
    }
    assert!(text.contains("rootcoord-5 is no session (trailing characters"), "{text}");
    let of_alive = text.lines().find(|line| line.contains(&alive.address())).unwrap();
    assert!(of_alive.starts_with("rootcoord  STANDBY     3 "), "{of_alive}");
}

#[tokio::test]
async fn a_key_that_changes_hands_meanwhile_is_looked_at_again() {
    let cluster = Cluster::start().await;
    let (arrived, first_asked) = oneshot::channel();
    let (go, held) = oneshot::channel();
    let leaving = Script { held: Mutex::new(Some((arrived, held))), ..Script::own(said(7, Phase::Standby)) };
    let leaving = Fake::start(leaving).await;
    let next = Fake::start(Script::own(said(9, Phase::Active))).await;
    cluster.register(&own_session(7, leaving.address()), true).await;
    cluster.register(&own_session(9, next.address()), false).await;
    let hand_over = async {
        first_asked.await.unwrap();
        cluster.register(&own_session(9, next.address()), true).await;
        go.send(()).unwrap();
    };
    let ((exit, text), ()) = tokio::join!(run(&cluster, patient()), hand_over);
    assert_eq!(exit, Exit::Done, "{text}");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[1].starts_with("rootcoord  ACTIVE   9 "), "{text}");
    assert!(lines[2].starts_with("rootcoord  STANDBY  7 "), "{text}");
}

#[tokio::test]
async fn a_lease_that_ended_is_over_and_one_that_lives_is_not() {
    let cluster = Cluster::start().await;
    let lease = cluster.etcd.grant(Duration::from_secs(30), LIMIT).await.unwrap().value;
    let left = cluster.etcd.time_to_live(lease.lease, LIMIT).await.unwrap().unwrap();
    assert!(left <= lease.ttl && left > Duration::from_secs(10), "{left:?}");
    cluster.etcd.revoke(lease.lease, LIMIT).await.unwrap();
    assert_eq!(cluster.etcd.time_to_live(lease.lease, LIMIT).await.unwrap(), None);
}

#[tokio::test]
async fn an_etcd_that_can_not_be_reached_is_an_error_that_names_it() {
    let (endpoint, _bound) = closed_port();
    let settings = crate::etcd::settings::EtcdSettings::new([endpoint.clone()]);
    let etcd = Etcd::new(settings, dial(), Arc::new(crate::clock::SystemClock)).unwrap();
    let options = StatusOptions { etcd_limit: Duration::from_millis(300), ..patient() };
    let error = status(&etcd, &keys(), dial(), options, &mut Vec::new()).await.unwrap_err();
    let text = Chain(&error).to_string();
    assert!(text.starts_with("the sessions of the coordinators could not be read"), "{text}");
    assert!(text.contains(&format!("no etcd member of {endpoint} can be reached")), "{text}");
    assert!(text.contains("Connection refused"), "{text}");
}
