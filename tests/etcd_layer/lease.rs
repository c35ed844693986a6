//! Leases that are renewed, lost, let go and given back.

use std::{collections::BTreeSet, time::Duration};

use milvus_coord::etcd::{
    Etcd,
    lease::{LeaseKeeper, LeaseState, Pulse},
    txn::{Op, Txn},
};
use milvus_coord_testbed::{
    etcd::{Etcd as Servers, Options},
    keys,
    proxy::Proxy,
};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{LIMIT, PATIENCE, connect};

const TTL: Duration = Duration::from_secs(2);
const KEY: &str = "session/rootcoord-1";

/// A lease with a key, as seen from the process that holds it.
struct Held {
    etcd: Etcd,
    pulse: Pulse,
    keeper: LeaseKeeper,
}

async fn hold(endpoints: Vec<String>) -> Held {
    let etcd = connect(endpoints);
    let pulse = Pulse::new(etcd.clock().clone());
    let keeper = LeaseKeeper::grant(&etcd, TTL, pulse.clone(), LIMIT).await.unwrap();
    let put = Op::Put { key: KEY.into(), value: b"here".to_vec(), lease: Some(keeper.id()) };
    etcd.txn(Txn { then: vec![put], ..Txn::default() }, LIMIT).await.unwrap();
    Held { etcd, pulse, keeper }
}

impl Held {
    /// The main loop's part, for as long as `work` takes.
    async fn beating<T>(&self, work: impl Future<Output = T>) -> T {
        let beat = async {
            let mut every = tokio::time::interval(Duration::from_millis(50));
            loop {
                every.tick().await;
                self.pulse.tick();
            }
        };
        tokio::select! {
            done = timeout(PATIENCE, work) => done.expect("in time"),
            () = beat => unreachable!(),
        }
    }

    async fn gone(&self) {
        let mut state = self.keeper.state();
        state.wait_for(|state| *state == LeaseState::Gone).await.unwrap();
    }

    async fn key_exists(&self) -> bool {
        self.etcd.read(KEY, LIMIT).await.unwrap().value.is_some()
    }

    /// Waits for as many renewals.
    async fn renewals(&self, count: usize) {
        let mut state = self.keeper.state();
        let mut deadlines = BTreeSet::new();
        while deadlines.len() <= count {
            if let LeaseState::Held { answered_until, .. } = *state.borrow_and_update() {
                deadlines.insert(answered_until);
            }
            state.changed().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_lease_outlives_its_ttl_and_what_is_given_back_takes_its_keys_along() {
    let servers = Servers::single().await.unwrap();
    let held = hold(servers.endpoints()).await;
    held.beating(sleep(held.keeper.ttl() * 2)).await;
    assert!(held.key_exists().await);
    assert!(held.keeper.answered_until() > held.etcd.clock().boot());
    held.keeper.revoke(LIMIT).await;
    assert!(!held.key_exists().await);
    assert_eq!(*held.keeper.state().borrow(), LeaseState::Gone);
}

#[tokio::test]
async fn the_ttl_is_what_etcd_grants_and_the_deadline_comes_before_etcd_s() {
    let servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    let before = etcd.clock().boot();
    let pulse = Pulse::new(etcd.clock().clone());
    let keeper = LeaseKeeper::grant(&etcd, Duration::from_secs(1), pulse, LIMIT).await.unwrap();
    assert_eq!(keeper.ttl(), Duration::from_secs(2), "1.5 election time-outs, rounded up");
    let LeaseState::Held { answered_until, confirmed_until } = *keeper.state().borrow() else {
        panic!("gone at once");
    };
    assert_eq!(answered_until, confirmed_until, "a grant goes through the majority");
    assert!(answered_until > before && answered_until < etcd.clock().boot() + keeper.ttl());
}

#[tokio::test]
async fn a_revoked_lease_is_gone() {
    let servers = Servers::single().await.unwrap();
    let held = hold(servers.endpoints()).await;
    held.etcd.revoke(held.keeper.id(), LIMIT).await.unwrap();
    held.beating(held.gone()).await;
}

#[tokio::test]
async fn keep_alives_count_once_a_later_read_of_the_same_term_succeeded() {
    let servers = Servers::single().await.unwrap();
    let held = hold(servers.endpoints()).await;
    let granted = held.keeper.confirmed_until();
    held.beating(held.renewals(2)).await;
    assert!(held.keeper.answered_until() > granted);
    assert_eq!(held.keeper.confirmed_until(), granted);

    let read = held.etcd.read(KEY, LIMIT).await.unwrap();
    held.keeper.confirm(read.sent, read.header.raft_term + 1);
    assert_eq!(held.keeper.confirmed_until(), granted, "confirmed by another term");
    held.keeper.confirm(read.sent, read.header.raft_term);
    assert!(held.keeper.confirmed_until() > granted);
}

#[tokio::test]
async fn a_process_that_is_stuck_loses_its_lease() {
    let servers = Servers::single().await.unwrap();
    let held = hold(servers.endpoints()).await;
    held.beating(held.renewals(1)).await;
    // No beat from here on, although the keeper's own task lives.
    let before = Instant::now();
    let client = servers.client().await.unwrap();
    keys::wait(&client, KEY, "the end of the key", PATIENCE, <[_]>::is_empty).await;
    assert!(before.elapsed() < TTL * 3, "renewed while it was stuck: {:?}", before.elapsed());
    held.beating(held.gone()).await;
}

#[tokio::test]
async fn a_hiccup_of_the_main_loop_costs_nothing() {
    let servers = Servers::single().await.unwrap();
    let held = hold(servers.endpoints()).await;
    // Longer than the keeper's patience, shorter than the lease.
    sleep(TTL * 6 / 10).await;
    held.beating(held.renewals(3)).await;
    assert!(held.key_exists().await);
}

#[tokio::test]
async fn an_etcd_that_comes_back_in_time_finds_the_lease_alive() {
    let mut servers = Servers::single().await.unwrap();
    let held = hold(servers.endpoints()).await;
    held.beating(held.renewals(1)).await;
    servers.stop(0).unwrap();
    held.beating(sleep(Duration::from_millis(500))).await;
    // A restarted etcd counts each lease from its start.
    servers.start_again(0).await.unwrap();
    held.beating(held.renewals(2)).await;
    assert!(held.key_exists().await);
}

#[tokio::test]
async fn a_lease_that_ran_out_in_an_outage_is_gone_and_was_not_relied_upon() {
    let servers = Servers::single().await.unwrap();
    let way = Proxy::start(servers.endpoint(0).trim_start_matches("http://")).await;
    let held = hold(vec![way.address()]).await;
    held.beating(held.renewals(1)).await;
    way.hang();
    let direct = connect(servers.endpoints());
    held.beating(async {
        let mut expired = false;
        while !expired {
            expired = direct.read(KEY, LIMIT).await.unwrap().value.is_none();
            let relied = held.keeper.answered_until() > held.etcd.clock().boot();
            assert!(!(expired && relied), "relied upon a lease that etcd had ended");
        }
    })
    .await;
    assert!(matches!(*held.keeper.state().borrow(), LeaseState::Held { .. }), "nobody said that it is gone");
    way.heal();
    held.beating(held.gone()).await;
}

#[tokio::test]
async fn a_frozen_member_costs_no_lease() {
    let servers = Servers::start(Options::members(3)).await.unwrap();
    let held = hold(servers.endpoints()).await;
    held.beating(held.renewals(1)).await;
    servers.freeze(0).unwrap();
    held.beating(held.renewals(4)).await;
    servers.thaw(0).unwrap();
    assert!(held.key_exists().await);
}

#[tokio::test]
async fn a_member_killed_now_and_then_costs_no_lease() {
    let mut servers = Servers::start(Options::members(3)).await.unwrap();
    let held = hold(servers.endpoints()).await;
    let lease = held.keeper.id();
    for member in [0, 1, 2] {
        servers.kill(member);
        held.beating(held.renewals(3)).await;
        held.beating(servers.start_again(member)).await.unwrap();
    }
    assert!(matches!(*held.keeper.state().borrow(), LeaseState::Held { .. }));
    let kv = held.etcd.read(KEY, LIMIT).await.unwrap().value.unwrap();
    assert_eq!(kv.lease, lease);
}
