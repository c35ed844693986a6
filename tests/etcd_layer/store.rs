//! Writes within a term and after it: late ones, lost answers, foreign hands.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use etcd_client::{Compare, CompareOp, TxnOp};
use milvus_coord::{
    clock::BootInstant,
    election::{
        history::Course,
        notes::{Note, Witness},
        rules::Rules,
    },
    etcd::{
        Etcd,
        batch::{Batch, Change},
        lane::Lane,
        ledger::Origin,
        mirror::{KeyRange, Mirror, MirrorEvent, MirrorPlan},
        store::{Fence, FencedStore, Write, WriteError},
        txn::{Guard, KeyValue, Op, Txn, TxnOutcome},
    },
    ids::{Epoch, LeaseId, Revision},
};
use milvus_coord_testbed::{
    etcd::Etcd as Servers,
    proxy::{Flow, Proxy, Way},
};
use tokio_util::sync::CancellationToken;

use crate::{
    late::LateWay,
    support::{LIMIT, PATIENCE, connect, put, wait_until},
};

const ACTIVE: &str = "by-dev/meta/session/rootcoord";
const SHORT: Duration = Duration::from_millis(400);

/// Takes the ACTIVE key, replacing whatever holds it, with a lease or without.
async fn win(etcd: &Etcd, who: &str, lease: Option<LeaseId>) -> Fence {
    let put = Op::Put { key: ACTIVE.into(), value: who.into(), lease };
    match etcd.txn(Txn { then: vec![put], ..Txn::default() }, LIMIT).await.unwrap() {
        TxnOutcome::Done(header) => Fence { active_key: ACTIVE.into(), epoch: Epoch(header.revision.0) },
        outcome => panic!("{outcome:?}"),
    }
}

fn store(etcd: &Etcd, fence: Fence, attempt: Duration) -> (FencedStore, CancellationToken) {
    let over = CancellationToken::new();
    (FencedStore::new(etcd.clone(), fence, over.clone(), attempt), over)
}

fn write(guard: Guard, value: &str) -> Write {
    let op = Op::put(guard.key(), value);
    Write { guards: vec![guard], ops: vec![op] }
}

async fn value(etcd: &Etcd, key: &str) -> Option<String> {
    let kv = etcd.read(key, LIMIT).await.unwrap().value?;
    Some(String::from_utf8(kv.value).unwrap())
}

/// Puts a key while etcd may be electing a leader.
pub(crate) async fn put_fenced(etcd: &Etcd, key: &str) -> Revision {
    let fence = loop {
        let put = Op::put(ACTIVE, "a1");
        if let Ok(TxnOutcome::Done(header)) = etcd.txn(Txn { then: vec![put], ..Txn::default() }, LIMIT).await
        {
            break Fence { active_key: ACTIVE.into(), epoch: Epoch(header.revision.0) };
        }
    };
    let (store, _) = store(etcd, fence, LIMIT);
    store.commit_settled(write(Guard::Absent(key.into()), "v")).await.unwrap().revision
}

/// A store whose next write gets stuck; a first write has opened the connection.
async fn stuck(servers: &Servers, fence: Fence) -> (LateWay, FencedStore, CancellationToken) {
    let way = LateWay::to(servers.endpoint(0)).await;
    let (store, over) = store(&connect([way.address()]), fence, SHORT);
    store.commit(Write::default()).await.unwrap();
    way.hold();
    (way, store, over)
}

/// The yardstick of the tests below: nothing else than the guards keeps a late write out.
#[tokio::test]
async fn a_late_write_that_nothing_bars_lands() {
    let servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    let fence = win(&etcd, "a1", None).await;
    let (mut way, store, _) = stuck(&servers, fence).await;
    let (end, ()) = tokio::join!(store.commit(write(Guard::Absent("meta/w".into()), "late")), way.seal());
    assert!(matches!(end, Err(WriteError::Unknown(_))), "{end:?}");
    assert_eq!(value(&etcd, "meta/w").await, None);
    way.release().await;
    assert_eq!(value(&etcd, "meta/w").await.as_deref(), Some("late"));
}

#[tokio::test]
async fn a_late_write_of_an_earlier_term_never_lands_not_even_with_the_same_lease() {
    let servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    let lease = etcd.grant(PATIENCE, LIMIT).await.unwrap().value.lease;

    let first_term = win(&etcd, "a1", Some(lease)).await;
    let created = etcd.read(ACTIVE, LIMIT).await.unwrap().value.unwrap().create_revision;
    let (mut way, store_1, _) = stuck(&servers, first_term).await;
    let (end, ()) = tokio::join!(store_1.commit(write(Guard::Absent("meta/w".into()), "late")), way.seal());
    assert!(matches!(end, Err(WriteError::Unknown(_))), "{end:?}");

    // Another one takes over in place and dies; then the first wins again, with the old lease.
    win(&etcd, "s", None).await;
    win(&etcd, "a1", Some(lease)).await;
    way.release().await;
    assert_eq!(value(&etcd, "meta/w").await, None);

    // The write would have passed a fence made of the lease or of the create revision.
    let mut client = servers.client().await.unwrap();
    for fence in [
        Compare::lease(ACTIVE, CompareOp::Equal, lease.0),
        Compare::create_revision(ACTIVE, CompareOp::Equal, created.0),
    ] {
        let txn = etcd_client::Txn::new().when([fence]).and_then([TxnOp::put("other", "", None)]);
        assert!(client.txn(txn).await.unwrap().succeeded());
    }
}

#[tokio::test]
async fn a_late_write_of_the_same_term_does_not_undo_a_newer_one() {
    let servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    let fence = win(&etcd, "a1", None).await;
    let window = |end: u8| Write {
        guards: vec![Guard::ValueBelow("gid/timestamp".into(), vec![end])],
        ops: vec![Op::put("gid/timestamp", [end])],
    };
    let (other_way, _) = store(&etcd, fence.clone(), LIMIT);
    let create = Write {
        guards: vec![Guard::Absent("gid/timestamp".into())],
        ops: vec![Op::put("gid/timestamp", [1])],
    };
    other_way.commit(create).await.unwrap();

    let (mut way, store, _) = stuck(&servers, fence).await;
    let (end, ()) = tokio::join!(store.commit(window(3)), way.seal());
    assert!(matches!(end, Err(WriteError::Unknown(_))), "{end:?}");
    other_way.commit(window(5)).await.unwrap();
    way.release().await;
    assert_eq!(etcd.read("gid/timestamp", LIMIT).await.unwrap().value.unwrap().value, [5]);
}

#[tokio::test]
async fn settling_makes_a_late_first_attempt_harmless() {
    let servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    let fence = win(&etcd, "a1", None).await;
    let mut way = LateWay::to(servers.endpoint(0)).await;
    // The first attempt gets stuck on the first way; the next goes by the second.
    let (store, _) = store(&connect([way.address(), servers.endpoint(0)]), fence, SHORT);
    store.commit(Write::default()).await.unwrap();
    way.hold();
    let (end, ()) =
        tokio::join!(store.commit_settled(write(Guard::Absent("meta/w".into()), "v")), way.seal());
    let committed = end.unwrap();
    way.release().await;
    let kv = etcd.read("meta/w", LIMIT).await.unwrap().value.unwrap();
    assert_eq!((kv.create_revision, kv.mod_revision), (committed.revision, committed.revision));
}

#[tokio::test]
async fn a_first_attempt_that_landed_unheard_is_recognised() {
    let servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    let fence = win(&etcd, "a1", None).await;
    let way = Proxy::start(servers.endpoint(0).trim_start_matches("http://")).await;
    let (store, _) = store(&connect([way.address(), servers.endpoint(0)]), fence, SHORT);
    let replaced = store.commit(write(Guard::Absent("meta/a".into()), "1")).await.unwrap();
    store.commit(write(Guard::Absent("meta/b".into()), "1")).await.unwrap();
    way.set(Way::ToClient, Flow::Hang);
    let three = Write {
        guards: vec![Guard::ModIs("meta/a".into(), replaced.revision), Guard::Absent("meta/c".into())],
        ops: vec![Op::put("meta/a", "2"), Op::delete("meta/b"), Op::put("meta/c", "1")],
    };
    let committed = store.commit_settled(three).await.unwrap();
    let found = etcd.read_all(&["meta/a", "meta/b", "meta/c"].map(str::to_owned), LIMIT).await.unwrap();
    let revisions: Vec<_> = found.value.iter().map(|kv| kv.as_ref().map(|kv| kv.mod_revision)).collect();
    assert_eq!(revisions, [Some(committed.revision), None, Some(committed.revision)]);
    assert_eq!(found.header.revision, committed.revision, "it was carried out once");
}

/// Counts what the fence kept out.
#[derive(Debug, Default)]
struct Refusals(AtomicUsize);

impl Witness for Refusals {
    fn note(&self, _: BootInstant, _: &Note) {}

    fn course(&self, _: Epoch) -> Option<Course> {
        None
    }

    fn write_refused(&self, _: Epoch) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_deposed_writer_learns_it_and_changes_nothing() {
    let servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    let fence = win(&etcd, "a1", None).await;
    let epoch = fence.epoch;
    let refusals = Arc::new(Refusals::default());
    let store = FencedStore::under(
        Rules::default(),
        refusals.clone(),
        etcd.clone(),
        fence,
        CancellationToken::new(),
        LIMIT,
    );
    win(&etcd, "s", None).await;
    for end in [
        store.commit(write(Guard::Absent("meta/w".into()), "v")).await,
        store.commit_settled(write(Guard::Absent("meta/w".into()), "v")).await,
    ] {
        assert!(matches!(end, Err(WriteError::Deposed(e)) if e == epoch), "{end:?}");
    }
    assert!(store.fence_lost().is_cancelled());
    assert_eq!(value(&etcd, "meta/w").await, None);
    assert_eq!(refusals.0.load(Ordering::Relaxed), 1, "what is known to be over is not sent");
}

#[tokio::test]
async fn a_deleted_active_key_is_no_fence() {
    let servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    let fence = win(&etcd, "a1", None).await;
    let (store, _) = store(&etcd, fence, LIMIT);
    servers.client().await.unwrap().delete(ACTIVE, None).await.unwrap();
    let end = store.commit(write(Guard::Absent("meta/w".into()), "v")).await;
    assert!(matches!(end, Err(WriteError::Deposed(_))), "{end:?}");
}

#[tokio::test]
async fn a_conflict_shows_what_is_there() {
    let servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    let fence = win(&etcd, "a1", None).await;
    let (store, _) = store(&etcd, fence, LIMIT);
    let foreign = put(&servers, "meta/w", "theirs").await;
    match store.commit_settled(write(Guard::Absent("meta/w".into()), "ours")).await {
        Err(WriteError::Conflict { keys, seen }) => {
            assert_eq!(keys, ["meta/w"]);
            let seen = seen[0].as_ref().unwrap();
            assert_eq!((seen.value.as_slice(), seen.mod_revision), (&b"theirs"[..], foreign));
        }
        end => panic!("{end:?}"),
    }
    assert!(!store.fence_lost().is_cancelled());
}

#[tokio::test]
async fn nothing_is_sent_once_the_term_is_over() {
    let servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    let fence = win(&etcd, "a1", None).await;
    let (store, over) = store(&etcd, fence, LIMIT);
    over.cancel();
    let end = store.commit(write(Guard::Absent("meta/w".into()), "v")).await;
    assert!(matches!(end, Err(WriteError::Deposed(_))), "{end:?}");
    assert_eq!(value(&etcd, "meta/w").await, None);
}

#[tokio::test]
async fn settling_ends_with_the_term() {
    let servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    let fence = win(&etcd, "a1", None).await;
    let (store, over) = store(&etcd, fence, SHORT);
    store.commit(Write::default()).await.unwrap();
    servers.freeze(0).unwrap();
    let end_the_term = async {
        // Longer than the first attempt, so that the end comes amid the settling.
        tokio::time::sleep(SHORT * 2).await;
        over.cancel();
    };
    let (end, ()) =
        tokio::join!(store.commit_settled(write(Guard::Absent("meta/w".into()), "v")), end_the_term);
    assert!(matches!(end, Err(WriteError::Unknown(_))), "{end:?}");
}

#[tokio::test]
async fn what_others_overwrote_meanwhile_ends_the_term() {
    let servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    let fence = win(&etcd, "a1", None).await;
    let mut way = LateWay::to(servers.endpoint(0)).await;
    let (store, _) = store(&connect([way.address()]), fence, SHORT);
    let first = store.commit(write(Guard::Absent("meta/w".into()), "1")).await.unwrap();
    way.hold();
    let disturb = async {
        way.seal().await;
        put(&servers, "meta/w", "theirs").await;
        // The first attempt's answer shall come too late.
        tokio::time::sleep(SHORT * 2).await;
        way.release().await;
    };
    let second = write(Guard::ModIs("meta/w".into(), first.revision), "2");
    let (end, ()) = tokio::join!(store.commit_settled(second), disturb);
    assert!(matches!(end, Err(WriteError::Unknown(_))), "{end:?}");
    assert!(store.fence_lost().is_cancelled());
    let end = store.commit_settled(write(Guard::Absent("meta/x".into()), "1")).await;
    assert!(matches!(end, Err(WriteError::Deposed(_))), "{end:?}");
    assert_eq!(value(&etcd, "meta/w").await.as_deref(), Some("theirs"));
}

#[tokio::test]
async fn every_transaction_of_a_batch_carries_the_fence() {
    let servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    let fence = win(&etcd, "a1", None).await;
    let (store, _) = store(&etcd, fence, LIMIT);
    let change = |key: String| Change { guard: Guard::Absent(key.clone()), op: Op::put(key, vec![7; 5_000]) };
    let mut changes: Vec<_> = (0..300).map(|n| change(format!("meta/child/{n:03}"))).collect();
    changes.push(change("meta/record".into()));
    let mut writes = Batch { guards: vec![], changes }.in_order().unwrap().into_iter();
    assert!(writes.len() > 2);
    // The largest that are allowed.
    store.commit(writes.next().unwrap()).await.unwrap();
    win(&etcd, "s", None).await;
    for write in writes {
        let end = store.commit(write).await;
        assert!(matches!(end, Err(WriteError::Deposed(_))), "{end:?}");
    }
    assert_eq!(value(&etcd, "meta/record").await, None);
    let children = etcd.on(Lane::Bulk).list(&KeyRange::prefix("meta/child/"), LIMIT).await.unwrap();
    assert!(!children.value.is_empty() && children.value.len() < 300);
}

#[tokio::test]
async fn the_largest_transactions_of_a_batch_are_accepted() {
    let servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    let fence = win(&etcd, "a1", None).await;
    let (store, _) = store(&etcd, fence, LIMIT);
    let change = |key: String, bytes| Change {
        guard: Guard::ValueBelow(key.clone(), vec![9]),
        op: Op::put(key, vec![7; bytes]),
    };
    for (name, count, bytes) in [("many", 500, 1), ("large", 20, 700_000), ("medium", 400, 11_500)] {
        let keys: Vec<_> = (0..count).map(|n| format!("meta/{name}/{n:03}/{}", "long".repeat(40))).collect();
        for key in &keys {
            put(&servers, key, [1]).await;
        }
        let changes = keys.into_iter().map(|key| change(key, bytes)).collect();
        for write in (Batch { guards: vec![], changes }).in_order().unwrap() {
            store.commit(write).await.unwrap();
        }
    }
}

#[tokio::test]
async fn own_changes_are_told_from_foreign_ones_in_the_mirror() {
    let servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    let before = put(&servers, "meta/old", "v").await;
    let fence = win(&etcd, "a1", None).await;
    let (store, _) = store(&etcd, fence, LIMIT);
    let (sink, mut events) = tokio::sync::mpsc::channel(1_000);
    let range = KeyRange::prefix("meta/");
    let plan = MirrorPlan { watch: range.clone(), wanted: vec![range] };
    let mirror = Mirror::start(etcd.clone(), plan, Box::new(move |event| sink.try_send(event).unwrap()));
    wait_until(&mirror, |state| state.in_sync).await;

    let own = store.commit(write(Guard::Absent("meta/w".into()), "v")).await.unwrap();
    let removal =
        Write { guards: vec![Guard::ModIs("meta/w".into(), own.revision)], ops: vec![Op::delete("meta/w")] };
    store.commit(removal).await.unwrap();
    put(&servers, "meta/x", "v").await;
    servers.client().await.unwrap().delete("meta/x", None).await.unwrap();
    let last = store.commit(write(Guard::Absent("meta/z".into()), "v")).await.unwrap().revision;
    wait_until(&mirror, |state| state.revision >= last).await;

    let mut origins = Vec::new();
    while let Ok(event) = events.try_recv() {
        match event {
            MirrorEvent::Put(kv) | MirrorEvent::Entry(kv) => {
                origins.push((kv.key.clone(), store.origin_of_put(&kv)));
            }
            MirrorEvent::Deleted(key, revision) => {
                let origin = store.origin_of_delete(&key, revision);
                origins.push((key, origin));
            }
            MirrorEvent::Reset | MirrorEvent::Loaded(_) | MirrorEvent::UpTo(_) => {}
        }
    }
    let expected = [
        ("meta/old", Origin::BeforeTerm),
        ("meta/w", Origin::Own),
        ("meta/w", Origin::Own),
        ("meta/x", Origin::Foreign),
        ("meta/x", Origin::Foreign),
        ("meta/z", Origin::Own),
    ];
    assert_eq!(origins, expected.map(|(key, origin)| (key.to_owned(), origin)));
    let old = KeyValue { key: "meta/old".into(), mod_revision: before, ..KeyValue::default() };
    assert!(store.is_own(&old));
    assert!(before < Revision(store.fence().epoch.0));
}
