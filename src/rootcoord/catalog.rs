//! All metadata in memory, as the mirror shows it and as the own writes have made it.
//!
//! What an object is, its newest snapshot says, as in Milvus's own load; plain keys
//! are remembered for the compare of the next write. Every key carries its mod
//! revision: an event that is older than what is known changes nothing, so own
//! writes count from their acknowledgement, not from when the mirror hears of them.
//!
//! While a snapshot of the mirror is being loaded, the old state goes on being the
//! answer; the new one takes its place when it is complete, with all own writes
//! that it is too old to contain.

mod decode;
mod find;
mod garbage;
mod index;
mod past;
mod put;
mod state;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

pub(in crate::rootcoord) use self::decode::{
    FIRST_USER_FIELD, encode_alias, encode_collection, encode_database, encode_field, encode_partition,
};
use self::state::State;
pub use self::{garbage::KEPT, past::Past, put::Puts};
use crate::{
    etcd::{
        mirror::{KeyRange, MirrorEvent},
        txn::{Guard, Op},
    },
    ids::{DbId, Revision},
    rootcoord::{
        history::Content,
        keys::{Key, Keys, Object, RequestId},
    },
    tso::hybrid::Timestamp,
};

/// Which own write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteId(u64);

/// A database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// Its id.
    pub id: DbId,
    /// Its name.
    pub name: String,
    /// Unix nanoseconds of its creation.
    pub created_time: u64,
}

/// A request that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The database that was created.
    pub name: String,
    /// The task's timestamp.
    pub ts: u64,
}

/// Something that can't be decoded: skipped, and never replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {what} has an unknown form")]
pub struct Undecodable {
    /// The key, or its value.
    pub what: &'static str,
    /// Since when it is there.
    pub at: Revision,
}

/// What an event brought that somebody should hear of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// What can't be decoded, since this event.
    pub undecodable: Vec<(String, Undecodable)>,
    /// A key of the catalog that was changed by somebody else.
    pub foreign: Option<(String, Revision)>,
    /// A snapshot has been taken over.
    pub loaded: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Catalog {
    keys: Keys,
    /// Events of other keys are none of its business.
    ranges: Vec<KeyRange>,
    state: State,
    loading: Option<State>,
    /// Own writes that the mirror has not come up to.
    ahead: VecDeque<(Revision, Vec<Op>)>,
    /// The own writes that are on the wire.
    pending: Vec<(WriteId, Vec<Op>)>,
    last_write: WriteId,
    /// How far the mirror has come.
    mirrored: Revision,
}

impl Catalog {
    /// Empty.
    pub fn new(keys: Keys) -> Self {
        Self {
            ranges: keys.ranges(),
            keys,
            state: State::default(),
            loading: None,
            ahead: VecDeque::new(),
            pending: Vec::new(),
            last_write: WriteId(0),
            mirrored: Revision(0),
        }
    }

    /// The names of all keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Takes one event of the mirror.
    pub fn event(&mut self, event: &MirrorEvent) -> News {
        let mut news = News::default();
        let own_range = |key: &str| self.ranges.iter().any(|range| range.contains(key));
        match event {
            MirrorEvent::Entry(kv) | MirrorEvent::Put(kv) if !own_range(&kv.key) => {}
            MirrorEvent::Deleted(key, _) if !own_range(key) => {}
            MirrorEvent::Reset => self.loading = Some(State::default()),
            MirrorEvent::Entry(kv) => {
                if let Some(loading) = &mut self.loading {
                    loading.put(&self.keys, &kv.key, &kv.value, kv.mod_revision);
                }
            }
            MirrorEvent::Loaded(header) => {
                if let Some(mut loaded) = self.loading.take() {
                    if header.revision < self.mirrored {
                        // Etcd was restored: own writes may be gone.
                        self.ahead.clear();
                    }
                    self.mirrored = header.revision;
                    self.ahead.retain(|(at, _)| *at > header.revision);
                    for (at, ops) in &self.ahead {
                        loaded.apply(&self.keys, ops, *at);
                    }
                    let is_new = |key: &String| !self.state.undecodable.contains_key(key);
                    news.undecodable = loaded
                        .undecodable
                        .iter()
                        .filter(|(key, _)| is_new(key))
                        .map(|(key, undecodable)| (key.clone(), *undecodable))
                        .collect();
                    news.loaded = true;
                    self.state = loaded;
                }
            }
            MirrorEvent::Put(kv) => {
                let own = self.is_own(kv.mod_revision, |op| match op {
                    Op::Put { key, value, .. } => *key == kv.key && *value == kv.value,
                    Op::Delete { .. } => false,
                });
                let put = |state: &mut State| state.put(&self.keys, &kv.key, &kv.value, kv.mod_revision);
                if let Some(undecodable) = put(&mut self.state) {
                    news.undecodable.push((kv.key.clone(), undecodable));
                }
                self.loading.as_mut().map(put);
                if !own && self.keys.parse(&kv.key).is_some_and(is_catalog) {
                    news.foreign = Some((kv.key.clone(), kv.mod_revision));
                }
                self.caught_up_before(kv.mod_revision);
            }
            MirrorEvent::Deleted(key, at) => {
                let own = self.is_own(*at, |op| matches!(op, Op::Delete { key: own } if own == key));
                self.state.delete(&self.keys, key, *at);
                if let Some(loading) = &mut self.loading {
                    loading.delete(&self.keys, key, *at);
                }
                if !own && self.keys.parse(key).is_some_and(is_catalog) {
                    news.foreign = Some((key.clone(), *at));
                }
                self.caught_up_before(*at);
            }
            MirrorEvent::UpTo(at) => {
                self.mirrored = self.mirrored.max(*at);
                self.ahead.retain(|(own, _)| own > at);
            }
        }
        news
    }

    fn is_own(&self, at: Revision, is: impl Fn(&Op) -> bool) -> bool {
        self.ahead.iter().any(|(own, _)| *own == at) || self.pending.iter().flat_map(|(_, ops)| ops).any(is)
    }

    /// Events of one revision come one by one, so only earlier ones are complete.
    fn caught_up_before(&mut self, at: Revision) {
        self.mirrored = self.mirrored.max(at);
        self.ahead.retain(|(own, _)| *own >= at);
    }

    /// These changes are about to be written, in one transaction.
    pub fn writing(&mut self, ops: &[Op]) -> WriteId {
        self.last_write.0 += 1;
        self.pending.push((self.last_write, ops.to_vec()));
        self.last_write
    }

    /// They are in etcd.
    pub fn written(&mut self, id: WriteId, at: Revision) {
        let Some(ops) = self.take_pending(id) else { return };
        self.state.apply(&self.keys, &ops, at);
        if let Some(loading) = &mut self.loading {
            loading.apply(&self.keys, &ops, at);
        }
        if at >= self.mirrored {
            self.ahead.push_back((at, ops));
        }
    }

    /// They are not, and won't be, in etcd.
    pub fn not_written(&mut self, id: WriteId) {
        self.take_pending(id);
    }

    fn take_pending(&mut self, id: WriteId) -> Option<Vec<Op>> {
        let place = self.pending.iter().position(|(pending, _)| *pending == id)?;
        Some(self.pending.swap_remove(place).1)
    }

    /// The term is over: from here on the mirror alone counts.
    pub fn end_term(&mut self) {
        self.pending.clear();
        self.ahead.clear();
    }

    /// All databases, by id.
    pub fn databases(&self) -> impl Iterator<Item = &Database> {
        self.state.databases.values().filter_map(|entry| match &entry.history.newest()?.content {
            Content::Is(database) => Some(database),
            Content::Dropped | Content::Undecodable => None,
        })
    }

    /// The database of that name. Of several the one with the largest id counts, as in Milvus.
    pub fn database(&self, name: &str) -> Option<&Database> {
        self.databases().filter(|database| database.name == name).last()
    }

    /// The key that stands in the way of knowing whether a database of that name exists.
    pub fn undecodable_database(&self, name: &str) -> Option<String> {
        self.unknown_databases().find(|(_, known_as)| known_as.as_deref() == Some(name)).map(|(key, _)| key)
    }

    /// The key of a database of which not even the name is known.
    pub fn nameless_database(&self) -> Option<String> {
        self.unknown_databases().find(|(_, known_as)| known_as.is_none()).map(|(key, _)| key)
    }

    /// Databases whose newest version can't be decoded: its key, and the name by any other version.
    fn unknown_databases(&self) -> impl Iterator<Item = (String, Option<String>)> {
        self.state.databases.iter().filter_map(|(id, entry)| {
            let newest = entry.history.newest()?;
            if newest.content != Content::Undecodable {
                return None;
            }
            let by_history = entry.history.iter().find_map(|version| match &version.content {
                Content::Is(database) => Some(database.name.clone()),
                Content::Dropped | Content::Undecodable => None,
            });
            let by_plain = match &entry.plain {
                Some((Content::Is(name), _)) => Some(name.clone()),
                _ => None,
            };
            Some((self.keys.snapshot(&Object::Database(*id), newest.ts), by_plain.or(by_history)))
        })
    }

    /// The time of the newest version of a database, dropped or not.
    pub fn latest(&self, database: DbId) -> Option<Timestamp> {
        Some(self.state.databases.get(&database)?.history.newest()?.ts)
    }

    /// What must still hold when a database is changed.
    ///
    /// # Errors
    /// The key of a value that can't be decoded: it must not be replaced.
    pub fn unchanged(&self, database: DbId) -> Result<Vec<Guard>, String> {
        let object = Object::Database(database);
        let plain = self.keys.plain(&object);
        let Some(entry) = self.state.databases.get(&database) else { return Ok(vec![Guard::Absent(plain)]) };
        let mut guards = vec![match &entry.plain {
            Some((Content::Undecodable, _)) => return Err(plain),
            Some((_, at)) => Guard::ModIs(plain, *at),
            None => Guard::Absent(plain),
        }];
        if let Some(newest) = entry.history.newest() {
            let key = self.keys.snapshot(&object, newest.ts);
            if newest.content == Content::Undecodable {
                return Err(key);
            }
            guards.push(Guard::ModIs(key, newest.at));
        }
        Ok(guards)
    }

    /// A request that was carried out lately, and at which revision.
    pub fn request(&self, id: RequestId) -> Option<(&Remembered, Revision)> {
        self.state.requests.get(&id).map(|(remembered, at)| (remembered, *at))
    }

    /// The guard for remembering a request.
    pub fn request_unchanged(&self, id: RequestId) -> Guard {
        let key = self.keys.request(id);
        match self.state.requests.get(&id) {
            Some((_, at)) => Guard::ModIs(key, *at),
            None => Guard::Absent(key),
        }
    }

    /// Requests that were carried out before `ts`, oldest first.
    pub fn requests_before(&self, ts: Timestamp) -> Vec<(RequestId, Revision)> {
        let mut old: Vec<_> = self
            .state
            .requests
            .iter()
            .filter(|(_, (remembered, _))| remembered.ts < ts.0)
            .map(|(id, (remembered, at))| (remembered.ts, *id, *at))
            .collect();
        old.sort_unstable();
        old.into_iter().map(|(_, id, at)| (id, at)).collect()
    }

    /// When the oldest remembered request was carried out.
    pub fn oldest_request(&self) -> Option<Timestamp> {
        self.state.requests.values().map(|(remembered, _)| Timestamp(remembered.ts)).min()
    }

    /// The keys that can't be decoded.
    pub fn undecodable(&self) -> impl Iterator<Item = &str> {
        self.state.undecodable.keys().map(String::as_str)
    }
}

/// Whether the catalog, not a window, is kept there.
fn is_catalog(key: Key) -> bool {
    match key {
        Key::Plain(_) | Key::Snapshot(..) | Key::Request(_) => true,
        Key::TimestampWindow | Key::IdWindow => false,
    }
}

#[cfg(test)]
mod tests;
