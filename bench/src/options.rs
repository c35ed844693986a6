//! What both benchmarks let choose on their command lines.

use std::path::PathBuf;

use clap::Args;

/// See the module.
#[derive(Debug, Args)]
pub struct Shared {
    /// Collections in etcd for the takeover with a large catalogue.
    #[arg(long, default_value_t = 10_000)]
    pub collections: u32,

    /// Fields that a user gave each of them.
    #[arg(long, default_value_t = 5)]
    pub fields: u32,

    /// Leaves the real one out.
    #[arg(long)]
    pub without_real: bool,

    /// Leaves milvus-coord out.
    #[arg(long, conflicts_with = "without_real")]
    pub without_ours: bool,

    /// The milvus-coord to measure; the one beside this program unless given.
    #[arg(long)]
    pub program: Option<PathBuf>,

    /// Treats the two instances of milvus-coord as on two machines: without the lock
    /// files by which the kernel of one machine tells of a death.
    #[arg(long)]
    pub apart: bool,

    /// Writes every figure as JSON, too.
    #[arg(long)]
    pub json: Option<PathBuf>,
}
