//! An etcd whose space quota is used up: what still works, and what a refusal means.

use std::time::Duration;

use futures::future::join_all;
use milvus_coord::{
    etcd::{
        Etcd,
        call::{CallError, Refusal},
        lease::{LeaseKeeper, LeaseState, Pulse},
        txn::{Guard, Op, Txn, TxnOutcome},
    },
    ids::LeaseId,
};
use milvus_coord_testbed::etcd::{Etcd as Servers, Options};

use crate::support::{LIMIT, PATIENCE, connect};

fn create(key: &str, size: usize) -> Txn {
    Txn {
        guards: vec![Guard::Absent(key.into())],
        then: vec![Op::put(key, vec![7; size])],
        otherwise: vec![],
    }
}

/// Writes until there is no space left. Each end must be true.
async fn fill(etcd: &Etcd, writer: usize) {
    for n in 0.. {
        let key = format!("fill/{writer}/{n}");
        let end = etcd.txn(create(&key, 10_000), LIMIT).await;
        let exists = etcd.read(&key, LIMIT).await.unwrap().value.is_some();
        match end {
            Ok(TxnOutcome::Done(_)) => assert!(exists, "{key} was acknowledged and isn't there"),
            Err(CallError::Refused { refusal: Refusal::NoSpace, .. }) => {
                assert!(!exists, "{key} was refused and is there");
                return;
            }
            end => panic!("{key}: {end:?}"),
        }
    }
}

#[tokio::test]
async fn a_full_etcd_refuses_truly_and_keeps_what_it_has() {
    let servers = Servers::start(Options::default().arg("--quota-backend-bytes=2097152")).await.unwrap();
    let etcd = connect(servers.endpoints());
    let pulse = Pulse::new(etcd.clock().clone());
    let keeper = LeaseKeeper::grant(&etcd, Duration::from_secs(2), pulse.clone(), LIMIT).await.unwrap();
    let other = etcd.grant(PATIENCE, LIMIT).await.unwrap().value.lease;
    let beat = async {
        loop {
            pulse.tick();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        // Those that cross the quota together are carried out, and refused all the same.
        _ = join_all((0..50).map(|writer| fill(&etcd, writer))) => {}
        () = beat => {}
    }

    let error = etcd.grant(PATIENCE, LIMIT).await.unwrap_err();
    assert_eq!(error.refusal(), Some(&Refusal::NoSpace));
    // What takes no space works.
    let removal = Txn { guards: vec![], then: vec![Op::delete("fill/0/0")], otherwise: vec![] };
    assert!(matches!(etcd.txn(removal, LIMIT).await.unwrap(), TxnOutcome::Done(_)));
    etcd.revoke(other, LIMIT).await.unwrap();
    let mut state = keeper.state();
    let at_first = *state.borrow_and_update();
    let renewed = async {
        loop {
            pulse.tick();
            tokio::time::sleep(Duration::from_millis(50)).await;
            if *state.borrow_and_update() != at_first {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, renewed).await.unwrap();
    assert!(matches!(*keeper.state().borrow(), LeaseState::Held { .. }));
    assert_ne!(keeper.id(), LeaseId(0));
}

#[tokio::test]
async fn transactions_beyond_etcd_s_limits_are_refused_and_not_unknown() {
    let servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    let many = Txn { then: (0..129).map(|n| Op::put(format!("k/{n}"), "")).collect(), ..Txn::default() };
    for txn in [many, create("large", 1_600_000), create("huge", 5_000_000)] {
        let error = etcd.txn(txn, LIMIT).await.unwrap_err();
        assert!(matches!(error.refusal(), Some(Refusal::TooLarge(_))), "{error:?}");
        assert!(error.certainly_not_applied());
    }
    let twice = Txn { then: vec![Op::put("k", "1"), Op::put("k", "2")], ..Txn::default() };
    let error = etcd.txn(twice, LIMIT).await.unwrap_err();
    assert!(matches!(error.refusal(), Some(Refusal::Other(_))), "{error:?}");
    let orphan = Op::Put { key: "k".into(), value: vec![], lease: Some(LeaseId(4711)) };
    let error = etcd.txn(Txn { then: vec![orphan], ..Txn::default() }, LIMIT).await.unwrap_err();
    assert_eq!(error.refusal(), Some(&Refusal::LeaseNotFound));
}
