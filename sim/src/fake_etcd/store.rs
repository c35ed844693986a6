//! Etcd's key-value store: every version of every key, by revision.
//!
//! A revision is one transaction that changed something. Nothing is ever thrown
//! away: compaction only forbids to look, so that a member that lags behind can
//! still be asked for what it saw.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use etcd_client::proto::{
    PbDeleteRequest, PbDeleteResponse, PbKeyValue, PbPutRequest, PbPutResponse, PbRangeRequest,
    PbRangeResponse, PbResponseHeader,
};

use super::refusal::Refusal;

/// The keys that a request means: one, an interval, or all from a key on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    start: Vec<u8>,
    end: End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Single,
    Open,
    Before(Vec<u8>),
}

impl Span {
    /// As etcd encodes it: no end means one key, a single zero byte means no end.
    pub fn new(key: &[u8], range_end: &[u8]) -> Self {
        let end = match range_end {
            [] => End::Single,
            [0] => End::Open,
            end => End::Before(end.to_vec()),
        };
        Self { start: key.to_vec(), end }
    }

    /// Whether `key` is one of them.
    pub fn contains(&self, key: &[u8]) -> bool {
        match &self.end {
            End::Single => key == self.start,
            End::Open => key >= self.start.as_slice(),
            End::Before(end) => key >= self.start.as_slice() && key < end.as_slice(),
        }
    }

    /// An interval that ends where it begins, or before.
    pub fn is_backwards(&self) -> bool {
        matches!(&self.end, End::Before(end) if *end <= self.start)
    }

    fn of<'a, V>(&self, map: &'a BTreeMap<Vec<u8>, V>) -> impl Iterator<Item = &'a V> {
        let end = match &self.end {
            End::Single => Bound::Included(self.start.as_slice()),
            End::Open => Bound::Unbounded,
            // The empty interval, in a form that the map accepts.
            End::Before(_) if self.is_backwards() => Bound::Excluded(self.start.as_slice()),
            End::Before(end) => Bound::Excluded(end.as_slice()),
        };
        map.range::<[u8], _>((Bound::Included(self.start.as_slice()), end)).map(|(_, value)| value)
    }
}

/// What a transaction did to one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Which.
    pub key: Vec<u8>,
    /// What it holds since; `None`: deleted.
    pub now: Option<PbKeyValue>,
    /// What it held before; `None`: nothing.
    pub before: Option<PbKeyValue>,
}

#[derive(Clone, Debug)]
struct Version {
    revision: i64,
    kv: Option<PbKeyValue>,
}

/// The store of one cluster.
#[derive(Clone, Debug)]
pub struct Store {
    revision: i64,
    compacted: i64,
    keys: BTreeMap<Vec<u8>, Vec<Version>>,
    log: BTreeMap<i64, Vec<Change>>,
    /// The changes of the transaction that is being carried out; they get `revision + 1`.
    open: Vec<Change>,
}

impl Default for Store {
    fn default() -> Self {
        Self { revision: 1, compacted: -1, keys: BTreeMap::new(), log: BTreeMap::new(), open: Vec::new() }
    }
}

/// A header that says nothing but the revision, as etcd's own layers pass it on.
pub(super) fn header(revision: i64) -> Option<PbResponseHeader> {
    Some(PbResponseHeader { revision, ..Default::default() })
}

impl Store {
    /// The newest revision; 1 in an empty store.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Below this revision nothing can be read; -1 before the first compaction.
    pub fn compacted(&self) -> i64 {
        self.compacted
    }

    /// What the transaction of that revision changed, in its order.
    pub fn changes(&self, revision: i64) -> &[Change] {
        self.log.get(&revision).map_or(&[], Vec::as_slice)
    }

    /// Every revision from `first` on with its changes.
    pub fn log_from(&self, first: i64) -> impl Iterator<Item = (i64, &[Change])> {
        self.log.range(first..).map(|(revision, changes)| (*revision, changes.as_slice()))
    }

    /// The revision that a read inside the open transaction sees.
    pub(super) fn visible(&self) -> i64 {
        if self.open.is_empty() { self.revision } else { self.revision + 1 }
    }

    /// The key as of `revision`.
    pub fn get_at(&self, key: &[u8], revision: i64) -> Option<&PbKeyValue> {
        Self::version_at(self.keys.get(key)?, revision)
    }

    /// The key as of now.
    pub fn get(&self, key: &[u8]) -> Option<&PbKeyValue> {
        self.get_at(key, i64::MAX)
    }

    fn version_at(versions: &[Version], revision: i64) -> Option<&PbKeyValue> {
        versions.iter().rev().find(|version| version.revision <= revision)?.kv.as_ref()
    }

    /// Every key of `span` that existed as of `revision`, in key order.
    pub fn scan(&self, span: &Span, revision: i64) -> Vec<&PbKeyValue> {
        span.of(&self.keys).filter_map(|versions| Self::version_at(versions, revision)).collect()
    }

    /// A read by a member that has seen the store up to `current`.
    ///
    /// # Errors
    /// [`Refusal::Compacted`], [`Refusal::FutureRevision`].
    pub fn range(&self, request: &PbRangeRequest, current: i64) -> Result<PbRangeResponse, Refusal> {
        if request.revision > current {
            return Err(Refusal::FutureRevision);
        }
        let revision = if request.revision <= 0 { current } else { request.revision };
        if revision < self.compacted {
            return Err(Refusal::Compacted);
        }
        let found = self.scan(&Span::new(&request.key, &request.range_end), revision);
        let mut response = PbRangeResponse {
            header: header(current),
            count: i64::try_from(found.len()).unwrap_or(i64::MAX),
            ..Default::default()
        };
        if request.count_only {
            return Ok(response);
        }
        let within =
            |value: i64, min: i64, max: i64| (min == 0 || value >= min) && (max == 0 || value <= max);
        let mut kvs: Vec<&PbKeyValue> = found
            .into_iter()
            .filter(|kv| {
                within(kv.mod_revision, request.min_mod_revision, request.max_mod_revision)
                    && within(kv.create_revision, request.min_create_revision, request.max_create_revision)
            })
            .collect();
        sort(&mut kvs, request.sort_order, request.sort_target);
        if let Ok(limit @ 1..) = usize::try_from(request.limit)
            && kvs.len() > limit
        {
            kvs.truncate(limit);
            response.more = true;
        }
        response.kvs = kvs
            .into_iter()
            .map(|kv| {
                let mut kv = kv.clone();
                if request.keys_only {
                    kv.value.clear();
                }
                kv
            })
            .collect();
        Ok(response)
    }

    /// Puts one key in the open transaction. The caller has checked the request.
    pub(super) fn put(&mut self, request: &PbPutRequest) -> PbPutResponse {
        let before = self.get(&request.key).cloned();
        let revision = self.revision + 1;
        let (value, lease) = match &before {
            Some(old) => (
                if request.ignore_value { old.value.clone() } else { request.value.clone() },
                if request.ignore_lease { old.lease } else { request.lease },
            ),
            None => (request.value.clone(), request.lease),
        };
        let kv = PbKeyValue {
            key: request.key.clone(),
            value,
            lease,
            create_revision: before.as_ref().map_or(revision, |old| old.create_revision),
            mod_revision: revision,
            version: before.as_ref().map_or(1, |old| old.version + 1),
        };
        self.record(Change { key: request.key.clone(), now: Some(kv), before: before.clone() });
        PbPutResponse { header: header(revision), prev_kv: before.filter(|_| request.prev_kv) }
    }

    /// Deletes in the open transaction.
    pub(super) fn delete(&mut self, request: &PbDeleteRequest) -> PbDeleteResponse {
        let span = Span::new(&request.key, &request.range_end);
        let gone: Vec<PbKeyValue> = self.scan(&span, i64::MAX).into_iter().cloned().collect();
        for kv in &gone {
            self.record(Change { key: kv.key.clone(), now: None, before: Some(kv.clone()) });
        }
        PbDeleteResponse {
            header: header(self.visible()),
            deleted: i64::try_from(gone.len()).unwrap_or(i64::MAX),
            prev_kvs: if request.prev_kv { gone } else { Vec::new() },
        }
    }

    fn record(&mut self, change: Change) {
        self.keys
            .entry(change.key.clone())
            .or_default()
            .push(Version { revision: self.revision + 1, kv: change.now.clone() });
        self.open.push(change);
    }

    /// Ends the open transaction: if it changed anything, that is a new revision.
    pub(super) fn commit(&mut self) -> i64 {
        if !self.open.is_empty() {
            self.revision += 1;
            self.log.insert(self.revision, std::mem::take(&mut self.open));
        }
        self.revision
    }

    /// Forbids reads below `revision`.
    ///
    /// # Errors
    /// [`Refusal::Compacted`], [`Refusal::FutureRevision`].
    pub fn compact(&mut self, revision: i64) -> Result<(), Refusal> {
        if revision <= self.compacted {
            return Err(Refusal::Compacted);
        }
        if revision > self.revision {
            return Err(Refusal::FutureRevision);
        }
        self.compacted = revision;
        Ok(())
    }

    /// The keys that hold `lease` now.
    pub fn keys_of_lease(&self, lease: i64) -> BTreeSet<Vec<u8>> {
        self.scan(&Span::new(&[0], &[0]), i64::MAX)
            .into_iter()
            .filter(|kv| kv.lease == lease && lease != 0)
            .map(|kv| kv.key.clone())
            .collect()
    }
}

/// Etcd's numbers for sort orders and targets; unknown ones leave the order alone.
fn sort(kvs: &mut [&PbKeyValue], order: i32, target: i32) {
    const NONE: i32 = 0;
    const DESCEND: i32 = 2;
    const KEY: i32 = 0;
    if order == NONE && target == KEY {
        return;
    }
    kvs.sort_by(|a, b| match target {
        1 => a.version.cmp(&b.version),
        2 => a.create_revision.cmp(&b.create_revision),
        3 => a.mod_revision.cmp(&b.mod_revision),
        4 => a.value.cmp(&b.value),
        _ => a.key.cmp(&b.key),
    });
    if order == DESCEND {
        kvs.reverse();
    }
}
