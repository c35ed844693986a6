//! What a set of keys with their values means. Older events than are known change nothing.

use std::collections::{BTreeMap, HashMap};

use milvus_proto::etcd::{CollectionInfo, CollectionState, DatabaseInfo, PartitionInfo, PartitionState};
use prost::Message as _;

use super::{Database, Remembered, Undecodable};
use crate::{
    etcd::txn::Op,
    ids::{CollectionId, DbId, PartitionId, Revision},
    rootcoord::{
        history::{Content, History, Version},
        keys::{Key, Keys, Object, RequestId, TOMBSTONE},
    },
};

#[derive(Debug, Default)]
pub(super) struct DatabaseEntry {
    pub(super) plain: Option<(Content<String>, Revision)>,
    pub(super) history: History<Database>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) databases: BTreeMap<DbId, DatabaseEntry>,
    pub(super) collections: HashMap<(DbId, CollectionId), History<CollectionState>>,
    pub(super) partitions: HashMap<(CollectionId, PartitionId), History<PartitionState>>,
    pub(super) requests: HashMap<RequestId, (Remembered, Revision)>,
    pub(super) undecodable: BTreeMap<String, Undecodable>,
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
        let parsed = keys.parse(key);
        let decoded = match parsed {
            Some(Key::TimestampWindow | Key::IdWindow) => return None,
            Some(Key::Plain(Object::Database(id))) => {
                let content =
                    content(value, |value| decode_database(id, value).map(|database| database.name));
                let decoded = content != Content::Undecodable;
                let entry = self.databases.entry(id).or_default();
                if entry.plain.as_ref().is_some_and(|(_, known)| *known >= at) {
                    return None;
                }
                entry.plain = Some((content, at));
                decoded
            }
            Some(Key::Snapshot(Object::Database(id), ts)) => {
                let content = content(value, |value| decode_database(id, value));
                let decoded = content != Content::Undecodable;
                if !self.databases.entry(id).or_default().history.put(Version { ts, content, at }) {
                    return None;
                }
                decoded
            }
            Some(Key::Snapshot(Object::Collection(db, collection), ts)) => {
                let content = content(value, decode_collection);
                let decoded = content != Content::Undecodable;
                let history = self.collections.entry((db, collection)).or_default();
                if !history.put(Version { ts, content, at }) {
                    return None;
                }
                decoded
            }
            Some(Key::Snapshot(Object::Partition(collection, partition), ts)) => {
                let content = content(value, decode_partition);
                let decoded = content != Content::Undecodable;
                let history = self.partitions.entry((collection, partition)).or_default();
                if !history.put(Version { ts, content, at }) {
                    return None;
                }
                decoded
            }
            Some(Key::Plain(Object::Collection(..) | Object::Partition(..))) => return None,
            Some(Key::Request(id)) => {
                if self.requests.get(&id).is_some_and(|(_, known)| *known >= at) {
                    return None;
                }
                match serde_json::from_slice(value) {
                    Ok(remembered) => {
                        self.requests.insert(id, (remembered, at));
                        true
                    }
                    Err(_) => false,
                }
            }
            None => false,
        };
        if decoded {
            self.undecodable.remove(key);
            return None;
        }
        let what = if parsed.is_some() { "value" } else { "key" };
        let undecodable = Undecodable { what, at };
        self.undecodable.insert(key.to_owned(), undecodable).is_none().then_some(undecodable)
    }

    pub(super) fn delete(&mut self, keys: &Keys, key: &str, at: Revision) {
        match keys.parse(key) {
            Some(Key::Plain(Object::Database(id))) => {
                if let Some(entry) = self.databases.get_mut(&id) {
                    entry.plain.take_if(|(_, known)| *known < at);
                    if entry.plain.is_none() && entry.history.is_empty() {
                        self.databases.remove(&id);
                    }
                }
            }
            Some(Key::Snapshot(Object::Database(id), ts)) => {
                if let Some(entry) = self.databases.get_mut(&id) {
                    entry.history.delete(ts, at);
                    if entry.plain.is_none() && entry.history.is_empty() {
                        self.databases.remove(&id);
                    }
                }
            }
            Some(Key::Snapshot(Object::Collection(db, collection), ts)) => {
                if let Some(history) = self.collections.get_mut(&(db, collection)) {
                    history.delete(ts, at);
                    if history.is_empty() {
                        self.collections.remove(&(db, collection));
                    }
                }
            }
            Some(Key::Request(id)) => {
                if self.requests.get(&id).is_some_and(|(_, known)| *known < at) {
                    self.requests.remove(&id);
                }
            }
            Some(Key::Snapshot(Object::Partition(collection, partition), ts)) => {
                if let Some(history) = self.partitions.get_mut(&(collection, partition)) {
                    history.delete(ts, at);
                    if history.is_empty() {
                        self.partitions.remove(&(collection, partition));
                    }
                }
            }
            Some(
                Key::Plain(Object::Collection(..) | Object::Partition(..))
                | Key::TimestampWindow
                | Key::IdWindow,
            )
            | None => {}
        }
        self.undecodable.remove(key);
    }
}

fn content<T>(value: &[u8], decode: impl FnOnce(&[u8]) -> Option<T>) -> Content<T> {
    if value == TOMBSTONE {
        return Content::Dropped;
    }
    decode(value).map_or(Content::Undecodable, Content::Is)
}

/// The id in the key counts. A value with another one is no value of this key.
fn decode_database(id: DbId, value: &[u8]) -> Option<Database> {
    let info = DatabaseInfo::decode(value).ok().filter(|info| info.id == id.0)?;
    Some(Database { id, name: info.name, created_time: info.created_time })
}

fn decode_collection(value: &[u8]) -> Option<CollectionState> {
    CollectionState::try_from(CollectionInfo::decode(value).ok()?.state).ok()
}

fn decode_partition(value: &[u8]) -> Option<PartitionState> {
    PartitionState::try_from(PartitionInfo::decode(value).ok()?.state).ok()
}
