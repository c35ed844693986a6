//! What a set of keys with their values means. Older events than are known change nothing.

use std::collections::{BTreeMap, HashMap};

use super::{Database, Remembered, Undecodable, decode, decode::Stored, index::Index};
use crate::{
    etcd::txn::Op,
    ids::{CollectionId, DbId, FieldId, PartitionId, Revision},
    rootcoord::{
        history::{Content, History, Version},
        keys::{AliasHome, Key, Keys, Object, RequestId, TOMBSTONE},
        model::{Alias, Partition},
    },
    tso::hybrid::Timestamp,
};

#[derive(Debug, Default)]
pub(super) struct DatabaseEntry {
    pub(super) plain: Option<(Content<String>, Revision)>,
    pub(super) history: History<Database>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) databases: BTreeMap<DbId, DatabaseEntry>,
    pub(super) collections: BTreeMap<(DbId, CollectionId), History<Stored>>,
    pub(super) partitions: BTreeMap<(CollectionId, PartitionId), History<Partition>>,
    /// As encoded: a tenth of the size, and rarely looked at.
    pub(super) fields: BTreeMap<(CollectionId, FieldId), History<Box<[u8]>>>,
    pub(super) aliases: BTreeMap<(AliasHome, String), History<Alias>>,
    pub(super) requests: HashMap<RequestId, (Remembered, Revision)>,
    pub(super) undecodable: BTreeMap<String, Undecodable>,
    pub(super) index: Index,
}

/// What became of a put.
enum Taken {
    /// It is older than what is known, or of no interest.
    Known,
    /// It counts, and can be decoded or not.
    New { decoded: bool },
}

impl State {
    pub(super) fn apply(&mut self, keys: &Keys, ops: &[Op], at: Revision) {
        for op in ops {
            match op {
                Op::Put { key, value, .. } => _ = self.put(keys, key, value, at),
                Op::Delete { key } => self.delete(keys, key, at),
            }
        }
    }

    /// Returns what is wrong with it, if it wasn't so before.
    pub(super) fn put(&mut self, keys: &Keys, key: &str, value: &[u8], at: Revision) -> Option<Undecodable> {
        let (taken, what) = match keys.parse(key) {
            Some(Key::TimestampWindow | Key::IdWindow) => return None,
            Some(Key::Plain(Object::Database(id))) => (self.put_plain_database(id, value, at), "value"),
            // What an object is, its snapshots say.
            Some(Key::Plain(_)) => return None,
            Some(Key::Snapshot(object, ts)) => (self.put_snapshot(object, ts, value, at), "value"),
            Some(Key::Request(id)) => (self.put_request(id, value, at), "value"),
            None => (Taken::New { decoded: false }, "key"),
        };
        match taken {
            Taken::Known => None,
            Taken::New { decoded: true } => {
                self.undecodable.remove(key);
                None
            }
            Taken::New { decoded: false } => {
                let undecodable = Undecodable { what, at };
                self.undecodable.insert(key.to_owned(), undecodable).is_none().then_some(undecodable)
            }
        }
    }

    fn put_plain_database(&mut self, id: DbId, value: &[u8], at: Revision) -> Taken {
        let content = content(value, |value| decode::database(id, value).map(|database| database.name));
        let decoded = content != Content::Undecodable;
        let entry = self.databases.entry(id).or_default();
        if entry.plain.as_ref().is_some_and(|(_, known)| *known >= at) {
            return Taken::Known;
        }
        entry.plain = Some((content, at));
        Taken::New { decoded }
    }

    fn put_request(&mut self, id: RequestId, value: &[u8], at: Revision) -> Taken {
        if self.requests.get(&id).is_some_and(|(_, known)| *known >= at) {
            return Taken::Known;
        }
        match serde_json::from_slice(value) {
            Ok(remembered) => {
                self.requests.insert(id, (remembered, at));
                Taken::New { decoded: true }
            }
            Err(_) => Taken::New { decoded: false },
        }
    }

    fn put_snapshot(&mut self, object: Object, ts: Timestamp, value: &[u8], at: Revision) -> Taken {
        match object {
            Object::Database(id) => {
                let content = content(value, |value| decode::database(id, value));
                take(&mut self.databases.entry(id).or_default().history, ts, content, at)
            }
            Object::Collection(db, id) => {
                let content = content(value, |value| decode::collection(db, id, value));
                self.change_collection(db, id, |history| take(history, ts, content, at))
            }
            Object::Partition(collection, id) => {
                let content = content(value, |value| decode::partition(collection, id, value));
                self.change_partition(collection, id, |history| take(history, ts, content, at))
            }
            Object::Field(collection, id) => {
                let content = content(value, |value| decode::field(id, value).map(|_| value.into()));
                take(self.fields.entry((collection, id)).or_default(), ts, content, at)
            }
            Object::Alias(home, name) => {
                let content = content(value, |value| decode::alias(home, &name, value));
                self.change_alias(home, name, |history| take(history, ts, content, at))
            }
        }
    }

    pub(super) fn delete(&mut self, keys: &Keys, key: &str, at: Revision) {
        match keys.parse(key) {
            Some(Key::Plain(Object::Database(id))) => {
                if let Some(entry) = self.databases.get_mut(&id) {
                    entry.plain.take_if(|(_, known)| *known < at);
                    self.forget_database_if_empty(id);
                }
            }
            Some(Key::Snapshot(object, ts)) => self.delete_snapshot(object, ts, at),
            Some(Key::Request(id)) => {
                if self.requests.get(&id).is_some_and(|(_, known)| *known < at) {
                    self.requests.remove(&id);
                }
            }
            Some(Key::Plain(_) | Key::TimestampWindow | Key::IdWindow) | None => {}
        }
        self.undecodable.remove(key);
    }

    fn delete_snapshot(&mut self, object: Object, ts: Timestamp, at: Revision) {
        match object {
            Object::Database(id) => {
                if let Some(entry) = self.databases.get_mut(&id) {
                    entry.history.delete(ts, at);
                    self.forget_database_if_empty(id);
                }
            }
            Object::Collection(db, id) => {
                self.change_collection(db, id, |history| history.delete(ts, at));
                forget_if_empty(&mut self.collections, &(db, id));
            }
            Object::Partition(collection, id) => {
                self.change_partition(collection, id, |history| history.delete(ts, at));
                forget_if_empty(&mut self.partitions, &(collection, id));
            }
            Object::Field(collection, id) => delete_version(&mut self.fields, &(collection, id), ts, at),
            Object::Alias(home, name) => {
                self.change_alias(home, name.clone(), |history| history.delete(ts, at));
                forget_if_empty(&mut self.aliases, &(home, name));
            }
        }
    }

    fn forget_database_if_empty(&mut self, id: DbId) {
        if self.databases.get(&id).is_some_and(|entry| entry.plain.is_none() && entry.history.is_empty()) {
            self.databases.remove(&id);
        }
    }

    /// Changes what is known of a collection, and the ways to it.
    fn change_collection<T>(
        &mut self,
        db: DbId,
        id: CollectionId,
        change: impl FnOnce(&mut History<Stored>) -> T,
    ) -> T {
        let history = self.collections.entry((db, id)).or_default();
        change_indexed(history, &mut self.index, Index::remove, Index::add, change)
    }

    fn change_partition<T>(
        &mut self,
        collection: CollectionId,
        id: PartitionId,
        change: impl FnOnce(&mut History<Partition>) -> T,
    ) -> T {
        let history = self.partitions.entry((collection, id)).or_default();
        change_indexed(history, &mut self.index, Index::remove_partition, Index::add_partition, change)
    }

    fn change_alias<T>(
        &mut self,
        home: AliasHome,
        name: String,
        change: impl FnOnce(&mut History<Alias>) -> T,
    ) -> T {
        let history = self.aliases.entry((home, name)).or_default();
        let remove =
            |index: &mut Index, alias: &Alias| index.remove_alias(alias.collection, home, &alias.name);
        let add = |index: &mut Index, alias: &Alias| index.add_alias(alias.collection, home, &alias.name);
        change_indexed(history, &mut self.index, remove, add, change)
    }
}

/// Changes the history of an object, and the index with what is live of it before and after.
fn change_indexed<V, T>(
    history: &mut History<V>,
    index: &mut Index,
    remove: impl FnOnce(&mut Index, &V),
    add: impl FnOnce(&mut Index, &V),
    change: impl FnOnce(&mut History<V>) -> T,
) -> T {
    if let Some(value) = live(history) {
        remove(index, value);
    }
    let changed = change(history);
    if let Some(value) = live(history) {
        add(index, value);
    }
    changed
}

/// The value that an object has, if it is there and can be decoded.
pub(super) fn live<T>(history: &History<T>) -> Option<&T> {
    match &history.newest()?.content {
        Content::Is(value) => Some(value),
        Content::Dropped | Content::Undecodable => None,
    }
}

fn take<T>(history: &mut History<T>, ts: Timestamp, content: Content<T>, at: Revision) -> Taken {
    let decoded = !matches!(content, Content::Undecodable);
    if history.put(Version { ts, content, at }) { Taken::New { decoded } } else { Taken::Known }
}

fn delete_version<K: Ord, T>(histories: &mut BTreeMap<K, History<T>>, key: &K, ts: Timestamp, at: Revision) {
    if let Some(history) = histories.get_mut(key) {
        history.delete(ts, at);
    }
    forget_if_empty(histories, key);
}

fn forget_if_empty<K: Ord, T>(histories: &mut BTreeMap<K, History<T>>, key: &K) {
    if histories.get(key).is_some_and(History::is_empty) {
        histories.remove(key);
    }
}

fn content<T>(value: &[u8], decode: impl FnOnce(&[u8]) -> Option<T>) -> Content<T> {
    if value == TOMBSTONE {
        return Content::Dropped;
    }
    decode(value).map_or(Content::Undecodable, Content::Is)
}
