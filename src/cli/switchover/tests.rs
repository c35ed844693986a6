use milvus_proto::{common::StateCode, peer::Phase};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::*;
use crate::{
    cli::{
        sessions::tests::{PREFIX, entry, milvus_session, own_session},
        testing::{self, Cluster, Fake, LIMIT, Script, closed_port, dial, keys, status},
    },
    etcd::txn::KeyValue,
    ids::Revision,
};

fn active(id: i64) -> Named {
    Named { role: Role::RootCoord, server_id: id, address: format!("10.0.0.{id}:53100") }
}

fn of(id: i64, session: Session, holds: bool) -> Vec<KeyValue> {
    let mut entries = vec![entry(&format!("rootcoord-{id}"), &session.encode(), id, id)];
    if holds {
        entries.push(entry("rootcoord", &session.encode(), 60, id));
    }
    entries
}

fn own(id: i64, holds: bool) -> Vec<KeyValue> {
    of(id, own_session(id), holds)
}

fn milvus(id: i64, holds: bool) -> Vec<KeyValue> {
    of(id, milvus_session(id), holds)
}

/// What is planned for a group; errors as they are shown.
#[track_caller]
fn check(group: &[Vec<KeyValue>], to: Option<i64>, expected: Result<Plan, &str>) {
    let sessions = Sessions::of(PREFIX, &group.concat(), Revision(70));
    let planned = plan(&sessions, Role::RootCoord, to.map(ServerId));
    assert_eq!(planned.map_err(|error| error.to_string()), expected.map_err(str::to_owned));
}

#[test]
fn the_active_one_is_asked() {
    let group = [own(3, true), own(9, false), milvus(12, false)];
    check(&group, None, Ok(Plan::Ask(active(3))));
    check(&group, Some(9), Ok(Plan::Ask(active(3))));
    check(&group, Some(3), Ok(Plan::Nothing(active(3))));
}

#[test]
fn where_nothing_can_be_handed_over_it_is_said_why_and_what_to_do() {
    check(&[], None, Err("no rootcoord is registered: start one"));
    check(
        &[own(9, false)],
        None,
        Err("no rootcoord is ACTIVE: a standby takes over by itself; `milvus-coord status` shows them"),
    );
    check(
        &[own(3, true)],
        None,
        Err("rootcoord 3 at 10.0.0.3:53100, the ACTIVE one, is the only rootcoord: start a standby first"),
    );
    check(
        &[own(3, true), own(9, false)],
        Some(12),
        Err("no rootcoord with server id 12 is registered; the standbys are 9 at 10.0.0.9:53100"),
    );
    check(
        &[vec![entry("rootcoord", b"[]", 60, 1)], own(9, false)],
        None,
        Err("nobody can tell who is ACTIVE: the value of by-dev/meta/session/rootcoord is no session \
             (invalid type: sequence, expected a map at line 1 column 0); delete the key if its writer is gone"),
    );
}

#[test]
fn a_real_milvus_is_not_asked_but_explained() {
    let stop = "rootcoord 3 at 10.0.0.3:53100, the ACTIVE one, is milvus/2.3.5, which can't be asked to hand \
                over. Stop it (SIGTERM): its key goes with its lease, and a milvus-coord standby takes over";
    check(&[milvus(3, true), own(9, false)], None, Err(stop));
    check(&[milvus(3, true)], Some(9), Err(&format!("{stop}; none is registered: start one first")));
    let other = "rootcoord 12 at 10.0.0.12:53100 is milvus/2.3.5, which nothing can be handed to. It takes over \
                 when rootcoord 3 at 10.0.0.3:53100, the ACTIVE one, is stopped (SIGTERM)";
    check(&[own(3, true), milvus(12, false)], None, Err(other));
    check(&[own(3, true), own(9, false), milvus(12, false)], Some(12), Err(other));
}

/// An ACTIVE one that behaves so, and a standby, in a real etcd.
async fn pair(script: Script) -> (Cluster, Fake) {
    let cluster = Cluster::start().await;
    let active = Fake::start(script).await;
    cluster.register(&testing::own_session(3, active.address()), true).await;
    cluster.register(&testing::own_session(9, "10.0.0.9:53100".to_owned()), false).await;
    (cluster, active)
}

async fn run(cluster: &Cluster, to: Option<i64>) -> Result<String, String> {
    run_within(cluster, to, LIMIT).await
}

async fn run_within(cluster: &Cluster, to: Option<i64>, limit: Duration) -> Result<String, String> {
    let options = SwitchoverOptions {
        etcd_limit: LIMIT,
        limit,
        ..SwitchoverOptions::new(Role::RootCoord, to.map(ServerId))
    };
    let mut out = Vec::new();
    match switchover(&cluster.etcd, &keys(), dial(), options, &mut out).await {
        Ok(exit) => {
            assert_eq!(exit, Exit::Done);
            Ok(String::from_utf8(out).unwrap())
        }
        Err(error) => {
            assert_eq!(out, b"");
            Err(error.to_string())
        }
    }
}

#[tokio::test]
async fn a_hand_over_is_told_with_from_to_epoch_and_time() {
    let done = SwitchoverResponse {
        done: true,
        new_server_id: 9,
        new_epoch: 70,
        millis: 8.34,
        ..SwitchoverResponse::default()
    };
    let script = Script { switchover: Some(done), ..Script::own(status(3, Phase::Active)) };
    let (cluster, active) = pair(script).await;
    let line =
        format!("rootcoord 3 at {} handed over to 9 at 10.0.0.9:53100: epoch 70, 8.3 ms\n", active.address());
    assert_eq!(run(&cluster, None).await, Ok(line.clone()));
    assert_eq!(run(&cluster, Some(9)).await, Ok(line));
    assert_eq!(*active.script.asked.lock(), [0, 9]);

    let already = format!("rootcoord 3 at {} is ACTIVE already\n", active.address());
    assert_eq!(run(&cluster, Some(3)).await, Ok(already));
    assert_eq!(active.script.asked.lock().len(), 2);
}

#[tokio::test]
async fn a_refusal_is_told_in_the_instances_words() {
    let refusal = SwitchoverResponse {
        reason: "no standby is ready to take over".to_owned(),
        ..SwitchoverResponse::default()
    };
    let script = Script { switchover: Some(refusal), ..Script::own(status(3, Phase::Active)) };
    let (cluster, active) = pair(script).await;
    assert_eq!(
        run(&cluster, None).await,
        Err(format!(
            "rootcoord 3 at {} has not handed over: no standby is ready to take over. `milvus-coord status` \
             shows who is ACTIVE",
            active.address()
        ))
    );
}

#[tokio::test]
async fn one_that_was_not_asked_is_told_from_one_that_has_not_answered() {
    let (sender, arrived) = oneshot::channel();
    let script = Script { silent: Mutex::new(Some(sender)), ..Script::own(status(3, Phase::Active)) };
    let (cluster, active) = pair(script).await;
    assert_eq!(
        run_within(&cluster, None, Duration::from_secs(2)).await,
        Err(format!(
            "rootcoord 3 at {} was asked and has not answered: no answer within 2s. It may have handed over \
             all the same: `milvus-coord status` shows who is ACTIVE",
            active.address()
        ))
    );
    arrived.await.unwrap();

    let (gone, _bound) = closed_port();
    cluster.register(&testing::own_session(4, gone.clone()), true).await;
    assert_eq!(
        run(&cluster, None).await,
        Err(format!(
            "rootcoord 4 at {gone}, the ACTIVE one, can't be reached: connection refused: nothing listens there. \
             If its process is gone, a standby takes over by itself; else see that its address can be reached \
             from here"
        ))
    );

    // A real Milvus behind a session that promises more.
    let real = Fake::start(Script::milvus(5, StateCode::Healthy)).await;
    cluster.register(&testing::own_session(5, real.address()), true).await;
    let refused = run(&cluster, None).await.unwrap_err();
    assert!(refused.contains("has not handed over: it does not know Peer.Switchover"), "{refused}");
}
