//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use milvus_coord_bench::options::Shared;

/// Measures what users of a whole cluster notice of rootcoord: how long they are not
/// served when the ACTIVE one ends or hands over, and how long CreateCollection takes.
/// Beside the real rootcoord 2.3.5 in the same run, in a table with ratios.
///
/// For each side a cluster is started on loopback, fresh, in temporary folders: etcd, Kafka,
/// one real Milvus 2.3.5 node of each kind, and a pair of rootcoords as they are shipped
/// (leases: 5 s ours, 30 s the real ones). Ten programs share the machine with its users:
/// let it do nothing else.
///
/// GAPS. Four pymilvus clients call without a pause, one of each kind: DDL (create a
/// collection, drop it), insert (one row), search with consistency level Strong (which waits
/// for time ticks), flush (one row, and until it is flushed; pymilvus looks every 0.5 s). The
/// gap of a kind is the longest time between the ends of two successive successful calls.
/// For a fault it is looked for from the moment before the signal until every kind has
/// succeeded again and at least --after seconds have passed; the same without a fault (what
/// the calls themselves take) during --before seconds before each fault. The ended one is
/// started again before the next round.
///
/// CREATE. CreateCollection over gRPC: through the proxy, alone and by 50 callers (the proxy
/// passes DDL on one by one), and by 50 callers at rootcoord itself.
///
/// COLLECTIONS. A gap as above at kill -9 with --collections collections in etcd, which
/// the cluster finds at its start; and the memory of the pair then.
///
/// The takeover itself is counted from the signal to the new one's line
/// "RootCoord startup success".
#[derive(Debug, Parser)]
#[command(name = "cluster-bench", version)]
pub(crate) struct Options {
    /// What to measure; everything unless given. May be repeated.
    #[arg(long, value_enum)]
    pub(crate) only: Vec<Measure>,

    /// Faults of each kind for milvus-coord (a quarter of a minute each).
    #[arg(long, default_value_t = 10)]
    pub(crate) rounds: usize,

    /// Faults of each kind for the real one (more than a minute each).
    #[arg(long, default_value_t = 3)]
    pub(crate) real_rounds: usize,

    /// Faults with a large catalogue for milvus-coord; the real one gets a single one.
    #[arg(long, default_value_t = 3)]
    pub(crate) collections_rounds: usize,

    /// CreateCollection calls of one caller; fifty callers make five times as many.
    #[arg(long, default_value_t = 60)]
    pub(crate) creations: usize,

    /// For how many seconds the gap without a fault is looked for.
    #[arg(long, default_value_t = 5)]
    pub(crate) before: u64,

    /// For how many seconds at least the gap of a fault is looked for. Who hands over
    /// forwards calls for two seconds.
    #[arg(long, default_value_t = 5)]
    pub(crate) after: u64,

    /// What both benchmarks let choose.
    #[command(flatten)]
    pub(crate) shared: Shared,

    /// Keeps the logs of all members, at level debug, and every call of the users in this
    /// folder: to see where the time goes.
    #[arg(long)]
    pub(crate) logs: Option<PathBuf>,
}

/// One thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measure {
    /// `kill -9` of the ACTIVE rootcoord.
    Kill,
    /// SIGTERM of the ACTIVE rootcoord.
    Term,
    /// `milvus-coord switchover`, which the real one has not.
    Switchover,
    /// CreateCollection alone and with fifty callers.
    Create,
    /// `kill -9` with a large catalogue in etcd.
    Collections,
}

impl Options {
    pub(crate) fn wants(&self, measure: Measure) -> bool {
        self.only.is_empty() || self.only.contains(&measure)
    }
}
