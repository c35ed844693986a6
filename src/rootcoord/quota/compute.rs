//! The decision: from figures and limits to what proxies are told.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    limits::{Bounds, Limits, OwnLimits},
    metrics::{Flow, Metrics},
    rates::{Access, CollectionRates, Rate, Rates, Reason},
    reading, writing,
};
use crate::{
    ids::{CollectionId, ServerId},
    tso::hybrid::Timestamp,
};

/// What kind of node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeRole {
    /// Holds what is searched.
    QueryNode,
    /// Takes what is written.
    DataNode,
}

/// What operators should hear of a decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// Nobody gets through.
    Denied(Access, Reason, Vec<CollectionId>),
    /// A collection has too much data.
    CollectionDisk {
        /// Which one.
        collection: CollectionId,
        /// Bytes.
        used: i64,
        /// Bytes.
        quota: f64,
    },
    /// There is too much data.
    TotalDisk {
        /// Bytes.
        used: i64,
        /// Bytes.
        quota: f64,
    },
    /// A node's memory fills.
    Memory {
        /// What it is.
        role: NodeRole,
        /// Which one.
        node: ServerId,
        /// What it has.
        collections: Vec<CollectionId>,
        /// The part that is used.
        level: f64,
        /// The mark that it has passed.
        mark: f64,
        /// Nothing more fits.
        full: bool,
    },
    /// What is still written fills a querynode.
    Growing {
        /// Which one.
        node: ServerId,
        /// What it has.
        collections: Vec<CollectionId>,
        /// The part of the memory.
        level: f64,
        /// By what rates are multiplied.
        part: f64,
    },
    /// Nodes are behind.
    Behind {
        /// With these.
        collections: Vec<CollectionId>,
        /// At most so far.
        delay: Duration,
        /// Too far.
        longest: Duration,
        /// It is too far already.
        denied: bool,
    },
    /// Querynodes can't keep up.
    CooledOff(Vec<CollectionId>),
    /// The configuration counts instead.
    BadProperty {
        /// Of which collection.
        collection: CollectionId,
        /// Its name.
        key: &'static str,
        /// What can't be read.
        value: String,
    },
}

/// What comes of a round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// What proxies are told.
    pub rates: Rates,
    /// By what the rates of writing were multiplied, where anything asked for it.
    pub factors: BTreeMap<CollectionId, f64>,
    /// How far each node is behind.
    pub delays: BTreeMap<(NodeRole, ServerId), Duration>,
    /// What operators should hear.
    pub notes: Vec<Note>,
}

/// The same, while it is being made.
pub(super) struct Draft<'a> {
    pub(super) metrics: &'a Metrics,
    pub(super) limits: &'a Limits,
    pub(super) own: &'a BTreeMap<CollectionId, OwnLimits>,
    pub(super) verdict: Verdict,
}

impl Draft<'_> {
    /// Between which a rate of a collection is kept.
    pub(super) fn bounds(&self, collection: CollectionId, rate: Rate) -> Bounds {
        match self.own.get(&collection) {
            Some(own) => own.bounds(rate, self.limits),
            None => self.limits.bounds(rate),
        }
    }

    pub(super) fn rates(&mut self, collection: CollectionId) -> &mut CollectionRates {
        self.verdict.rates.entry(collection).or_default()
    }

    pub(super) fn deny(&mut self, access: Access, reason: Reason, collection: CollectionId) {
        self.rates(collection).deny(access, reason);
    }

    pub(super) fn note(&mut self, note: Note) {
        self.verdict.notes.push(note);
    }

    fn begin(&mut self, collections: &BTreeSet<CollectionId>, rates: &[Rate]) {
        for &collection in collections {
            for &rate in rates {
                let most = self.bounds(collection, rate).most;
                self.rates(collection).rates.insert(rate, most);
            }
        }
    }

    fn note_denied(&mut self) {
        let mut denied: BTreeMap<(Access, Reason), Vec<CollectionId>> = BTreeMap::new();
        for (collection, rates) in &self.verdict.rates {
            for (access, reason) in &rates.denied {
                denied.entry((*access, *reason)).or_default().push(*collection);
            }
        }
        let notes = denied.into_iter().map(|((access, reason), all)| Note::Denied(access, reason, all));
        self.verdict.notes.extend(notes);
    }
}

impl Metrics {
    /// What datanodes have.
    pub fn writable(&self) -> BTreeSet<CollectionId> {
        self.data_nodes.values().flat_map(|node| &node.collections).copied().collect()
    }

    /// What querynodes have.
    pub fn readable(&self) -> BTreeSet<CollectionId> {
        self.query_nodes.values().flat_map(|node| &node.collections).copied().collect()
    }

    /// Whatever a limit may be about.
    pub fn collections(&self) -> BTreeSet<CollectionId> {
        let counted = self.disk.iter().flat_map(|disk| disk.collections.keys().copied());
        self.writable().into_iter().chain(self.readable()).chain(counted).collect()
    }

    /// How far each node has come.
    fn flows(&self) -> impl Iterator<Item = ((NodeRole, ServerId), &Flow)> {
        let query = self.query_nodes.iter().map(|(id, node)| ((NodeRole::QueryNode, *id), &node.flow));
        let data = self.data_nodes.iter().map(|(id, node)| ((NodeRole::DataNode, *id), &node.flow));
        query.chain(data).filter_map(|(node, flow)| Some((node, flow.as_ref()?)))
    }

    /// How far each node is behind at `now`.
    pub(super) fn delays(&self, now: Timestamp) -> BTreeMap<(NodeRole, ServerId), Duration> {
        let behind = |flow: &Flow| now.physical_millis().saturating_sub(flow.at.physical_millis());
        self.flows().map(|(node, flow)| (node, Duration::from_millis(behind(flow)))).collect()
    }
}

/// What proxies shall let through. `own` is what collections say of themselves.
///
/// Rates begin at the limits that are set. Writing is then slowed down by what is short, and denied
/// where nothing is left; reading is slowed down to less than what goes through, where querynodes
/// can't keep up. A rate that has no limit gets none by being slowed down.
pub fn compute(
    metrics: &Metrics,
    limits: &Limits,
    own: &BTreeMap<CollectionId, OwnLimits>,
    now: Timestamp,
) -> Verdict {
    let delays = metrics.delays(now);
    let mut draft = Draft { metrics, limits, own, verdict: Verdict { delays, ..Verdict::default() } };
    let (writable, readable) = (metrics.writable(), metrics.readable());
    draft.begin(&writable, &Rate::WRITES);
    draft.begin(&readable, &Rate::READS);
    writing::limit(&mut draft, &writable);
    reading::limit(&mut draft, &readable);
    for (&collection, own) in own {
        for (key, value) in &own.unreadable {
            draft.note(Note::BadProperty { collection, key, value: value.clone() });
        }
    }
    draft.note_denied();
    draft.verdict
}
