//! SIGTERM: leaving on purpose.

use std::time::{Duration, Instant};

use milvus_coord_testbed::{bed::Bed, load::Load};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::bounds::{FAST, LEASE, LONG_LEASE, PROGRAM, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn the_active_one_hands_over_without_a_failed_call() {
    let bed = Bed::new(PROGRAM).await;
    let plan = |name| bed.elsewhere(name).set(LEASE, LONG_LEASE);
    let (active, standby) = bed.pair_of(plan("first"), plan("second")).await;
    let client = bed.client().await;
    let load = Load::under_way(&client, 100, SOON).await;

    // Names are made all the time, one after the other, by a caller of its own.
    let stop = CancellationToken::new();
    let mut ddl = JoinSet::new();
    ddl.spawn({
        let (client, stop) = (client.separate(), stop.clone());
        async move {
            let mut names = vec!["default".to_owned()];
            while !stop.is_cancelled() && names.len() < 60 {
                let name = format!("d{:03}", names.len());
                client.create_database(&name).await.unwrap_or_else(|e| panic!("{name}: {e}"));
                names.push(name);
            }
            names
        }
    });

    let asked = active.terminate();
    standby.serves(FAST).await;
    load.success_since(asked, FAST).await;
    assert_eq!(active.process.exit(SOON).await.code, Some(0));
    load.successes(100, SOON).await;
    stop.cancel();
    let mut names = ddl.join_next().await.unwrap().unwrap();
    names.sort();

    let history = load.stop().await;
    history.assert_ordered();
    history.assert_no_failures();
    assert_eq!(history.servers().len(), 2, "both have answered");
    let most = history.calls.iter().map(|call| call.attempts).max().unwrap();
    assert!(most <= 2, "a client was pushed on {most} times for one call");
    assert_eq!(client.list_databases().await.unwrap(), names);
    assert_eq!(bed.audit().await.len(), 2, "one takeover");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_successor_goes_on_from_the_last_timestamp_and_not_behind_the_window() {
    let bed = Bed::new(PROGRAM).await;
    let plan = |name| bed.elsewhere(name).set(LEASE, LONG_LEASE);
    let (active, standby) = bed.pair_of(plan("first"), plan("second")).await;
    let client = bed.client().await;
    let before = client.alloc_timestamp(1).await.unwrap().last();
    let asked = Instant::now();
    active.terminate();
    standby.serves(FAST).await;
    let after = client.alloc_timestamp(1).await.unwrap().first;
    // The window lies as far ahead as the lease is long, which is longer than this can take.
    let between = Duration::from_millis((after >> 18) - (before >> 18));
    assert!(after > before && between < asked.elapsed() + Duration::from_secs(1), "{between:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_one_gives_its_key_back_when_it_ends() {
    let bed = Bed::new(PROGRAM).await;
    let plan = |name| bed.elsewhere(name).set(LEASE, LONG_LEASE);
    let only = plan("only").start();
    only.serves(SOON).await;
    only.terminate();
    assert_eq!(only.process.exit(SOON).await.code, Some(0));
    assert_eq!(bed.sessions().await.all().await.unwrap(), []);
    // Nothing to wait for.
    plan("next").start().serves(FAST).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_at_once_end_and_nobody_is_left_active() {
    let bed = Bed::new(PROGRAM).await;
    let (first, second) = bed.pair().await;
    first.terminate();
    second.terminate();
    for instance in [&first, &second] {
        assert_eq!(instance.process.exit(SOON).await.code, Some(0), "{}", instance.process.name());
    }
    assert_eq!(bed.sessions().await.all().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_without_etcd_ends_at_once_too() {
    let mut bed = Bed::new(PROGRAM).await;
    let (first, second) = bed.pair().await;
    bed.etcd.kill(0);
    for instance in [&second, &first] {
        let asked = instance.terminate();
        let exit = instance.process.exit(SOON).await;
        assert_eq!(exit.code, Some(0), "{}", instance.process.name());
        assert!(exit.at - asked < Duration::from_secs(10), "{:?}", exit.at - asked);
    }
}
