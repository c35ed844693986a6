use tokio::net::TcpListener;

use super::*;
use crate::cli::testing::{Fake, LIMIT, Script, closed_port, component, dial, status};

const ADDRESS: &str = "127.0.0.1:53100";

#[track_caller]
fn check(said: Result<Said, NoAnswer>, expected: Exit, line: &str) {
    let judged = judge(Role::RootCoord, ADDRESS, said, &TimeZone::UTC);
    assert_eq!(judged, (expected, line.to_owned()));
}

fn own(status: StatusResponse) -> Result<Said, NoAnswer> {
    Ok(Said { component: Ok(component(status.server_id, StateCode::Abnormal)), peer: Ok(status) })
}

fn milvus(code: StateCode) -> Result<Said, NoAnswer> {
    Ok(Said { component: Ok(component(3, code)), peer: Err(NoAnswer::UnknownCall("Peer.Status")) })
}

#[test]
fn our_kind_is_told_by_its_phase() {
    let active = StatusResponse { epoch: 61, active_since_ms: 1_795_224_737_123, ..status(7, Phase::Active) };
    check(
        own(active),
        Exit::HealthActive,
        "rootcoord 7 at 127.0.0.1:53100: ACTIVE since 2026-11-21 01:32:17, epoch 61, milvus-coord/0.1.0",
    );
    check(
        own(status(9, Phase::Standby)),
        Exit::HealthStandby,
        "rootcoord 9 at 127.0.0.1:53100: STANDBY, lag 3, milvus-coord/0.1.0",
    );
    let loading = StatusResponse { mirror_revision: 0, ..status(9, Phase::Standby) };
    check(
        own(loading),
        Exit::HealthStandby,
        "rootcoord 9 at 127.0.0.1:53100: STANDBY, its mirror is still loading, milvus-coord/0.1.0",
    );
    for (id, phase, words) in [
        (0, Phase::WaitingForEtcd, "rootcoord at 127.0.0.1:53100: WAITING for etcd"),
        (7, Phase::Activating, "rootcoord 7 at 127.0.0.1:53100: ACTIVATING"),
        (7, Phase::Suspended, "rootcoord 7 at 127.0.0.1:53100: SUSPENDED, etcd has not confirmed its term"),
        (7, Phase::Leaving, "rootcoord 7 at 127.0.0.1:53100: LEAVING"),
    ] {
        check(own(status(id, phase)), Exit::HealthWaiting, &format!("{words}, milvus-coord/0.1.0"));
    }
}

#[test]
fn a_real_one_is_told_by_its_state() {
    for (code, exit, word) in [
        (StateCode::Healthy, Exit::HealthActive, "ACTIVE"),
        (StateCode::StandBy, Exit::HealthStandby, "STANDBY"),
        (StateCode::Initializing, Exit::HealthWaiting, "ACTIVATING"),
        (StateCode::Abnormal, Exit::HealthWaiting, "ABNORMAL"),
        (StateCode::Stopping, Exit::HealthWaiting, "LEAVING"),
    ] {
        check(milvus(code), exit, &format!("rootcoord 3 at 127.0.0.1:53100: {word}, milvus"));
    }
}

#[test]
fn another_role_or_half_an_answer_is_no_health() {
    let data = StatusResponse { role: "datacoord".into(), ..status(7, Phase::Active) };
    let unknown = Err(NoAnswer::UnknownCall("GetComponentStates"));
    check(
        Ok(Said { component: unknown, peer: Ok(data) }),
        Exit::HealthUnreachable,
        "rootcoord at 127.0.0.1:53100: a datacoord answers there",
    );
    check(
        Ok(Said { component: Err(NoAnswer::Late(LIMIT)), peer: Ok(status(7, Phase::Active)) }),
        Exit::HealthUnreachable,
        "rootcoord at 127.0.0.1:53100: no answer within 10s",
    );
    check(
        Ok(Said { component: Ok(component(7, StateCode::Healthy)), peer: Err(NoAnswer::Late(LIMIT)) }),
        Exit::HealthUnreachable,
        "rootcoord at 127.0.0.1:53100: no answer within 10s",
    );
}

async fn asked(address: String, limit: Duration) -> (Exit, String) {
    let options = HealthOptions { limit, ..HealthOptions::at(Role::RootCoord, address) };
    let mut out = Vec::new();
    let exit = health(dial(), &options, &mut out).await.unwrap();
    (exit, String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn instances_are_asked_in_their_own_tongue() {
    let own = Fake::start(Script::own(status(7, Phase::Standby))).await;
    assert_eq!(
        asked(own.address(), LIMIT).await,
        (
            Exit::HealthStandby,
            format!("rootcoord 7 at {}: STANDBY, lag 3, milvus-coord/0.1.0\n", own.address())
        )
    );
    let real = Fake::start(Script::milvus(3, StateCode::Healthy)).await;
    assert_eq!(
        asked(real.address(), LIMIT).await,
        (Exit::HealthActive, format!("rootcoord 3 at {}: ACTIVE, milvus\n", real.address()))
    );
    let port = real.address.port();
    assert_eq!(HealthOptions::local(Role::RootCoord, port).address, real.address());
}

#[tokio::test]
async fn who_does_not_answer_is_unreachable() {
    let (closed, _bound) = closed_port();
    assert_eq!(
        asked(closed.clone(), LIMIT).await,
        (
            Exit::HealthUnreachable,
            format!("rootcoord at {closed}: connection refused: nothing listens there\n")
        )
    );
    let frozen = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let frozen_at = frozen.local_addr().unwrap().to_string();
    assert_eq!(
        asked(frozen_at.clone(), Duration::from_millis(200)).await,
        (Exit::HealthUnreachable, format!("rootcoord at {frozen_at}: no answer within 200ms\n"))
    );
    let (exit, line) = asked("nowhere".to_owned(), LIMIT).await;
    assert_eq!(exit, Exit::HealthUnreachable);
    assert!(line.contains("no address of the form host:port"), "{line}");
}
