use std::collections::BTreeMap;

use milvus_proto::etcd::{CollectionInfo, CollectionState, DatabaseInfo, PartitionInfo, PartitionState};
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::{
    etcd::{call::Header, commit::memory::MemoryStore, txn::KeyValue},
    ids::{CollectionId, LeaseId, PartitionId},
    rootcoord::keys::{DEFAULT_DB, Repeatable, TOMBSTONE},
};

fn keys() -> Keys {
    Keys::new("by-dev/meta", "by-dev/kv")
}

fn database(id: i64, name: &str) -> Vec<u8> {
    DatabaseInfo { name: name.to_owned(), id, state: 1, created_time: 7, ..DatabaseInfo::default() }
        .encode_to_vec()
}

fn collection(state: CollectionState) -> Vec<u8> {
    CollectionInfo { state: state.into(), ..CollectionInfo::default() }.encode_to_vec()
}

fn put(key: &str, value: impl Into<Vec<u8>>, at: i64) -> MirrorEvent {
    MirrorEvent::Put(kv(key, value, at))
}

fn kv(key: &str, value: impl Into<Vec<u8>>, at: i64) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: value.into(),
        create_revision: Revision(at),
        mod_revision: Revision(at),
        lease: LeaseId(0),
    }
}

fn header(at: i64) -> Header {
    Header { revision: Revision(at), ..Header::default() }
}

fn names(catalog: &Catalog) -> Vec<&str> {
    catalog.databases().map(|database| database.name.as_str()).collect()
}

/// An own write that is acknowledged before the mirror shows it.
fn own(catalog: &mut Catalog, ops: &[Op], at: Revision) {
    let write = catalog.writing(ops);
    catalog.written(write, at);
}

fn db_snapshot(id: i64, ts: u64) -> String {
    keys().snapshot(&Object::Database(DbId(id)), Timestamp(ts))
}

#[test]
fn the_newest_snapshot_says_what_a_database_is() {
    let mut catalog = Catalog::new(keys());
    catalog.event(&put(&db_snapshot(5, 20), database(5, "new"), 1));
    catalog.event(&put(&db_snapshot(5, 9), database(5, "old"), 2));
    catalog.event(&put(&db_snapshot(6, 20), database(6, "gone"), 3));
    catalog.event(&put(&db_snapshot(6, 100), TOMBSTONE, 4));
    catalog.event(&put(&keys().plain(&Object::Database(DbId(7))), database(7, "plain only"), 5));
    assert_eq!(names(&catalog), ["new"]);
    assert_eq!(catalog.latest(DbId(6)), Some(Timestamp(100)));
    assert_eq!(catalog.database("new").map(|database| database.id), Some(DbId(5)));
    assert_eq!(catalog.database("old"), None);
}

#[test]
fn a_collection_that_was_moved_and_moved_back_is_found_whatever_is_read_first() {
    let key =
        |db: i64, ts: u64| keys().snapshot(&Object::Collection(DbId(db), CollectionId(50)), Timestamp(ts));
    let created = || collection(CollectionState::CollectionCreated);
    let moves = [
        put(&key(5, 10), created(), 1),
        put(&key(5, 20), TOMBSTONE, 2),
        put(&key(6, 20), created(), 2),
        put(&key(6, 30), TOMBSTONE, 3),
        put(&key(5, 30), created(), 3),
    ];
    // As they were written, and one database after the other, either first.
    for order in [[0, 1, 2, 3, 4], [0, 1, 4, 2, 3], [2, 3, 0, 1, 4]] {
        let mut catalog = Catalog::new(keys());
        for index in order {
            catalog.event(&moves[index]);
        }
        assert_eq!(catalog.visible(CollectionId(50)).map(|found| found.db), Some(DbId(5)), "{order:?}");
    }
}

#[test]
fn a_name_that_two_databases_have_means_the_newer_one() {
    let mut catalog = Catalog::new(keys());
    catalog.event(&put(&db_snapshot(9, 1), database(9, "twice"), 1));
    catalog.event(&put(&db_snapshot(5, 1), database(5, "twice"), 2));
    assert_eq!(catalog.database("twice").map(|database| database.id), Some(DbId(9)));
}

#[test]
fn garbage_is_skipped_named_once_and_never_replaced() {
    let mut catalog = Catalog::new(keys());
    catalog.event(&put(&db_snapshot(5, 1), database(5, "known as"), 1));
    let news = catalog.event(&put(&db_snapshot(5, 2), "\u{1}garbage", 2));
    assert_eq!(news.undecodable, [(db_snapshot(5, 2), Undecodable { what: "value", at: Revision(2) })]);
    assert_eq!(catalog.event(&put(&db_snapshot(5, 2), "more garbage", 3)).undecodable, []);
    assert_eq!(names(&catalog), [""; 0]);
    assert_eq!(catalog.undecodable().collect::<Vec<_>>(), [db_snapshot(5, 2)]);
    assert_eq!(catalog.undecodable_database("known as"), Some(db_snapshot(5, 2)));
    assert_eq!(catalog.undecodable_database("another"), None);
    assert_eq!(catalog.unchanged(DbId(5)), Err(db_snapshot(5, 2)));

    let repaired = catalog.event(&put(&db_snapshot(5, 2), database(5, "known as"), 4));
    assert_eq!(repaired.undecodable, []);
    assert_eq!(catalog.undecodable().count(), 0);
    assert_eq!(names(&catalog), ["known as"]);
}

#[test]
fn every_kind_of_garbage_is_noticed() {
    let mut catalog = Catalog::new(keys());
    for (key, value) in [
        ("by-dev/meta/snapshots/root-coord/database/db-info/5", database(5, "no ts")),
        ("by-dev/meta/snapshots/root-coord/database/db-info/x_ts5", database(5, "no id")),
        ("by-dev/meta/snapshots/root-coord/database/db-info/6_ts5", database(5, "of another key")),
        ("by-dev/meta/snapshots/root-coord/database/db-info/7_ts5", Vec::new()),
        ("by-dev/meta/root-coord/database/db-info/8", vec![0xff; 9]),
        ("by-dev/meta/snapshots/root-coord/database/collection-info/1/9_ts5", vec![0xff; 9]),
        ("by-dev/kv/milvus-coord/requests/create-database/1/2/3", b"{".to_vec()),
    ] {
        let what = if keys().parse(key).is_some() { "value" } else { "key" };
        let undecodable = Undecodable { what, at: Revision(5) };
        assert_eq!(catalog.event(&put(key, value, 5)).undecodable, [(key.to_owned(), undecodable)]);
    }
    assert_eq!(catalog.undecodable().count(), 7);
    assert_eq!(names(&catalog), [""; 0]);
}

#[test]
fn keys_of_others_are_ignored() {
    let mut catalog = Catalog::new(keys());
    for key in
        ["by-dev/meta/session/rootcoord", "by-dev/meta/root-coord/fields/5/1", "by-dev/kv/gid/timestamp"]
    {
        assert_eq!(catalog.event(&put(key, "whatever", 5)), News::default(), "{key}");
        let deleted = MirrorEvent::Deleted(key.to_owned(), Revision(6));
        assert_eq!(catalog.event(&deleted), News::default(), "{key}");
    }
}

#[test]
fn a_database_is_not_empty_while_a_created_collection_is_in_it() {
    let key = |db: i64, id: i64, ts: u64| {
        keys().snapshot(&Object::Collection(DbId(db), CollectionId(id)), Timestamp(ts))
    };
    let mut catalog = Catalog::new(keys());
    catalog.event(&put(&key(5, 1, 1), collection(CollectionState::CollectionCreated), 1));
    catalog.event(&put(&key(6, 2, 1), collection(CollectionState::CollectionCreated), 2));
    catalog.event(&put(&key(6, 2, 2), collection(CollectionState::CollectionDropping), 3));
    catalog.event(&put(&key(6, 3, 2), collection(CollectionState::CollectionCreating), 4));
    catalog.event(&put(&key(0, 4, 2), collection(CollectionState::CollectionCreated), 5));
    catalog.event(&put(&key(7, 5, 2), vec![0xff], 6));
    assert_eq!(catalog.holds_created(DbId(5)), Ok(true));
    assert_eq!(catalog.holds_created(DbId(6)), Ok(false));
    assert_eq!(catalog.holds_created(DEFAULT_DB), Ok(true), "what is in no database belongs there");
    assert_eq!(catalog.holds_created(DbId(7)), Err(key(7, 5, 2)));
    assert_eq!(catalog.created_collections(), 2);
}

#[test]
fn partitions_are_counted() {
    let key = |partition: i64, ts: u64| {
        keys().snapshot(&Object::Partition(CollectionId(1), PartitionId(partition)), Timestamp(ts))
    };
    let partition = |state: PartitionState| {
        PartitionInfo { state: state.into(), ..PartitionInfo::default() }.encode_to_vec()
    };
    let mut catalog = Catalog::new(keys());
    let parent = Object::Collection(DEFAULT_DB, CollectionId(1));
    let parent = |ts: u64| keys().snapshot(&parent, Timestamp(ts));
    catalog.event(&put(&parent(1), collection(CollectionState::CollectionCreated), 1));
    catalog.event(&put(&key(1, 1), partition(PartitionState::PartitionCreated), 1));
    catalog.event(&put(&key(2, 1), partition(PartitionState::PartitionCreated), 2));
    catalog.event(&put(&key(3, 1), partition(PartitionState::PartitionCreating), 3));
    catalog.event(&put(&key(2, 2), TOMBSTONE, 4));
    assert_eq!(catalog.created_partitions(), 1);
    catalog.event(&put(&parent(2), collection(CollectionState::CollectionDropping), 5));
    assert_eq!(catalog.created_partitions(), 0, "nobody sees them");
    catalog.event(&put(&parent(3), collection(CollectionState::CollectionCreated), 6));
    catalog.event(&MirrorEvent::Deleted(key(1, 1), Revision(7)));
    assert_eq!(catalog.created_partitions(), 0);
}

#[test]
fn an_own_write_counts_from_its_acknowledgement_and_no_late_event_undoes_it() {
    let mut catalog = Catalog::new(keys());
    catalog.event(&put(&db_snapshot(5, 1), database(5, "a"), 10));
    let ops = [Op::put(db_snapshot(5, 2), TOMBSTONE)];
    let write = catalog.writing(&ops);
    catalog.written(write, Revision(12));
    assert_eq!(names(&catalog), [""; 0]);
    assert!(catalog.event(&put(&db_snapshot(5, 2), database(5, "older"), 11)).foreign.is_some());
    assert_eq!(names(&catalog), [""; 0]);
    assert_eq!(catalog.event(&put(&db_snapshot(5, 2), TOMBSTONE, 12)).foreign, None);
}

#[test]
fn an_own_write_that_the_mirror_shows_first_is_not_foreign() {
    let mut catalog = Catalog::new(keys());
    catalog.writing(&[Op::put(db_snapshot(5, 2), database(5, "mine"))]);
    assert_eq!(catalog.event(&put(&db_snapshot(5, 2), database(5, "mine"), 12)).foreign, None);
    let theirs = catalog.event(&put(&db_snapshot(6, 2), database(6, "theirs"), 13)).foreign;
    assert_eq!(theirs, Some((db_snapshot(6, 2), Revision(13))));
}

#[test]
fn during_a_reload_the_old_state_answers_and_no_own_write_is_lost() {
    let mut catalog = Catalog::new(keys());
    for (id, name) in [(1, "default"), (2, "old")] {
        catalog.event(&put(&db_snapshot(id, 1), database(id, name), id));
    }
    let before = [Op::put(db_snapshot(3, 5), database(3, "before"))];
    own(&mut catalog, &before, Revision(20));
    catalog.event(&MirrorEvent::Reset);
    assert_eq!(names(&catalog), ["default", "old", "before"]);
    catalog.event(&MirrorEvent::Entry(kv(&db_snapshot(1, 1), database(1, "default"), 1)));
    let during = [Op::put(db_snapshot(4, 6), database(4, "during"))];
    own(&mut catalog, &during, Revision(21));
    assert_eq!(names(&catalog), ["default", "old", "before", "during"]);
    // The snapshot was taken before both writes, and after somebody removed "old".
    assert!(catalog.event(&MirrorEvent::Loaded(header(19))).loaded);
    assert_eq!(names(&catalog), ["default", "before", "during"]);
    catalog.event(&MirrorEvent::Reset);
    catalog.event(&MirrorEvent::Loaded(header(30)));
    assert_eq!(names(&catalog), [""; 0], "a later snapshot without them knows better");
}

#[test]
fn an_etcd_that_was_restored_is_believed() {
    let mut catalog = Catalog::new(keys());
    catalog.event(&put(&db_snapshot(1, 1), database(1, "default"), 900));
    let ops = [Op::put(db_snapshot(3, 5), database(3, "mine"))];
    own(&mut catalog, &ops, Revision(1_000));
    catalog.event(&MirrorEvent::Reset);
    catalog.event(&MirrorEvent::Entry(kv(&db_snapshot(1, 1), database(1, "default"), 5)));
    catalog.event(&MirrorEvent::Loaded(header(500)));
    assert_eq!(names(&catalog), ["default"]);
}

#[test]
fn requests_are_remembered_until_they_are_deleted() {
    let mut catalog = Catalog::new(keys());
    let id = |message| RequestId { what: Repeatable::CreateDatabase, source: 1, message, timestamp: 3 };
    for (message, ts) in [(1, 50u64), (2, 40), (3, 60)] {
        let value = serde_json::to_vec(&Remembered { name: format!("db{message}"), ts }).expect("JSON");
        catalog.event(&put(&keys().request(id(message)), value, 10 + message));
    }
    let remembered = Remembered { name: "db2".to_owned(), ts: 40 };
    assert_eq!(catalog.request(id(2)), Some((&remembered, Revision(12))));
    assert_eq!(catalog.oldest_request(), Some(Timestamp(40)));
    assert_eq!(catalog.requests_before(Timestamp(60)), [(id(2), Revision(12)), (id(1), Revision(11))]);
    assert_eq!(catalog.request_unchanged(id(2)), Guard::ModIs(keys().request(id(2)), Revision(12)));
    catalog.event(&MirrorEvent::Deleted(keys().request(id(2)), Revision(20)));
    assert_eq!(catalog.request(id(2)), None);
    assert_eq!(catalog.request_unchanged(id(2)), Guard::Absent(keys().request(id(2))));
}

#[test]
fn ten_thousand_collections_are_taken_in_while_nobody_waits() {
    let mut catalog = Catalog::new(keys());
    let value = collection(CollectionState::CollectionCreated);
    catalog.event(&MirrorEvent::Reset);
    for id in 0..10_000 {
        let key = keys().snapshot(&Object::Collection(DEFAULT_DB, CollectionId(id)), Timestamp(1));
        catalog.event(&MirrorEvent::Entry(kv(&key, value.clone(), 5)));
    }
    catalog.event(&MirrorEvent::Loaded(header(5)));
    assert_eq!(catalog.created_collections(), 10_000);
}

/// What the catalog must say, computed from nothing but the keys that exist.
fn naive(keys: &Keys, store: &[KeyValue]) -> (Vec<(i64, String)>, usize) {
    let mut newest: BTreeMap<Object, (Timestamp, &[u8])> = BTreeMap::new();
    for kv in store {
        if let Some(Key::Snapshot(object, ts)) = keys.parse(&kv.key) {
            let entry = newest.entry(object).or_insert((ts, &kv.value));
            if ts >= entry.0 {
                *entry = (ts, &kv.value);
            }
        }
    }
    let (mut databases, mut created) = (Vec::new(), 0);
    for (object, (_, value)) in newest {
        if value == TOMBSTONE {
            continue;
        }
        match object {
            Object::Database(id) => {
                if let Some(info) = DatabaseInfo::decode(value).ok().filter(|info| info.id == id.0) {
                    databases.push((info.id, info.name));
                }
            }
            Object::Partition(..) | Object::Field(..) | Object::Alias(..) => {}
            Object::Collection(..) => {
                if CollectionInfo::decode(value).is_ok_and(|info| info.state == 0) {
                    created += 1;
                }
            }
        }
    }
    (databases, created)
}

#[derive(Clone, Debug)]
enum Deed {
    Put(usize, usize),
    Delete(usize),
    Reload,
    Own(usize, usize),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        6 => (0usize..40, 0usize..6).prop_map(|(key, value)| Deed::Put(key, value)),
        2 => (0usize..40).prop_map(Deed::Delete),
        1 => Just(Deed::Reload),
        2 => (0usize..40, 0usize..6).prop_map(|(key, value)| Deed::Own(key, value)),
    ];
    proptest::collection::vec(deed, 1..120)
}

/// One of forty keys: five objects with histories of different lengths of ts, and plain keys.
fn key(number: usize) -> String {
    let object = match number % 5 {
        0 => Object::Database(DbId(1)),
        1 => Object::Database(DbId(2)),
        2 => Object::Collection(DbId(1), CollectionId(5)),
        3 => Object::Collection(DbId(2), CollectionId(5)),
        _ => Object::Collection(DbId(0), CollectionId(6)),
    };
    match number / 5 {
        0 => keys().plain(&object),
        step => keys().snapshot(&object, Timestamp([9, 10, 11, 99, 100, 101, 1_000][step - 1])),
    }
}

fn value(number: usize) -> Vec<u8> {
    match number {
        0 => TOMBSTONE.to_vec(),
        1 => database(1, "one"),
        2 => database(2, "two"),
        3 => collection(CollectionState::CollectionCreated),
        4 => collection(CollectionState::CollectionDropping),
        _ => b"\xff\xffgarbage".to_vec(),
    }
}

proptest! {
    #[test]
    fn the_catalog_says_what_the_keys_say(deeds in deeds()) {
        let store = MemoryStore::default();
        let mut catalog = Catalog::new(keys());
        for deed in deeds {
            match deed {
                Deed::Put(at, what) => _ = store.put(&key(at), value(what)),
                Deed::Delete(at) => _ = store.delete(&key(at)),
                Deed::Own(at, what) => {
                    let ops = [Op::put(key(at), value(what))];
                    let write = catalog.writing(&ops);
                    let revision = store.put(&key(at), value(what));
                    catalog.written(write, revision);
                }
                Deed::Reload => {
                    catalog.event(&MirrorEvent::Reset);
                    for kv in store.keys() {
                        catalog.event(&MirrorEvent::Entry(kv));
                    }
                    catalog.event(&MirrorEvent::Loaded(header(store.revision().0)));
                    store.take_events();
                }
            }
            for event in store.take_events() {
                let kept = |key: &String| keys().ranges().iter().any(|range| range.contains(key));
                let ours = match &event {
                    MirrorEvent::Put(kv) => kept(&kv.key),
                    MirrorEvent::Deleted(key, _) => kept(key),
                    _ => false,
                };
                let is_own = matches!(deed, Deed::Own(..));
                let foreign = catalog.event(&event).foreign.is_some();
                prop_assert_eq!(foreign, ours && !is_own);
            }
            let (databases, created) = naive(&keys(), &store.keys());
            let ours: Vec<_> = catalog.databases().map(|db| (db.id.0, db.name.clone())).collect();
            prop_assert_eq!(ours, databases);
            prop_assert_eq!(catalog.created_collections(), created);
            let plain = |key: &str| matches!(keys().parse(key), Some(Key::Plain(Object::Collection(..))));
            prop_assert!(!catalog.undecodable().any(plain));
            let garbage = store.keys().iter().filter(|kv| catalog.undecodable().any(|key| key == kv.key)).count();
            prop_assert_eq!(garbage, catalog.undecodable().count(), "no key is named that is gone");
        }
    }
}
