//! Members that are down, frozen, unknown, exchanged or restored.

use std::{sync::Arc, time::Duration};

use milvus_coord::{
    clock::SystemClock,
    etcd::{
        Etcd,
        call::CallError,
        lane::Lane,
        mirror::KeyRange,
        settings::EtcdSettings,
        txn::{Guard, Op, Txn, TxnOutcome},
        wait::wait_for_etcd,
    },
};
use milvus_coord_testbed::etcd::{Etcd as Servers, Options};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::{LIMIT, Names, PATIENCE, closed_port, connect, connect_with, put};

fn create(key: &str) -> Txn {
    Txn { guards: vec![Guard::Absent(key.into())], then: vec![Op::put(key, "v")], otherwise: vec![] }
}

#[tokio::test]
async fn a_dead_and_an_unknown_member_are_passed_over() {
    let servers = Servers::single().await.unwrap();
    let etcd = connect([closed_port().await, "no-such-host.invalid:2379".to_owned(), servers.endpoint(0)]);
    assert_eq!(etcd.read("k", LIMIT).await.unwrap().value, None);
    let etcd = connect([closed_port().await, "no-such-host.invalid:2379".to_owned(), servers.endpoint(0)]);
    assert!(matches!(etcd.txn(create("k"), LIMIT).await.unwrap(), TxnOutcome::Done(_)));
}

#[tokio::test]
async fn every_connection_goes_through_the_seam_and_names_may_appear_later() {
    let servers = Servers::single().await.unwrap();
    let names = Arc::new(Names::default());
    let settings = EtcdSettings::new(["etcd-0.etcd:2379", "etcd-1.etcd:2379"]);
    let etcd = Etcd::new(settings, names.clone(), Arc::new(SystemClock)).unwrap();
    assert!(names.dialled.lock().is_empty(), "dialled before the first call");

    let error = etcd.read("k", Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");
    assert!(names.dialled.lock().contains(&"etcd-1.etcd:2379".to_owned()));

    let stop = CancellationToken::new();
    let before = names.dialled.lock().len();
    let appear = async {
        while names.dialled.lock().len() < before + 4 {
            tokio::task::yield_now().await;
        }
        names.known.lock().push(("etcd-1.etcd".into(), "127.0.0.1".into(), servers.client_port(0)));
    };
    let waiting = async { tokio::join!(wait_for_etcd(&etcd, "k", &stop), appear).0 };
    let header = timeout(PATIENCE, waiting).await.unwrap().unwrap();
    assert_eq!(header.cluster_id, etcd.cluster().borrow().cluster_id);
}

#[tokio::test]
async fn waiting_for_etcd_can_be_cancelled() {
    let etcd = connect([closed_port().await]);
    let stop = CancellationToken::new();
    stop.cancel();
    assert_eq!(wait_for_etcd(&etcd, "k", &stop).await, None);
}

#[tokio::test]
async fn a_write_that_could_not_be_sent_is_certainly_not_applied() {
    let etcd = connect([closed_port().await]);
    let error = etcd.txn(create("k"), Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }) && error.certainly_not_applied(), "{error:?}");
}

#[tokio::test]
async fn a_write_to_a_frozen_member_is_unknown() {
    let servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    etcd.read("k", LIMIT).await.unwrap();
    servers.freeze(0).unwrap();
    let error = etcd.txn(create("k"), Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, CallError::Unknown { .. }), "{error:?}");
    servers.thaw(0).unwrap();
    etcd.read("k", LIMIT).await.unwrap();
}

#[tokio::test]
async fn a_frozen_member_delays_a_read_by_the_hedge_only() {
    let servers = Servers::start(Options::members(3)).await.unwrap();
    let etcd = connect(servers.endpoints());
    etcd.read("k", LIMIT).await.unwrap();
    servers.freeze(0).unwrap();
    // The frozen member may have been the leader: then the others elect one first.
    etcd.read("k", PATIENCE).await.unwrap();
    let before = Instant::now();
    for _ in 0..20 {
        etcd.read("k", LIMIT).await.unwrap();
    }
    assert!(
        before.elapsed() < Duration::from_secs(2),
        "still asks the frozen member: {:?}",
        before.elapsed()
    );
}

#[tokio::test]
async fn a_restarted_etcd_is_the_same_etcd() {
    let mut servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    etcd.txn(create("k"), LIMIT).await.unwrap();
    servers.stop(0).unwrap();
    let error = etcd.read("k", Duration::from_millis(300)).await.unwrap_err();
    assert!(!matches!(error, CallError::Refused { .. }), "{error:?}");
    servers.start_again(0).await.unwrap();
    assert!(etcd.read("k", LIMIT).await.unwrap().value.is_some());
    assert_eq!(etcd.cluster().borrow().incarnation, 0);
}

#[tokio::test]
async fn a_restored_backup_is_noticed() {
    let mut servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    etcd.txn(create("a"), LIMIT).await.unwrap();
    servers.stop(0).unwrap();
    let backup = servers.back_up().unwrap();
    servers.start_again(0).await.unwrap();
    etcd.txn(create("b"), LIMIT).await.unwrap();
    let mut cluster = etcd.cluster();
    assert_eq!(cluster.borrow_and_update().incarnation, 0);

    servers.stop(0).unwrap();
    servers.restore(&backup).unwrap();
    servers.start_again(0).await.unwrap();
    assert_eq!(etcd.read("b", LIMIT).await.unwrap().value, None);
    assert_eq!(cluster.borrow_and_update().incarnation, 1);
    etcd.read("b", LIMIT).await.unwrap();
    assert_eq!(cluster.borrow().incarnation, 1, "noticed once");
}

#[tokio::test]
async fn another_cluster_behind_the_address_is_noticed() {
    let one = Servers::single().await.unwrap();
    let other = Servers::single().await.unwrap();
    let names = Arc::new(Names::default());
    names.known.lock().push(("etcd".into(), "127.0.0.1".into(), one.client_port(0)));
    let etcd = Etcd::new(EtcdSettings::new(["etcd"]), names.clone(), Arc::new(SystemClock)).unwrap();
    etcd.read("k", LIMIT).await.unwrap();
    let before = *etcd.cluster().borrow();

    *names.known.lock() = vec![("etcd".into(), "127.0.0.1".into(), other.client_port(0))];
    etcd.use_another_member();
    etcd.read("k", LIMIT).await.unwrap();
    let now = *etcd.cluster().borrow();
    assert_eq!((before.incarnation, now.incarnation), (0, 1));
    assert_ne!(before.cluster_id, now.cluster_id);
}

#[tokio::test]
async fn large_ranges_come_whole_and_as_of_one_revision() {
    let servers = Servers::single().await.unwrap();
    for n in 0..12 {
        put(&servers, &format!("p/{n:02}"), vec![n; 1_000_000]).await;
    }
    put(&servers, "p2/x", "").await;
    let etcd = connect(servers.endpoints()).on(Lane::Bulk);
    let listed = etcd.list(&KeyRange::prefix("p/"), LIMIT).await.unwrap();
    assert_eq!(listed.value.len(), 12);
    assert!(listed.value.iter().all(|kv| kv.value.len() == 1_000_000));

    for n in 0..1_200 {
        put_many(&servers, n).await;
    }
    let listed = etcd.list(&KeyRange::prefix("q/"), LIMIT).await.unwrap();
    let keys: Vec<_> = listed.value.iter().map(|kv| kv.key.clone()).collect();
    let mut sorted = keys.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!((keys.len(), keys), (1_200, sorted));
}

async fn put_many(servers: &Servers, n: usize) {
    if !n.is_multiple_of(100) {
        return;
    }
    let ops: Vec<_> = (n..n + 100).map(|n| etcd_client::TxnOp::put(format!("q/{n:05}"), "", None)).collect();
    let txn = etcd_client::Txn::new().and_then(ops);
    servers.client().await.unwrap().txn(txn).await.unwrap();
}

#[tokio::test]
async fn a_large_answer_does_not_delay_small_ones() {
    let servers = Servers::single().await.unwrap();
    for n in 0..30 {
        put(&servers, &format!("p/{n:02}"), vec![n; 1_000_000]).await;
    }
    let mut settings = EtcdSettings::new(servers.endpoints());
    settings.hedge_after = PATIENCE;
    let etcd = connect_with(settings);
    let bulk = etcd.on(Lane::Bulk);
    etcd.read("k", LIMIT).await.unwrap();
    let range = KeyRange::prefix("p/");
    let large = async { bulk.list(&range, LIMIT).await.unwrap() };
    let small = async {
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            let before = Instant::now();
            etcd.read("k", LIMIT).await.unwrap();
            longest = longest.max(before.elapsed());
        }
        longest
    };
    let (large, longest) = tokio::join!(large, small);
    assert_eq!(large.value.len(), 30);
    assert!(longest < Duration::from_secs(1), "a read took {longest:?}");
}
