//! The limits of the quota center. What can't be together, or makes no sense, counts as what
//! Milvus takes for it then.

use std::{collections::BTreeMap, time::Duration};

use super::{kind::Value, live::Live};
use crate::rootcoord::quota::{
    Bounds, DiskQuotas, GrowingLimits, Levels, LimitSource, Limits, MemoryLimits, NO_LIMIT, QueueLimits,
    Rate, megabytes,
};

impl LimitSource for Live {
    fn limits(&self) -> Limits {
        limits(|key| self.value(key))
    }
}

/// Reads all of them, also those that do not count, so that each is checked.
pub(super) fn limits(value: impl FnMut(&str) -> Value) -> Limits {
    let mut read = Read(value);
    Limits {
        bounds: read.bounds(),
        deny_writing: read.flag("limitWriting.forceDeny"),
        deny_reading: read.flag("limitReading.forceDeny"),
        longest_delay: read.longest_delay(),
        memory: read.memory(),
        growing: read.growing(),
        disk: read.disk(),
        queue: read.queue(),
        results: read.results(),
        cool_off: read.number("limitReading.coolOffSpeed"),
    }
}

/// By key below `quotaAndLimits.`.
struct Read<F>(F);

impl<F: FnMut(&str) -> Value> Read<F> {
    fn flag(&mut self, key: &str) -> bool {
        matches!((self.0)(&format!("quotaAndLimits.{key}")), Value::Flag(true))
    }

    fn number(&mut self, key: &str) -> f64 {
        match (self.0)(&format!("quotaAndLimits.{key}")) {
            Value::Decimal(number) => number,
            // The table says otherwise, and a test reads all of it.
            other => panic!("`{key}` is {}", other.kind_name()),
        }
    }

    fn bounds(&mut self) -> BTreeMap<Rate, Bounds> {
        let (writing, reading) = (self.flag("dml.enabled"), self.flag("dql.enabled"));
        let rates = [
            (Rate::Insert, "dml.insertRate"),
            (Rate::Upsert, "dml.upsertRate"),
            (Rate::Delete, "dml.deleteRate"),
            (Rate::BulkLoad, "dml.bulkLoadRate"),
            (Rate::Search, "dql.searchRate"),
            (Rate::Query, "dql.queryRate"),
        ];
        let mut all = BTreeMap::new();
        for (rate, key) in rates {
            let counts = if Rate::WRITES.contains(&rate) { writing } else { reading };
            let in_units = |number: f64| match rate {
                Rate::Search | Rate::Query => number,
                _ => megabytes(number),
            };
            let total = self.number(&format!("{key}.max"));
            let each = self.number(&format!("{key}.collection.max"));
            // An import is never slowed down.
            let least = match rate {
                Rate::BulkLoad => 0.0,
                _ => in_units(self.number(&format!("{key}.collection.min"))),
            };
            let most = [each, total].into_iter().find(|number| *number >= 0.0).map_or(NO_LIMIT, in_units);
            let least = if (0.0..=most).contains(&least) { least } else { 0.0 };
            if counts {
                all.insert(rate, Bounds { most, least });
            }
        }
        all
    }

    fn longest_delay(&mut self) -> Option<Duration> {
        let counts = self.flag("limitWriting.ttProtection.enabled");
        let seconds = self.number("limitWriting.ttProtection.maxTimeTickDelay");
        let seconds = if seconds > 0.0 && seconds < 65_536.0 { seconds } else { 300.0 };
        counts.then(|| Duration::from_secs_f64(seconds))
    }

    fn levels(&mut self, low: &str, high: &str, usual_high: f64) -> Levels {
        let (low, high) = (self.number(low), self.number(high));
        Levels { low, high: if low <= high { high } else { usual_high } }
    }

    fn memory(&mut self) -> Option<MemoryLimits> {
        let counts = self.flag("limitWriting.memProtection.enabled");
        let limits = MemoryLimits {
            data_node: self.levels(
                "limitWriting.memProtection.dataNodeMemoryLowWaterLevel",
                "limitWriting.memProtection.dataNodeMemoryHighWaterLevel",
                0.95,
            ),
            query_node: self.levels(
                "limitWriting.memProtection.queryNodeMemoryLowWaterLevel",
                "limitWriting.memProtection.queryNodeMemoryHighWaterLevel",
                0.95,
            ),
        };
        counts.then_some(limits)
    }

    fn growing(&mut self) -> Option<GrowingLimits> {
        let counts = self.flag("limitWriting.growingSegmentsSizeProtection.enabled");
        let levels = self.levels(
            "limitWriting.growingSegmentsSizeProtection.lowWaterLevel",
            "limitWriting.growingSegmentsSizeProtection.highWaterLevel",
            0.4,
        );
        let least_part = self.number("limitWriting.growingSegmentsSizeProtection.minRateRatio");
        counts.then_some(GrowingLimits { levels, least_part })
    }

    fn disk(&mut self) -> Option<DiskQuotas> {
        let counts = self.flag("limitWriting.diskProtection.enabled");
        let total = self.number("limitWriting.diskProtection.diskQuota");
        let each = self.number("limitWriting.diskProtection.diskQuotaPerCollection");
        let quota = |number: f64, otherwise: f64| if number > 0.0 { megabytes(number) } else { otherwise };
        let total = quota(total, NO_LIMIT);
        counts.then_some(DiskQuotas { total, collection: quota(each, total) })
    }

    fn queue(&mut self) -> QueueLimits {
        let counts = self.flag("limitReading.queueProtection.enabled");
        let length = match (self.0)("quotaAndLimits.limitReading.queueProtection.nqInQueueThreshold") {
            Value::Number(length) => Some(length).filter(|length| *length >= 0),
            _ => None,
        };
        // More than can be counted is no limit, either.
        let latency = self.number("limitReading.queueProtection.queueLatencyThreshold");
        let latency = Duration::try_from_secs_f64(latency).ok();
        if counts { QueueLimits { length, latency } } else { QueueLimits::default() }
    }

    fn results(&mut self) -> Option<f64> {
        let counts = self.flag("limitReading.resultProtection.enabled");
        let most = self.number("limitReading.resultProtection.maxReadResultRate");
        (counts && most >= 0.0).then(|| megabytes(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::store;

    const MB: f64 = 1024.0 * 1024.0;

    fn read(yaml: &str) -> Limits {
        Live::new(std::sync::Arc::new(store(yaml, &[]))).limits()
    }

    #[test]
    fn what_milvus_ships_limits_nothing_but_memory() {
        assert_eq!(read(""), Limits::default());
    }

    #[test]
    fn rates_count_only_if_their_side_is_enabled() {
        let rates = "insertRate: {max: 10, collection: {max: 4, min: 1}}";
        assert_eq!(read(&format!("quotaAndLimits: {{dml: {{{rates}}}}}")).bounds, BTreeMap::new());
        let limits = read(&format!("quotaAndLimits: {{dml: {{enabled: true, {rates}}}}}"));
        assert_eq!(limits.bounds(Rate::Insert), Bounds { most: 4.0 * MB, least: MB });
        assert_eq!(limits.bounds(Rate::Delete), Bounds::default());
        assert_eq!(limits.bounds(Rate::Search), Bounds::default());
    }

    #[test]
    fn a_collection_has_the_limit_of_all_if_it_has_none_and_the_least_is_not_above() {
        let limits = read(
            "quotaAndLimits: {dql: {enabled: true, searchRate: {max: 100, collection: {max: -1, min: 101}}, \
             queryRate: {max: 7, collection: {max: 9, min: -3}}}}",
        );
        assert_eq!(limits.bounds(Rate::Search), Bounds { most: 100.0, least: 0.0 });
        assert_eq!(limits.bounds(Rate::Query), Bounds { most: 9.0, least: 0.0 });
    }

    #[test]
    fn more_than_can_be_counted_is_no_limit() {
        let limits =
            read(&format!("quotaAndLimits: {{dml: {{enabled: true, insertRate: {{max: {}}}}}}}", f64::MAX));
        assert_eq!(limits.bounds(Rate::Insert).most, NO_LIMIT);
    }

    #[test]
    fn what_makes_no_sense_is_what_milvus_takes_for_it() {
        let limits = read(
            "quotaAndLimits: {limitWriting: {ttProtection: {enabled: true, maxTimeTickDelay: 65536}, \
             memProtection: {dataNodeMemoryLowWaterLevel: 0.9, dataNodeMemoryHighWaterLevel: 0.8}, \
             diskProtection: {diskQuota: 3, diskQuotaPerCollection: 0}}, \
             limitReading: {queueProtection: {enabled: true, queueLatencyThreshold: -1}, \
             resultProtection: {enabled: true, maxReadResultRate: -1}}}",
        );
        assert_eq!(limits.longest_delay, Some(Duration::from_secs(300)));
        assert_eq!(limits.memory.map(|it| it.data_node), Some(Levels { low: 0.9, high: 0.95 }));
        assert_eq!(limits.disk, Some(DiskQuotas { total: 3.0 * MB, collection: 3.0 * MB }));
        assert_eq!((limits.queue, limits.results), (QueueLimits::default(), None));
    }

    #[test]
    fn a_change_in_etcd_counts_at_once() {
        let store = std::sync::Arc::new(store("", &[]));
        let live = Live::new(store.clone());
        assert!(!live.limits().deny_writing);
        store.apply_dynamic("quotaAndLimits/limitWriting/forceDeny", Some("true"));
        store.apply_dynamic("quotaAndLimits/limitReading/coolOffSpeed", Some("0.5"));
        assert!(live.limits().deny_writing);
        assert_eq!(live.limits().cool_off, 0.5);
        store.apply_dynamic("quotaAndLimits/limitReading/coolOffSpeed", Some("2"));
        assert_eq!(live.limits().cool_off, 0.5);
    }
}
