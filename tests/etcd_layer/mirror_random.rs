//! Whatever happens, in whatever order: the mirror is what etcd was.

use std::{collections::BTreeMap, time::Duration};

use etcd_client::{DeleteOptions, GetOptions, PutOptions, Txn, TxnOp};
use milvus_coord::{
    etcd::mirror::{KeyRange, Mirror},
    ids::Revision,
};
use milvus_coord_testbed::{etcd::Etcd as Servers, proxy::Proxy};
use parking_lot::Mutex;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::{
    mirror::{Copy, follow},
    support::{connect, put, wait_until},
};

const STEPS: usize = 400;

fn key(random: &mut StdRng) -> String {
    let place = ["by-dev/a/", "by-dev/b/", "by-dev/c", "by-dev2/a/"][random.random_range(0..4)];
    format!("{place}{}", random.random_range(0..12))
}

fn wanted() -> Vec<KeyRange> {
    vec![KeyRange::prefix("by-dev/a/"), KeyRange::prefix("by-dev/c")]
}

/// One change, or one thing that happens to the mirror.
async fn step(random: &mut StdRng, client: &mut etcd_client::Client, way: &Proxy, leases: &mut Vec<i64>) {
    let value = vec![random.random(); random.random_range(0..2_000)];
    match random.random_range(0..100) {
        0..45 => drop(client.put(key(random), value, None).await.unwrap()),
        45..60 => drop(client.delete(key(random), None).await.unwrap()),
        60..75 => {
            let mut ops = BTreeMap::new();
            for _ in 0..random.random_range(1..8) {
                let key = key(random);
                let op = if random.random() {
                    TxnOp::put(key.clone(), value.clone(), None)
                } else {
                    TxnOp::delete(key.clone(), None)
                };
                ops.insert(key, op);
            }
            let ops: Vec<_> = ops.into_values().collect();
            drop(client.txn(Txn::new().and_then(ops)).await.unwrap());
        }
        75..79 => {
            drop(client.delete("by-dev/a/", Some(DeleteOptions::new().with_prefix())).await.unwrap());
        }
        79..85 => {
            let lease = client.lease_grant(600, None).await.unwrap().id();
            for _ in 0..5 {
                let options = PutOptions::new().with_lease(lease);
                client.put(key(random), value.clone(), Some(options)).await.unwrap();
            }
            leases.push(lease);
        }
        85..89 => {
            if let Some(lease) = leases.pop() {
                client.lease_revoke(lease).await.unwrap();
            }
        }
        89..93 => {
            let now = client.get("x", None).await.unwrap().header().unwrap().revision();
            // Not the newest one: what the mirror is compared with must stay readable.
            let _ = client.compact((now - 30).max(1), None).await;
        }
        93..96 => way.cut(),
        96..98 => way.hang(),
        _ => way.heal(),
    }
}

/// Each state that the mirror called complete, held against etcd at that revision.
async fn check(client: &mut etcd_client::Client, copy: &Mutex<Copy>, from: usize) -> usize {
    let checkpoints: Vec<_> = copy.lock().checkpoints[from..].to_vec();
    for (revision, keys) in &checkpoints {
        let options = GetOptions::new().with_prefix().with_revision(revision.0);
        let Ok(response) = client.get("by-dev/", Some(options)).await else {
            // Compacted meanwhile.
            continue;
        };
        let truth: BTreeMap<_, _> = response
            .kvs()
            .iter()
            .map(|kv| (kv.key_str().unwrap().to_owned(), (kv.value().to_vec(), Revision(kv.mod_revision()))))
            .filter(|(key, _)| wanted().iter().any(|range| range.contains(key)))
            .collect();
        assert_eq!(*keys, truth, "at revision {revision}");
    }
    from + checkpoints.len()
}

/// How many states were compared.
async fn run(seed: u64) -> usize {
    let mut random = StdRng::seed_from_u64(seed);
    let servers = Servers::single().await.unwrap();
    let mut client = servers.client().await.unwrap();
    let way = Proxy::start(servers.endpoint(0).trim_start_matches("http://")).await;
    let etcd = connect([way.address()]);
    let (mirror, copy): (Mirror, _) = follow(&etcd, wanted());
    copy.lock().keep_checkpoints = true;
    let (mut leases, mut checked) = (Vec::new(), 0);
    for _ in 0..STEPS {
        step(&mut random, &mut client, &way, &mut leases).await;
        if random.random_range(0..10) == 0 {
            // Gives the mirror a chance to be somewhere in between.
            tokio::time::sleep(Duration::from_millis(random.random_range(0..30))).await;
        }
        if random.random_range(0..20) == 0 {
            checked = check(&mut client, &copy, checked).await;
        }
    }
    way.heal();
    let last = put(&servers, "by-dev/a/last", "").await;
    wait_until(&mirror, |state| state.revision >= last).await;
    mirror.stop().await;
    let checked = check(&mut client, &copy, checked).await;
    let copy = copy.lock();
    assert_eq!(copy.checkpoints.last().unwrap().0, last, "the end was compared");
    checked
}

#[tokio::test]
async fn random_histories_are_mirrored_exactly() {
    let seeds = match std::env::var("MILVUS_COORD_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => vec![1, 2, rand::rng().random()],
    };
    let mut checked = 0;
    for seed in seeds {
        #[expect(clippy::print_stderr, reason = "a failing run must tell how it is repeated")]
        {
            eprintln!("MILVUS_COORD_SEED={seed}");
        }
        checked += run(seed).await;
    }
    // One history may be cut off for most of its time; not all of them.
    assert!(checked > STEPS / 10, "only {checked} states were seen");
}
