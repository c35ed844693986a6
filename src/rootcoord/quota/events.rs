//! What operators hear of the quota center. Milvus's own lines have its words and fields.

use std::{collections::BTreeMap, fmt, time::Duration};

use parking_lot::Mutex;
use tracing::{info, warn};

use super::{
    compute::{NodeRole, Note, Verdict},
    rates::{Access, Reason},
};
use crate::{
    clock::BootInstant,
    ids::CollectionId,
    telemetry::{
        events::Events,
        log::GoDuration,
        metrics::{RootCoordMetrics, millis},
    },
};

/// The lines of one kind are written in one round, and then not for so long.
const EVERY: Duration = Duration::from_secs(10);

/// Writes the lines and counts, for one term. When it is dropped, nothing is shown any more: the
/// figures are another instance's then.
#[derive(Debug)]
pub struct QuotaEvents {
    events: Events,
    said: Mutex<BTreeMap<&'static str, BootInstant>>,
}

impl QuotaEvents {
    /// Through `events`.
    pub fn new(events: Events) -> Self {
        Self { events, said: Mutex::default() }
    }

    fn metrics(&self) -> &RootCoordMetrics {
        &self.events.metrics().rootcoord
    }

    /// It begins.
    pub(super) fn started(&self, every: Duration) {
        info!("collectInterval/s" = every.as_secs_f64(), "Start QuotaCenter");
    }

    /// Somebody did not tell, or not in a way that can be read.
    pub(super) fn not_collected(&self, error: &dyn fmt::Display) {
        warn!(%error, "quotaCenter sync metrics failed");
    }

    /// There is nothing to decide from.
    pub(super) fn not_calculated(&self, error: &dyn fmt::Display) {
        warn!(%error, "quotaCenter calculate rates failed");
    }

    /// A proxy was not told, or nobody.
    pub(super) fn not_set(&self, error: &dyn fmt::Display) {
        warn!(%error, "quotaCenter setRates failed");
    }

    /// A decision was made.
    pub(super) fn decided(&self, verdict: &Verdict, now: BootInstant) {
        let metrics = self.metrics();
        for reason in Reason::TROUBLE {
            let is_so = verdict.rates.values().any(|it| it.denied.values().any(|why| *why == reason));
            let name = reason.to_wire().as_str_name();
            metrics.quota_states.with_label_values(&[name]).set(i64::from(is_so));
        }
        metrics.time_tick_delay.reset();
        for ((role, node), delay) in &verdict.delays {
            let labels = [name(*role).to_lowercase(), node.to_string()];
            metrics.time_tick_delay.with_label_values(&labels).set(millis(*delay));
        }
        metrics.rate_limit_ratio.reset();
        for (collection, factor) in &verdict.factors {
            metrics.rate_limit_ratio.with_label_values(&[collection.to_string()]).set(1.0 - factor);
        }
        let due = self.due(&verdict.notes, now);
        verdict.notes.iter().filter(|note| due.contains(&line(note))).for_each(say);
    }

    /// The lines that may be written now.
    fn due(&self, notes: &[Note], now: BootInstant) -> Vec<&'static str> {
        let mut said = self.said.lock();
        let mut due: Vec<&'static str> = notes.iter().map(line).collect();
        due.retain(|line| said.get(line).is_none_or(|at| now.since(*at) >= EVERY));
        said.extend(due.iter().map(|line| (*line, now)));
        due
    }
}

impl Drop for QuotaEvents {
    fn drop(&mut self) {
        let metrics = self.metrics();
        metrics.quota_states.reset();
        metrics.time_tick_delay.reset();
        metrics.rate_limit_ratio.reset();
    }
}

fn name(role: NodeRole) -> &'static str {
    match role {
        NodeRole::QueryNode => "QueryNode",
        NodeRole::DataNode => "DataNode",
    }
}

fn line(note: &Note) -> &'static str {
    match note {
        Note::Denied(Access::Writing, ..) => "QuotaCenter force to deny writing",
        Note::Denied(Access::Reading, ..) => "QuotaCenter force to deny reading",
        Note::CollectionDisk { .. } => "collection disk quota exceeded",
        Note::TotalDisk { .. } => "total disk quota exceeded",
        Note::Memory { role: NodeRole::QueryNode, full: true, .. } => {
            "QuotaCenter: QueryNode memory to high water level"
        }
        Note::Memory { role: NodeRole::QueryNode, full: false, .. } => {
            "QuotaCenter: QueryNode memory to low water level, limit writing rate"
        }
        Note::Memory { role: NodeRole::DataNode, full: true, .. } => {
            "QuotaCenter: DataNode memory to high water level"
        }
        Note::Memory { role: NodeRole::DataNode, full: false, .. } => {
            "QuotaCenter: DataNode memory to low water level, limit writing rate"
        }
        Note::Growing { .. } => {
            "QuotaCenter: QueryNode growing segments size exceeds watermark, limit writing rate"
        }
        Note::Behind { denied: true, .. } => "QuotaCenter force deny writing due to long timeTick delay",
        Note::Behind { denied: false, .. } => "QuotaCenter: limit writing due to long timeTick delay",
        Note::CooledOff(_) => "QuotaCenter cool read rates off done",
        Note::BadProperty { .. } => "invalid configuration for collection dml rate",
    }
}

fn say(note: &Note) {
    let line = line(note);
    match note {
        Note::Denied(_, reason, collections) => {
            let reason = reason.to_wire().as_str_name();
            warn!(collectionIDs = ?numbers(collections), reason, "{line}");
        }
        Note::CollectionDisk { collection, used, quota } => {
            let id = collection.0;
            warn!(collection = id, "coll disk usage" = used, "coll disk quota" = quota, "{line}");
        }
        Note::TotalDisk { used, quota } => {
            warn!("total disk usage" = used, "total disk quota" = quota, "{line}");
        }
        Note::Memory { role, node, collections, level, mark, full } => {
            let node = format!("{}-{node}", name(*role).to_lowercase());
            let collections = numbers(collections);
            if *full {
                warn!(
                    Node = node,
                    collections = ?collections,
                    memoryWaterLevel = level,
                    memoryHighWaterLevel = mark,
                    "{line}"
                );
            } else {
                warn!(
                    Node = node,
                    collections = ?collections,
                    memoryWaterLevel = level,
                    memoryLowWaterLevel = mark,
                    "{line}"
                );
            }
        }
        Note::Growing { node, collections, level, part } => {
            let node = format!("querynode-{node}");
            warn!(Node = node, collections = ?numbers(collections), level, factor = part, "{line}");
        }
        Note::Behind { collections, delay, longest, .. } => {
            let (delay, longest) = (GoDuration(*delay), GoDuration(*longest));
            warn!(collectionIDs = ?numbers(collections), %delay, MaxDelay = %longest, "{line}");
        }
        Note::CooledOff(collections) => warn!(collectionIDs = ?numbers(collections), "{line}"),
        Note::BadProperty { collection, key, value } => {
            let id = collection.0;
            warn!(collectionID = id, "config item" = key, "config value" = value, "{line}");
        }
    }
}

fn numbers(collections: &[CollectionId]) -> Vec<i64> {
    collections.iter().map(|collection| collection.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock as _,
        ids::{Role, ServerId},
        rootcoord::quota::CollectionRates,
        telemetry::{
            log::LogLevel,
            metrics::Metrics,
            testing::{Stopped, lines_of},
        },
    };

    fn events() -> (Events, QuotaEvents) {
        let events = Events::new(Role::RootCoord, Metrics::new(Role::RootCoord, &Stopped));
        (events.clone(), QuotaEvents::new(events))
    }

    #[test]
    fn milvus_s_lines_come_at_a_bearable_rate() {
        let (_, events) = events();
        let collections = vec![CollectionId(1), CollectionId(2)];
        let memory = |role, full| Note::Memory {
            role,
            node: ServerId(9),
            collections: collections.clone(),
            level: 0.99,
            mark: 0.95,
            full,
        };
        let denied = Note::Denied(Access::Writing, Reason::MemoryQuotaExhausted, collections.clone());
        let notes = vec![memory(NodeRole::QueryNode, true), memory(NodeRole::DataNode, false), denied];
        let verdict = Verdict { notes, ..Verdict::default() };
        let lines = lines_of(LogLevel::Info, || {
            events.started(Duration::from_secs(3));
            events.not_collected(&"no answer");
            events.not_calculated(&"no timestamp");
            events.not_set(&"refused");
            let now = Stopped.boot();
            for seconds in [0, 3, 6, 9] {
                events.decided(&verdict, now + Duration::from_secs(seconds));
            }
        });
        assert_eq!(
            lines,
            [
                r#"[INFO] ["Start QuotaCenter"] [collectInterval/s=3]"#,
                r#"[WARN] ["quotaCenter sync metrics failed"] [error="no answer"]"#,
                r#"[WARN] ["quotaCenter calculate rates failed"] [error="no timestamp"]"#,
                r#"[WARN] ["quotaCenter setRates failed"] [error=refused]"#,
                r#"[WARN] ["QuotaCenter: QueryNode memory to high water level"] [Node=querynode-9] [collections="[1, 2]"] [memoryWaterLevel=0.99] [memoryHighWaterLevel=0.95]"#,
                r#"[WARN] ["QuotaCenter: DataNode memory to low water level, limit writing rate"] [Node=datanode-9] [collections="[1, 2]"] [memoryWaterLevel=0.99] [memoryLowWaterLevel=0.95]"#,
                r#"[WARN] ["QuotaCenter force to deny writing"] [collectionIDs="[1, 2]"] [reason=MemoryQuotaExhausted]"#,
            ]
        );
        let again = lines_of(LogLevel::Info, || {
            events.decided(&verdict, Stopped.boot() + Duration::from_secs(10));
        });
        assert_eq!(again.len(), 3, "{again:?}");
    }

    #[test]
    fn figures_are_those_of_the_last_round_and_end_with_the_term() {
        let (events, quota) = events();
        let metrics = &events.metrics().rootcoord;
        let state = |name| metrics.quota_states.with_label_values(&[name]).get();
        let mut verdict = Verdict::default();
        let mut rates = CollectionRates::default();
        rates.deny(Access::Writing, Reason::DiskQuotaExhausted);
        verdict.rates.insert(CollectionId(1), rates);
        verdict.factors.insert(CollectionId(1), 0.25);
        verdict.delays.insert((NodeRole::DataNode, ServerId(9)), Duration::from_millis(1_500));
        quota.decided(&verdict, Stopped.boot());
        assert_eq!(
            [state("DiskQuotaExhausted"), state("MemoryQuotaExhausted"), state("TimeTickLongDelay")],
            [1, 0, 0]
        );
        assert_eq!(metrics.rate_limit_ratio.with_label_values(&["1"]).get(), 0.75);
        assert_eq!(metrics.time_tick_delay.with_label_values(&["datanode", "9"]).get(), 1_500.0);
        quota.decided(&Verdict::default(), Stopped.boot());
        assert_eq!(state("DiskQuotaExhausted"), 0);
        drop(quota);
        let shown = events.metrics().render(&Default::default());
        assert!(!shown.contains("milvus_rootcoord_quota_states{"), "{shown}");
        assert!(!shown.contains("milvus_rootcoord_rate_limit_ratio{"), "{shown}");
    }
}
