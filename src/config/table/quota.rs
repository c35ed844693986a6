//! Keys of the quota center, which proxies read too.

use super::{
    super::kind::{Kind, Unit},
    Item, item,
};

const fn flag(key: &'static str, default: &'static str, doc: &'static str) -> Item {
    item(key, default, Kind::Flag, doc).live()
}

/// Negative where nothing is meant.
const fn number(key: &'static str, default: &'static str, doc: &'static str) -> Item {
    item(key, default, Kind::Decimal, doc).empty_is_default().live()
}

const fn share(key: &'static str, default: &'static str, doc: &'static str) -> Item {
    item(key, default, Kind::Share, doc).empty_is_default().live()
}

macro_rules! rate {
    ($prefix:literal, $unit:literal, $what:literal) => {
        [
            number(
                concat!("quotaAndLimits.", $prefix, ".max"),
                "-1",
                concat!(
                    "How much of ",
                    $what,
                    " in all, which proxies see to. ",
                    $unit,
                    "; negative: no limit."
                ),
            ),
            number(
                concat!("quotaAndLimits.", $prefix, ".collection.max"),
                "-1",
                concat!(
                    "How much of ",
                    $what,
                    " in each collection that says nothing else. ",
                    $unit,
                    "; negative: as much as in all."
                ),
            ),
            number(
                concat!("quotaAndLimits.", $prefix, ".collection.min"),
                "0",
                concat!("So much in any case, whatever is short. ", $unit, "."),
            ),
        ]
    };
}

const INSERT: [Item; 3] = rate!("dml.insertRate", "MB per second", "inserts");
const UPSERT: [Item; 3] = rate!("dml.upsertRate", "MB per second", "upserts");
const DELETE: [Item; 3] = rate!("dml.deleteRate", "MB per second", "deletions");
const BULK_LOAD: [Item; 3] = rate!("dml.bulkLoadRate", "MB per second", "imports");
const SEARCH: [Item; 3] = rate!("dql.searchRate", "Vectors per second", "searches");
const QUERY: [Item; 3] = rate!("dql.queryRate", "Queries per second", "queries");

/// What rootcoord reads of them.
pub(super) static QUOTA: &[Item] = &[
    item(
        "quotaAndLimits.enabled",
        "true",
        Kind::Flag,
        "Whether rootcoord tells proxies how much they may let through for each collection.",
    ),
    item(
        "quotaAndLimits.quotaCenterCollectInterval",
        "3",
        Kind::Time { unit: Unit::Seconds, least: 1, most: 65_535 },
        "How often it does.",
    )
    .empty_is_default(),
    flag(
        "quotaAndLimits.dml.enabled",
        "false",
        "Whether the limits of writing count that stand here. Those in the properties of a collection do in any case.",
    ),
    INSERT[0],
    INSERT[1],
    INSERT[2],
    UPSERT[0],
    UPSERT[1],
    UPSERT[2],
    DELETE[0],
    DELETE[1],
    DELETE[2],
    BULK_LOAD[0],
    BULK_LOAD[1],
    flag(
        "quotaAndLimits.dql.enabled",
        "false",
        "Whether the limits of reading count that stand here. Those in the properties of a collection do in any case.",
    ),
    SEARCH[0],
    SEARCH[1],
    SEARCH[2],
    QUERY[0],
    QUERY[1],
    QUERY[2],
    flag("quotaAndLimits.limitWriting.forceDeny", "false", "Whether nobody may write."),
    flag(
        "quotaAndLimits.limitWriting.ttProtection.enabled",
        "false",
        "Whether writing is slowed down, and denied at last, when nodes are behind.",
    ),
    number(
        "quotaAndLimits.limitWriting.ttProtection.maxTimeTickDelay",
        "300",
        "By how many seconds nodes may be behind; 300 if that is not more than 0 and less than 65536.",
    ),
    flag(
        "quotaAndLimits.limitWriting.memProtection.enabled",
        "true",
        "Whether writing is slowed down when a node's memory is filled to its low mark, and denied at the high one.",
    ),
    share(
        "quotaAndLimits.limitWriting.memProtection.dataNodeMemoryLowWaterLevel",
        "0.85",
        "The low mark of datanodes.",
    ),
    share(
        "quotaAndLimits.limitWriting.memProtection.dataNodeMemoryHighWaterLevel",
        "0.95",
        "The high mark of datanodes; 0.95 if that is less than the low one.",
    ),
    share(
        "quotaAndLimits.limitWriting.memProtection.queryNodeMemoryLowWaterLevel",
        "0.85",
        "The low mark of querynodes.",
    ),
    share(
        "quotaAndLimits.limitWriting.memProtection.queryNodeMemoryHighWaterLevel",
        "0.95",
        "The high mark of querynodes; 0.95 if that is less than the low one.",
    ),
    flag(
        "quotaAndLimits.limitWriting.growingSegmentsSizeProtection.enabled",
        "false",
        "Whether writing is slowed down when segments that are still written fill the memory of querynodes.",
    ),
    share(
        "quotaAndLimits.limitWriting.growingSegmentsSizeProtection.minRateRatio",
        "0.5",
        "The part of the rate that is left at least.",
    ),
    share(
        "quotaAndLimits.limitWriting.growingSegmentsSizeProtection.lowWaterLevel",
        "0.2",
        "The part of the memory that they may fill.",
    ),
    share(
        "quotaAndLimits.limitWriting.growingSegmentsSizeProtection.highWaterLevel",
        "0.4",
        "The part at which the least is left; 0.4 if that is less than lowWaterLevel.",
    ),
    flag(
        "quotaAndLimits.limitWriting.diskProtection.enabled",
        "true",
        "Whether writing is denied when there is too much data in object storage.",
    ),
    number(
        "quotaAndLimits.limitWriting.diskProtection.diskQuota",
        "-1",
        "How much there may be in all. MB; not more than 0: no limit.",
    ),
    number(
        "quotaAndLimits.limitWriting.diskProtection.diskQuotaPerCollection",
        "-1",
        "How much in each collection that says nothing else. MB; not more than 0: as much as in all.",
    ),
    flag("quotaAndLimits.limitReading.forceDeny", "false", "Whether nobody may search or query."),
    flag(
        "quotaAndLimits.limitReading.queueProtection.enabled",
        "false",
        "Whether reading is slowed down when much waits in querynodes.",
    ),
    item(
        "quotaAndLimits.limitReading.queueProtection.nqInQueueThreshold",
        "-1",
        Kind::Number { least: -1, most: i64::MAX },
        "How many vectors may wait in a querynode, a query counting as one; -1: no limit.",
    )
    .empty_is_default()
    .live(),
    number(
        "quotaAndLimits.limitReading.queueProtection.queueLatencyThreshold",
        "-1",
        "How long they may wait on average; negative: no limit. Seconds, as Milvus 2.3.5 counts, though its file says \
         milliseconds.",
    ),
    flag(
        "quotaAndLimits.limitReading.resultProtection.enabled",
        "false",
        "Whether reading is slowed down when results are large.",
    ),
    number(
        "quotaAndLimits.limitReading.resultProtection.maxReadResultRate",
        "-1",
        "How much all proxies may send as results. MB per second; negative: no limit.",
    ),
    share(
        "quotaAndLimits.limitReading.coolOffSpeed",
        "0.9",
        "By what the rates of reading that are measured are multiplied to slow it down.",
    ),
];
