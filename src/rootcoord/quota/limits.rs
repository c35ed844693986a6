//! What operators allow: for the whole cluster, and for a collection by its properties.

use std::{collections::BTreeMap, time::Duration};

use super::rates::{NO_LIMIT, Rate};

const MEGABYTE: f64 = 1024.0 * 1024.0;

/// A collection's property: how much data it may have.
const DISK_QUOTA: &str = "collection.diskProtection.diskQuota.mb";

/// Between these a rate is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Where it begins; [`NO_LIMIT`]: anywhere.
    pub most: f64,
    /// Whatever happens, it is not lowered further.
    pub least: f64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { most: NO_LIMIT, least: 0.0 }
    }
}

/// Parts of a node's memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Levels {
    /// Up to here all is well.
    pub low: f64,
    /// From here on there is no room.
    pub high: f64,
}

/// Memory of nodes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryLimits {
    /// Of a datanode.
    pub data_node: Levels,
    /// Of a querynode.
    pub query_node: Levels,
}

/// Segments that are still written, in a querynode's memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GrowingLimits {
    /// How much of it they are.
    pub levels: Levels,
    /// The part of the rate that stays in any case.
    pub least_part: f64,
}

/// How much data there may be, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiskQuotas {
    /// In all.
    pub total: f64,
    /// Of a collection that says nothing else.
    pub collection: f64,
}

/// What waits in a querynode.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QueueLimits {
    /// So many vectors.
    pub length: Option<i64>,
    /// So long on average.
    pub latency: Option<Duration>,
}

/// All that `quotaAndLimits` says. The default is what Milvus ships.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Of each collection, where its properties say nothing else. What is missing has no limit.
    pub bounds: BTreeMap<Rate, Bounds>,
    /// No writing at all.
    pub deny_writing: bool,
    /// No reading at all.
    pub deny_reading: bool,
    /// How far nodes may be behind; `None`: any time.
    pub longest_delay: Option<Duration>,
    /// `None`: nobody looks at it.
    pub memory: Option<MemoryLimits>,
    /// `None`: nobody looks at it.
    pub growing: Option<GrowingLimits>,
    /// `None`: nobody looks at it.
    pub disk: Option<DiskQuotas>,
    /// Of querynodes.
    pub queue: QueueLimits,
    /// Bytes per second that all proxies may send as results.
    pub results: Option<f64>,
    /// By what the measured rates of reading are multiplied when querynodes can't keep up.
    pub cool_off: f64,
}

impl Default for Limits {
    fn default() -> Self {
        let levels = Levels { low: 0.85, high: 0.95 };
        Self {
            bounds: BTreeMap::new(),
            deny_writing: false,
            deny_reading: false,
            longest_delay: None,
            memory: Some(MemoryLimits { data_node: levels, query_node: levels }),
            growing: None,
            disk: Some(DiskQuotas { total: NO_LIMIT, collection: NO_LIMIT }),
            queue: QueueLimits::default(),
            results: None,
            cool_off: 0.9,
        }
    }
}

impl Limits {
    /// For a collection whose properties say nothing.
    pub fn bounds(&self, rate: Rate) -> Bounds {
        self.bounds.get(&rate).copied().unwrap_or_default()
    }
}

/// So many megabytes in bytes. More than can be counted is no limit.
pub(crate) fn megabytes(number: f64) -> f64 {
    (number * MEGABYTE).min(NO_LIMIT)
}

/// What a collection's properties say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnLimits {
    most: BTreeMap<Rate, f64>,
    least: BTreeMap<Rate, f64>,
    /// How many bytes of data there may be.
    pub disk: Option<f64>,
    /// Properties that can't be read, with their values: the configuration counts instead.
    pub unreadable: Vec<(&'static str, String)>,
}

impl OwnLimits {
    /// Reads them. A negative number means what the configuration says.
    pub fn of(properties: &BTreeMap<String, String>) -> Self {
        let mut own = Self::default();
        let mut number = |key: &'static str| {
            let text = properties.get(key)?;
            match text.parse::<f64>() {
                Ok(number) if !number.is_nan() => Some(number).filter(|number| *number >= 0.0),
                _ => {
                    own.unreadable.push((key, text.clone()));
                    None
                }
            }
        };
        let (mut most, mut least) = (BTreeMap::new(), BTreeMap::new());
        for rate in Rate::ALL {
            let (most_key, least_key) = keys(rate);
            let in_units = |number: f64| match rate {
                Rate::Search | Rate::Query => number.min(NO_LIMIT),
                _ => megabytes(number),
            };
            most.extend(number(most_key).map(|number| (rate, in_units(number))));
            least.extend(least_key.and_then(&mut number).map(|number| (rate, in_units(number))));
        }
        let disk = number(DISK_QUOTA).map(megabytes);
        Self { most, least, disk, ..own }
    }

    /// Between which a rate is kept.
    pub fn bounds(&self, rate: Rate, limits: &Limits) -> Bounds {
        let Bounds { most, least } = limits.bounds(rate);
        Bounds {
            most: self.most.get(&rate).copied().unwrap_or(most),
            least: self.least.get(&rate).copied().unwrap_or(least),
        }
    }
}

/// The properties of the most and the least of a rate.
fn keys(rate: Rate) -> (&'static str, Option<&'static str>) {
    match rate {
        Rate::Insert => ("collection.insertRate.max.mb", Some("collection.insertRate.min.mb")),
        Rate::Upsert => ("collection.upsertRate.max.mb", Some("collection.upsertRate.min.mb")),
        Rate::Delete => ("collection.deleteRate.max.mb", Some("collection.deleteRate.min.mb")),
        // It is never lowered, only denied.
        Rate::BulkLoad => ("collection.bulkLoadRate.max.mb", None),
        Rate::Search => ("collection.searchRate.max.vps", Some("collection.searchRate.min.vps")),
        Rate::Query => ("collection.queryRate.max.qps", Some("collection.queryRate.min.qps")),
    }
}
