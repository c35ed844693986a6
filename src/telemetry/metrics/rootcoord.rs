//! Milvus's metrics of rootcoord.

use std::time::Duration;

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
};

use crate::telemetry::metrics::{Outcome, millis, names, register::Register};

/// Set by rootcoord; shown by its process only.
#[derive(Debug)]
pub struct RootCoordMetrics {
    /// Proxies that it has a client for.
    pub proxy_num: IntGauge,
    /// By how many milliseconds the newest tick of each physical channel was behind when it was sent.
    pub produce_tt_lag: GaugeVec,
    /// Milliseconds per round of sending ticks.
    pub sync_timetick_latency: Histogram,
    /// Ids given out.
    pub id_alloc_count: IntCounter,
    /// The first timestamp of the newest allocation.
    pub timestamp: Gauge,
    /// End of the saved timestamp window, seconds since 1970.
    pub timestamp_saved: Gauge,
    /// By how many seconds the wall clock is ahead of the time that timestamps follow; 0: followed.
    pub clock_lead: Gauge,
    /// Databases.
    pub database_num: IntGauge,
    /// Collections.
    pub collection_num: IntGauge,
    /// Partitions of all collections.
    pub partition_num: IntGauge,
    /// Physical channels.
    pub dml_channel_num: IntGauge,
    /// Producers.
    pub msgstream_obj_num: IntGauge,
    /// Users.
    pub credential_num: IntGauge,
    /// Roles.
    pub num_of_roles: IntGauge,
    /// Milliseconds; labels role name and node id.
    pub time_tick_delay: GaugeVec,
    /// 1 where a limit is reached.
    pub quota_states: IntGaugeVec,
    /// Part refused, by collection id.
    pub rate_limit_ratio: GaugeVec,
    ddl_req_count: IntCounterVec,
    ddl_req_latency: HistogramVec,
    ddl_req_latency_in_queue: HistogramVec,
}

impl RootCoordMetrics {
    pub(super) fn new(register: &Register<'_>) -> Self {
        Self {
            proxy_num: register.int_gauge(&names::PROXY_NUM),
            produce_tt_lag: register.gauges(&names::PRODUCE_TT_LAG),
            sync_timetick_latency: register.histogram(&names::SYNC_TIMETICK_LATENCY),
            id_alloc_count: register.int_counter(&names::ID_ALLOC_COUNT),
            timestamp: register.gauge(&names::TIMESTAMP),
            timestamp_saved: register.gauge(&names::TIMESTAMP_SAVED),
            clock_lead: register.gauge(&names::CLOCK_LEAD),
            database_num: register.int_gauge(&names::DATABASE_NUM),
            collection_num: register.int_gauge(&names::COLLECTION_NUM),
            partition_num: register.int_gauge(&names::PARTITION_NUM),
            dml_channel_num: register.int_gauge(&names::DML_CHANNEL_NUM),
            msgstream_obj_num: register.int_gauge(&names::MSGSTREAM_OBJ_NUM),
            credential_num: register.int_gauge(&names::CREDENTIAL_NUM),
            num_of_roles: register.int_gauge(&names::NUM_OF_ROLES),
            time_tick_delay: register.gauges(&names::TIME_TICK_DELAY),
            quota_states: register.int_gauges(&names::QUOTA_STATES),
            rate_limit_ratio: register.gauges(&names::RATE_LIMIT_RATIO),
            ddl_req_count: register.counters(&names::DDL_REQ_COUNT),
            ddl_req_latency: register.histograms(&names::DDL_REQ_LATENCY),
            ddl_req_latency_in_queue: register.histograms(&names::DDL_REQ_LATENCY_IN_QUEUE),
        }
    }

    /// A DDL call of that method came in.
    pub fn ddl_received(&self, method: &str) {
        self.ddl_req_count.with_label_values(&[method, "total"]).inc();
    }

    /// Its turn came after so long.
    pub fn ddl_waited(&self, method: &str, waited: Duration) {
        self.ddl_req_latency_in_queue.with_label_values(&[method]).observe(millis(waited));
    }

    /// It ended, so long after it came in.
    pub fn ddl_done(&self, method: &str, outcome: Outcome, took: Duration) {
        self.ddl_req_count.with_label_values(&[method, outcome.name()]).inc();
        if outcome == Outcome::Success {
            self.ddl_req_latency.with_label_values(&[method]).observe(millis(took));
        }
    }
}
