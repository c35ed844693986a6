//! The command line.

use clap::{Parser, ValueEnum};
use milvus_coord_bench::options::Shared;

/// Measures takeover, timestamps and memory of milvus-coord's rootcoord, beside the
/// real Milvus 2.3.5 in the same run, and prints a table with ratios.
///
/// Each side gets an etcd of its own, fresh, in a temporary folder on loopback; the
/// real one also gets a Kafka broker, without which it does not become Healthy. Run it
/// on a machine that does nothing else.
///
/// A takeover is timed from the moment before the signal is sent to the first
/// AllocTimestamp that the new instance answers with a value. One caller asks it
/// without pause, over a connection that it already has, with the server id that it
/// expects there: half a millisecond after each refusal it asks again.
///
/// Timestamps under load are asked for by h2load (package nghttp2-client), which takes less of
/// the processors that it shares with the server than other callers do.
#[derive(Debug, Parser)]
#[command(name = "pair-bench", version)]
pub(crate) struct Options {
    /// What to measure; everything unless given. May be repeated.
    #[arg(long, value_enum)]
    pub(crate) only: Vec<Measure>,

    /// Takeovers of milvus-coord for each kind of end.
    #[arg(long, default_value_t = 50)]
    pub(crate) rounds: usize,

    /// Takeovers of the real one for each kind of end (half a minute each).
    #[arg(long, default_value_t = 5)]
    pub(crate) real_rounds: usize,

    /// For how many seconds each load on AllocTimestamp runs.
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,

    /// What both benchmarks let choose.
    #[command(flatten)]
    pub(crate) shared: Shared,
}

/// One thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measure {
    /// `kill -9` of the ACTIVE one.
    Kill,
    /// SIGTERM of the ACTIVE one.
    Term,
    /// `kill -9` with a large catalogue in etcd.
    Collections,
    /// AllocTimestamp with one and with fifty callers.
    Throughput,
    /// Memory of an idle pair.
    Memory,
}

impl Measure {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Kill => "kill -9",
            Self::Term => "SIGTERM",
            Self::Collections => "takeover with a large catalogue",
            Self::Throughput => "AllocTimestamp",
            Self::Memory => "idle memory",
        }
    }
}

impl Options {
    /// What to measure, in the order of the table.
    pub(crate) fn measures(&self) -> Vec<Measure> {
        if self.only.is_empty() { Measure::value_variants().to_vec() } else { self.only.clone() }
    }
}
