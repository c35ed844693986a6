//! How much may be written.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    compute::{Draft, NodeRole, Note},
    limits::Levels,
    metrics::Memory,
    rates::{Access, NO_LIMIT, Rate, Reason},
};
use crate::ids::{CollectionId, ServerId};

/// What is slowed down; an import is only ever denied.
const SLOWED: [Rate; 3] = [Rate::Insert, Rate::Upsert, Rate::Delete];

/// Slower than this by delay is worth a line.
const WORTH_A_LINE: f64 = 0.9;

/// By what a collection's rates are multiplied, and what it means if nothing is left.
#[derive(Clone, Copy)]
struct Factor {
    part: f64,
    reason: Reason,
}

#[derive(Default)]
struct Factors(BTreeMap<CollectionId, Factor>);

impl Factors {
    /// The least counts; of equals the first.
    fn add(&mut self, collections: &[CollectionId], part: f64, reason: Reason) {
        for collection in collections {
            let factor = self.0.entry(*collection).or_insert(Factor { part, reason });
            if part < factor.part {
                *factor = Factor { part, reason };
            }
        }
    }
}

pub(super) fn limit(draft: &mut Draft<'_>, writable: &BTreeSet<CollectionId>) {
    if draft.limits.deny_writing {
        for &collection in writable {
            draft.deny(Access::Writing, Reason::ForceDeny, collection);
        }
        return;
    }
    disk(draft, writable);
    let mut factors = Factors::default();
    delays(draft, &mut factors);
    memory(draft, &mut factors);
    growing(draft, &mut factors);
    for (collection, factor) in factors.0 {
        slow_down(draft, collection, factor);
    }
}

/// A collection that has too much data, even one that no datanode has now; and all, if there is
/// too much of it in all.
fn disk(draft: &mut Draft<'_>, writable: &BTreeSet<CollectionId>) {
    let (Some(quotas), Some(disk)) = (draft.limits.disk, &draft.metrics.disk) else { return };
    for (&collection, &used) in &disk.collections {
        let own = draft.own.get(&collection).and_then(|own| own.disk);
        let quota = own.unwrap_or(quotas.collection);
        if used as f64 >= quota {
            draft.note(Note::CollectionDisk { collection, used, quota });
            draft.deny(Access::Writing, Reason::DiskQuotaExhausted, collection);
        }
    }
    if disk.total as f64 >= quotas.total {
        draft.note(Note::TotalDisk { used: disk.total, quota: quotas.total });
        for &collection in writable {
            draft.deny(Access::Writing, Reason::DiskQuotaExhausted, collection);
        }
    }
}

/// The further nodes are behind, the less.
fn delays(draft: &mut Draft<'_>, factors: &mut Factors) {
    let Some(longest) = draft.limits.longest_delay.filter(|longest| !longest.is_zero()) else { return };
    let mut worst: BTreeMap<CollectionId, Duration> = BTreeMap::new();
    for ((role, node), delay) in &draft.verdict.delays {
        for collection in collections(draft, *role, *node) {
            let delay_of = worst.entry(*collection).or_default();
            *delay_of = (*delay_of).max(*delay);
        }
    }
    let mut behind: BTreeMap<bool, (Vec<CollectionId>, Duration)> = BTreeMap::new();
    for (collection, delay) in worst {
        let part = longest.saturating_sub(delay).div_duration_f64(longest);
        factors.add(&[collection], part, Reason::TimeTickLongDelay);
        if part <= WORTH_A_LINE {
            let (collections, most) = behind.entry(part <= 0.0).or_default();
            collections.push(collection);
            *most = (*most).max(delay);
        }
    }
    for (denied, (collections, delay)) in behind {
        draft.note(Note::Behind { collections, delay, longest, denied });
    }
}

fn collections<'a>(draft: &Draft<'a>, role: NodeRole, node: ServerId) -> &'a [CollectionId] {
    let metrics = draft.metrics;
    let collections = match role {
        NodeRole::QueryNode => metrics.query_nodes.get(&node).map(|node| &node.collections),
        NodeRole::DataNode => metrics.data_nodes.get(&node).map(|node| &node.collections),
    };
    collections.map_or(&[], Vec::as_slice)
}

/// The fuller a node's memory, the less.
fn memory(draft: &mut Draft<'_>, factors: &mut Factors) {
    let Some(limits) = draft.limits.memory else { return };
    let metrics = draft.metrics;
    let query = metrics.query_nodes.iter();
    let query = query.map(|(id, node)| (NodeRole::QueryNode, *id, node.memory, limits.query_node));
    let data = metrics.data_nodes.iter();
    let data = data.map(|(id, node)| (NodeRole::DataNode, *id, node.memory, limits.data_node));
    let nodes: Vec<(NodeRole, ServerId, Memory, Levels)> = query.chain(data).collect();
    for (role, node, memory, Levels { low, high }) in nodes {
        let Some(level) = memory.part(memory.used).filter(|level| *level > low) else { continue };
        let collections = collections(draft, role, node);
        let full = level >= high;
        let part = if full { 0.0 } else { (high - level) / (high - low) };
        factors.add(collections, part, Reason::MemoryQuotaExhausted);
        let (collections, mark) = (collections.to_vec(), if full { high } else { low });
        draft.note(Note::Memory { role, node, collections, level, mark, full });
    }
}

/// The more of a querynode's memory is still written, the less; but something stays.
fn growing(draft: &mut Draft<'_>, factors: &mut Factors) {
    let Some(limits) = draft.limits.growing else { return };
    let Levels { low, high } = limits.levels;
    for (&node, figures) in &draft.metrics.query_nodes {
        let level = figures.memory.part(figures.growing).filter(|level| *level > low);
        let Some(level) = level else { continue };
        let part = if level >= high { 0.0 } else { (high - level) / (high - low) };
        let part = part.max(limits.least_part);
        factors.add(&figures.collections, part, Reason::MemoryQuotaExhausted);
        draft.note(Note::Growing { node, collections: figures.collections.clone(), level, part });
    }
}

/// What only querynodes have gets limits of writing here, too: somebody may write it soon.
fn slow_down(draft: &mut Draft<'_>, collection: CollectionId, Factor { part, reason }: Factor) {
    draft.verdict.factors.insert(collection, part);
    if part <= 0.0 {
        draft.deny(Access::Writing, reason, collection);
    }
    for rate in SLOWED {
        let bounds = draft.bounds(collection, rate);
        let value = draft.rates(collection).rates.entry(rate).or_insert(bounds.most);
        if *value != NO_LIMIT {
            *value *= part;
        }
        *value = value.max(bounds.least);
    }
}
