//! Metrics: Milvus's by Milvus's names, and the pair's own.
//!
//! Nothing is global: a [`Metrics`] is made once and handed to whoever counts.

pub mod names;
mod pair;
mod process;
mod register;
mod rootcoord;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec, Registry, TextEncoder, proto::MetricFamily};

pub use self::{
    pair::{LiveFigures, PairMetrics},
    rootcoord::RootCoordMetrics,
};
use self::{process::ProcessMetrics, register::Register};
use crate::{
    clock::Clock,
    ids::{Role, ServerId},
};

/// The media type of what [`Metrics::render`] returns.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As wanted.
    Success,
    /// Otherwise. A transaction whose compare did not hold counts as failed.
    Fail,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Fail => "fail",
        }
    }
}

/// A kind of request for metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaOp {
    /// Reads.
    Get,
    /// Writes that compare nothing.
    Put,
    /// Deletes that compare nothing.
    Remove,
    /// Transactions.
    Txn,
}

impl MetaOp {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Remove => "remove",
            Self::Txn => "txn",
        }
    }
}

/// All metrics of a process.
#[derive(Debug)]
pub struct Metrics {
    /// The pair's own.
    pub pair: PairMetrics,
    /// Milvus's of rootcoord; other roles neither set nor show them.
    pub rootcoord: RootCoordMetrics,
    role: Role,
    registry: Registry,
    process: ProcessMetrics,
    num_node: IntGaugeVec,
    meta_op_count: IntCounterVec,
    meta_request_latency: HistogramVec,
    meta_kv_size: HistogramVec,
}

impl Metrics {
    /// Fresh ones, for a process that is `role`.
    pub fn new(role: Role, clock: &dyn Clock) -> Arc<Self> {
        let registry = Registry::new();
        let register = Register(&registry);
        let unseen = Registry::new();
        let of_rootcoord = if role == Role::RootCoord { &registry } else { &unseen };
        Arc::new(Self {
            pair: PairMetrics::new(&register),
            rootcoord: RootCoordMetrics::new(&Register(of_rootcoord)),
            role,
            process: ProcessMetrics::new(clock),
            num_node: register.int_gauges(&names::NUM_NODE),
            meta_op_count: register.counters(&names::META_OP_COUNT),
            meta_request_latency: register.histograms(&names::META_REQUEST_LATENCY),
            meta_kv_size: register.histograms(&names::META_KV_SIZE),
            registry,
        })
    }

    /// A request for metadata ended.
    pub fn meta_request(&self, op: MetaOp, outcome: Outcome, took: Duration) {
        self.meta_op_count.with_label_values(&[op.name(), "total"]).inc();
        self.meta_op_count.with_label_values(&[op.name(), outcome.name()]).inc();
        if outcome == Outcome::Success {
            self.meta_request_latency.with_label_values(&[op.name()]).observe(millis(took));
        }
    }

    /// A value of so many bytes was read or written.
    pub fn meta_value(&self, op: MetaOp, bytes: usize) {
        self.meta_kv_size.with_label_values(&[op.name()]).observe(bytes as f64);
    }

    pub(super) fn serves(&self, id: ServerId, serves: bool) {
        self.num_node.with_label_values(&[&id.to_string(), self.role.name()]).set(i64::from(serves));
    }

    /// Everything, as Prometheus text 0.0.4.
    pub fn render(&self, live: &LiveFigures) -> String {
        self.pair.set_live(live);
        let mut families = self.registry.gather();
        families.extend(self.process.gather());
        families.sort_by(|a, b| a.name().cmp(b.name()));
        encode(&families)
    }

    /// What the process itself has, whatever it does.
    pub fn render_process(&self) -> String {
        encode(&self.process.gather())
    }
}

fn encode(families: &[MetricFamily]) -> String {
    // Fails only for families without name or series, which a registry does not return.
    TextEncoder::new().encode_to_string(families).unwrap_or_default()
}

/// As Milvus counts time.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
