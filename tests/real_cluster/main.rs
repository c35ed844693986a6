//! A whole Milvus 2.3.5 whose rootcoords are ours, the real ones, or both, used through
//! pymilvus. What needs minutes tells on standard error how far it is.

#![expect(clippy::disallowed_methods, reason = "a test has the machine's clock")]

mod faults;
mod hello;
mod limits;
mod outage;
mod workload;

use milvus_coord_testbed::cluster::Rootcoord;

/// milvus-coord as a rootcoord.
fn ours() -> Rootcoord {
    Rootcoord::Ours(env!("CARGO_BIN_EXE_milvus-coord").into())
}
