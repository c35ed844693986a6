//! What is kept of objects that are gone, and how it is removed.
//!
//! Milvus leaves a tombstone in place of whatever it drops, and every version beside it; once an
//! hour it deletes the groups that end in a tombstone. Here the same groups go, in
//! transactions that etcd takes however long a history is, and only while the plain key still
//! holds a tombstone: what was made again under it stays.

use std::time::Duration;

use super::{Catalog, state::State};
use crate::{
    etcd::{
        store::Write,
        txn::{Guard, Op},
    },
    rootcoord::{
        history::{Content, History},
        keys::{Object, TOMBSTONE},
    },
    tso::hybrid::Timestamp,
};

/// How long a tombstone stays: whoever reads the past by a time wants the recent one.
pub const KEPT: Duration = Duration::from_secs(3_600);

/// Etcd takes 128 operations; some room is left.
const MOST_OPS: usize = 120;

/// How much is removed by one look.
const MOST_WRITES: usize = 1_000;

impl Catalog {
    /// Transactions that remove what was dropped before `before`, not all of them at once. None
    /// depends on another one. To be asked again when they are written.
    pub fn garbage(&self, before: Timestamp) -> Vec<Write> {
        let State { databases, collections, partitions, fields, aliases, .. } = &self.state;
        let mut removal = Removal { catalog: self, before, writes: Vec::new() };
        for (id, entry) in databases {
            removal.add(&Object::Database(*id), &entry.history);
        }
        for ((db, id), history) in collections {
            removal.add(&Object::Collection(*db, *id), history);
        }
        for ((collection, id), history) in partitions {
            removal.add(&Object::Partition(*collection, *id), history);
        }
        for ((collection, id), history) in fields {
            removal.add(&Object::Field(*collection, *id), history);
        }
        for ((home, name), history) in aliases {
            removal.add(&Object::Alias(*home, name.clone()), history);
        }
        removal.writes
    }
}

struct Removal<'a> {
    catalog: &'a Catalog,
    before: Timestamp,
    writes: Vec<Write>,
}

impl Removal<'_> {
    fn add<T>(&mut self, object: &Object, history: &History<T>) {
        let Some(newest) = history.newest() else { return };
        if !matches!(newest.content, Content::Dropped) || newest.ts >= self.before {
            return;
        }
        if self.writes.len() >= MOST_WRITES {
            return;
        }
        let keys = &self.catalog.keys;
        let tombstone = keys.snapshot(object, newest.ts);
        let guards = vec![
            Guard::ModIs(tombstone.clone(), newest.at),
            Guard::ValueIs(keys.plain(object), TOMBSTONE.to_vec()),
        ];
        let older: Vec<Op> =
            history.iter().skip(1).map(|version| Op::delete(keys.snapshot(object, version.ts))).collect();
        // The tombstone goes with the last of them: until then it says that the rest is garbage.
        if older.len() + 2 > MOST_OPS {
            let ops = older.into_iter().take(MOST_OPS).collect();
            self.writes.push(Write { guards, ops });
            return;
        }
        let mut ops = older;
        ops.push(Op::delete(keys.plain(object)));
        ops.push(Op::delete(tombstone));
        self.writes.push(Write { guards, ops });
    }
}
