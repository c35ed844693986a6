//! One watch, as a cursor over the store's log.
//!
//! A watch that keeps up gets one answer per revision. One that starts in the past,
//! or was held up, first gets batches of up to a thousand revisions, whose header
//! carries the revision that the member had when it made them.

use etcd_client::proto::{PbEvent, PbKeyValue, PbResponseHeader, PbWatchResponse};
use prost::Message;

use super::{
    store::{Change, Span, Store},
    txn::MAX_REQUEST_BYTES,
};

/// Revisions that one answer to a watch that catches up may hold.
const BATCH_REVISIONS: usize = 1000;

/// From this size on an answer is cut, if it may be: etcd's request limit and what gRPC may add.
const FRAGMENT_BYTES: usize = MAX_REQUEST_BYTES + 512 * 1024;

const NO_PUT: i32 = 0;
const NO_DELETE: i32 = 1;

/// What a client asked for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Its number within the stream.
    pub id: i64,
    /// Which keys.
    pub span: Span,
    /// From which revision on, inclusive.
    pub from: i64,
    /// Etcd's numbers of the event types to leave out.
    pub filters: Vec<i32>,
    /// Whether events shall carry what was there before.
    pub prev_kv: bool,
    /// Whether answers may be cut into parts.
    pub fragment: bool,
}

/// A watch that has been told up to some revision.
#[derive(Clone, Debug)]
pub struct Watcher {
    wish: Wish,
    next: i64,
    keeps_up: bool,
}

/// What a member has to tell a watch.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// These answers, in order; headers hold the revision only.
    Events(Vec<PbWatchResponse>),
    /// What it waits for is compacted away: the watch ends with this answer.
    Compacted(PbWatchResponse),
}

impl Watcher {
    /// A watch created by a member that is at `current`.
    pub fn new(wish: Wish, current: i64) -> Self {
        let keeps_up = wish.from > current;
        Self { next: wish.from, keeps_up, wish }
    }

    /// Its number within the stream.
    pub fn id(&self) -> i64 {
        self.wish.id
    }

    /// Which keys.
    pub fn span(&self) -> &Span {
        &self.wish.span
    }

    /// Everything up to this revision has been told.
    pub fn told(&self) -> i64 {
        self.next - 1
    }

    /// The member could not deliver for a while: what is pending comes in batches.
    pub fn falls_behind(&mut self) {
        self.keeps_up = false;
    }

    /// What there is to tell by a member that has seen the store up to `current`.
    pub fn tell(&mut self, store: &Store, current: i64) -> Told {
        if !self.keeps_up && self.next < store.compacted() && self.next <= current {
            return Told::Compacted(PbWatchResponse {
                header: Some(PbResponseHeader::default()),
                watch_id: self.wish.id,
                canceled: true,
                compact_revision: store.compacted(),
                ..Default::default()
            });
        }
        if self.keeps_up { self.each(store, current) } else { self.batches(store, current) }
    }

    fn each(&mut self, store: &Store, current: i64) -> Told {
        let mut answers = Vec::new();
        while self.next <= current {
            let events = self.events(store, self.next);
            self.answer(&mut answers, self.next, events);
            self.next += 1;
        }
        Told::Events(answers)
    }

    fn batches(&mut self, store: &Store, current: i64) -> Told {
        let mut answers = Vec::new();
        let mut batch = Vec::new();
        let mut revisions = 0;
        for (revision, _) in store.log_from(self.next).take_while(|(revision, _)| *revision <= current) {
            let events = self.events(store, revision);
            if events.is_empty() {
                continue;
            }
            batch.extend(events);
            revisions += 1;
            if revisions == BATCH_REVISIONS {
                self.answer(&mut answers, current, std::mem::take(&mut batch));
                revisions = 0;
            }
        }
        self.answer(&mut answers, current, batch);
        self.next = self.next.max(current + 1);
        self.keeps_up = true;
        Told::Events(answers)
    }

    fn events(&self, store: &Store, revision: i64) -> Vec<PbEvent> {
        store
            .changes(revision)
            .iter()
            .filter(|change| self.wish.span.contains(&change.key))
            .filter_map(|change| self.event(store, revision, change))
            .collect()
    }

    fn event(&self, store: &Store, revision: i64, change: &Change) -> Option<PbEvent> {
        const PUT: i32 = 0;
        const DELETE: i32 = 1;
        let (r#type, filtered, kv) = match &change.now {
            Some(kv) => (PUT, NO_PUT, kv.clone()),
            None => {
                let kv = PbKeyValue { key: change.key.clone(), mod_revision: revision, ..Default::default() };
                (DELETE, NO_DELETE, kv)
            }
        };
        if self.wish.filters.contains(&filtered) {
            return None;
        }
        let before = change.before.clone().filter(|_| self.wish.prev_kv && revision > store.compacted());
        Some(PbEvent { r#type, kv: Some(kv), prev_kv: before })
    }

    fn answer(&self, answers: &mut Vec<PbWatchResponse>, revision: i64, events: Vec<PbEvent>) {
        if events.is_empty() {
            return;
        }
        let whole = PbWatchResponse {
            header: Some(PbResponseHeader { revision, ..Default::default() }),
            watch_id: self.wish.id,
            events,
            ..Default::default()
        };
        if self.wish.fragment {
            answers.extend(fragments(whole));
        } else {
            answers.push(whole);
        }
    }
}

/// Cuts an answer so that each part stays below etcd's limit, if its events allow that.
fn fragments(mut whole: PbWatchResponse) -> Vec<PbWatchResponse> {
    if whole.encoded_len() < FRAGMENT_BYTES || whole.events.len() < 2 {
        return vec![whole];
    }
    let events = std::mem::take(&mut whole.events);
    let mut parts = vec![PbWatchResponse { fragment: true, ..whole.clone() }];
    for event in events {
        let last = parts.len() - 1;
        parts[last].events.push(event);
        if parts[last].events.len() > 1 && parts[last].encoded_len() >= FRAGMENT_BYTES {
            let event = parts[last].events.pop();
            parts.push(PbWatchResponse {
                fragment: true,
                events: event.into_iter().collect(),
                ..whole.clone()
            });
        }
    }
    if let Some(last) = parts.last_mut() {
        last.fragment = false;
    }
    parts
}
