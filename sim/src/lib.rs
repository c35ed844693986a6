//! milvus-coord under a simulated network, clock and etcd.
//!
//! What is simulated: machines with a network between them, clocks that drift,
//! jump and stop, processes that are killed, frozen and restarted, and an etcd
//! cluster with faults of its own. What is real: every line of milvus-coord above
//! its clock and network seams, etcd's client, gRPC.

pub mod check;
pub mod client;
pub mod coord;
pub mod fake_etcd;
pub mod history;
pub mod machine;
pub mod net;
pub mod others;
pub mod scenario;
pub mod schema;
pub mod world;
