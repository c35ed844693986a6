//! Transactions over objects with a history: the plain key and the snapshot key together, with
//! equal values, upon the version that is known.

use super::{Catalog, decode::encode_collection, state::State};
use crate::{
    etcd::{
        store::Write,
        txn::{Guard, Op},
    },
    ids::Revision,
    rootcoord::{
        error::DdlError,
        history::{Content, History},
        keys::{Object, TOMBSTONE},
        model::Collection,
    },
    tso::hybrid::Timestamp,
};

/// Etcd takes 128 operations and as many compares, one of which is the fence's; an object takes
/// two of each.
const OBJECTS_AT_ONCE: usize = 60;

/// With room for keys, compares and what the transport adds; etcd's limit is 1.5 MiB.
const BYTES_AT_ONCE: usize = 1_000_000;

/// Changes of several objects at one time.
#[derive(Debug)]
pub struct Puts<'a> {
    catalog: &'a Catalog,
    ts: Timestamp,
    guards: Vec<Guard>,
    puts: Vec<Put>,
}

#[derive(Debug)]
struct Put {
    guards: Vec<Guard>,
    ops: [Op; 2],
    bytes: usize,
}

impl Catalog {
    /// Nothing yet.
    pub fn puts(&self, ts: Timestamp) -> Puts<'_> {
        Puts { catalog: self, ts, guards: Vec::new(), puts: Vec::new() }
    }

    /// The time of the newest version of an object, dropped or not.
    pub fn latest_of(&self, object: &Object) -> Option<Timestamp> {
        self.newest(object).map(|newest| newest.ts)
    }

    fn newest(&self, object: &Object) -> Option<Newest> {
        let State { databases, collections, partitions, fields, aliases, .. } = &self.state;
        match object {
            Object::Database(id) => newest(&databases.get(id)?.history),
            Object::Collection(db, id) => newest(collections.get(&(*db, *id))?),
            Object::Partition(collection, id) => newest(partitions.get(&(*collection, *id))?),
            Object::Field(collection, id) => newest(fields.get(&(*collection, *id))?),
            Object::Alias(home, name) => newest(aliases.get(&(*home, name.clone()))?),
        }
    }

    /// What must still be so when an object is changed.
    ///
    /// # Errors
    /// Its newest version can't be decoded.
    pub fn unchanged_object(&self, object: &Object) -> Result<Option<Guard>, DdlError> {
        let Some(newest) = self.newest(object) else { return Ok(None) };
        let key = self.keys.snapshot(object, newest.ts);
        if newest.undecodable {
            return Err(DdlError::Undecodable { key });
        }
        Ok(Some(Guard::ModIs(key, newest.at)))
    }
}

struct Newest {
    ts: Timestamp,
    at: Revision,
    undecodable: bool,
}

fn newest<T>(history: &History<T>) -> Option<Newest> {
    let newest = history.newest()?;
    let undecodable = matches!(newest.content, Content::Undecodable);
    Some(Newest { ts: newest.ts, at: newest.at, undecodable })
}

impl Puts<'_> {
    /// Something else that must hold for every transaction.
    #[must_use]
    pub fn upon(mut self, guard: Option<Guard>) -> Self {
        self.guards.extend(guard);
        self
    }

    /// An object gets a value.
    ///
    /// # Errors
    /// [`DdlError::Undecodable`], [`DdlError::Behind`], [`DdlError::TooLarge`]
    pub fn put(mut self, object: &Object, value: Vec<u8>) -> Result<Self, DdlError> {
        let keys = &self.catalog.keys;
        let plain = keys.plain(object);
        let snapshot = keys.snapshot(object, self.ts);
        let known = self.catalog.unchanged_object(object)?;
        match self.catalog.latest_of(object) {
            Some(stored) if stored > self.ts => {
                return Err(DdlError::Behind { key: plain, stored, task: self.ts });
            }
            _ => {}
        }
        let replaced = known.as_ref().is_some_and(|guard| guard.key() == snapshot);
        let absent = (!replaced).then(|| Guard::Absent(snapshot.clone()));
        let bytes = 2 * (value.len() + plain.len() + snapshot.len());
        if bytes > BYTES_AT_ONCE {
            return Err(DdlError::TooLarge { key: plain, bytes });
        }
        self.puts.push(Put {
            guards: known.into_iter().chain(absent).collect(),
            ops: [Op::put(plain, value.clone()), Op::put(snapshot, value)],
            bytes,
        });
        Ok(self)
    }

    /// A collection's own key gets a value.
    ///
    /// # Errors
    /// As [`put`](Self::put). [`DdlError::OldForm`] if that would lose what an old value holds.
    pub fn put_record(self, collection: &Collection) -> Result<Self, DdlError> {
        if self.catalog.inline_partitions(collection.id).is_some() {
            return Err(DdlError::OldForm(collection.id));
        }
        self.put(&Object::Collection(collection.db, collection.id), encode_collection(collection))
    }

    /// An object is dropped.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn bury(self, object: &Object) -> Result<Self, DdlError> {
        self.put(object, TOMBSTONE.to_vec())
    }

    /// In one transaction.
    pub fn at_once(self) -> Write {
        let mut write = Write { guards: self.guards, ops: Vec::new() };
        for put in self.puts {
            write.guards.extend(put.guards);
            write.ops.extend(put.ops);
        }
        write
    }

    /// In their order, in as few transactions as etcd takes.
    pub fn in_order(self) -> Vec<Write> {
        let mut writes: Vec<Write> = Vec::new();
        let (mut objects, mut bytes) = (0, 0);
        for put in self.puts {
            if writes.is_empty() || objects == OBJECTS_AT_ONCE || bytes + put.bytes > BYTES_AT_ONCE {
                writes.push(Write { guards: self.guards.clone(), ops: Vec::new() });
                (objects, bytes) = (0, 0);
            }
            objects += 1;
            bytes += put.bytes;
            let write = writes.last_mut().expect("there is one");
            write.guards.extend(put.guards);
            write.ops.extend(put.ops);
        }
        writes
    }
}
