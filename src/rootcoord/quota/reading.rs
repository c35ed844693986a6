//! How much may be searched and queried.

use std::collections::BTreeSet;

use super::{
    compute::{Draft, Note},
    metrics::QueryNode,
    rates::{Access, NO_LIMIT, Rate, Reason},
};
use crate::ids::CollectionId;

pub(super) fn limit(draft: &mut Draft<'_>, readable: &BTreeSet<CollectionId>) {
    if draft.limits.deny_reading {
        for &collection in readable {
            draft.deny(Access::Reading, Reason::ForceDeny, collection);
        }
        return;
    }
    let pressed = if results_flood(draft) { readable.clone() } else { in_long_queues(draft) };
    cool_off(draft, pressed);
}

/// What lies in querynodes where too much waits, or for too long.
fn in_long_queues(draft: &Draft<'_>) -> BTreeSet<CollectionId> {
    let limits = draft.limits.queue;
    let is_long = |node: &&QueryNode| {
        let latency = node.searches.latency.max(node.queries.latency);
        // Searches and queries wait in one line, whose length searches tell.
        limits.latency.is_some_and(|longest| latency >= longest)
            || limits.length.is_some_and(|most| node.searches.length >= most)
    };
    let nodes = draft.metrics.query_nodes.values().filter(is_long);
    nodes.flat_map(|node| &node.collections).copied().collect()
}

/// Whether proxies send out more than they may.
fn results_flood(draft: &Draft<'_>) -> bool {
    let results: f64 = draft.metrics.proxies.values().map(|proxy| proxy.results).sum();
    draft.limits.results.is_some_and(|most| results >= most)
}

/// Less than what goes through now, where there is a limit at all. Never more than the limit: what
/// is measured is of all collections together.
fn cool_off(draft: &mut Draft<'_>, collections: BTreeSet<CollectionId>) {
    let proxies = draft.metrics.proxies.values();
    let (searches, queries) =
        proxies.fold((0.0, 0.0), |(searches, queries), it| (searches + it.searches, queries + it.queries));
    let mut cooled = Vec::new();
    for collection in collections {
        let mut is_cooled = false;
        for (rate, measured) in [(Rate::Search, searches), (Rate::Query, queries)] {
            let bounds = draft.bounds(collection, rate);
            let slower = measured * draft.limits.cool_off;
            let value = draft.rates(collection).rates.entry(rate).or_insert(bounds.most);
            if *value != NO_LIMIT && measured > 0.0 {
                *value = value.min(slower);
                is_cooled = true;
            }
            *value = value.max(bounds.least);
        }
        if is_cooled {
            cooled.push(collection);
        }
    }
    if !cooled.is_empty() {
        draft.note(Note::CooledOff(cooled));
    }
}
