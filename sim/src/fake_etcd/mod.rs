//! An etcd cluster in memory that speaks etcd's own protocol.
//!
//! `store`, `lease`, `txn` and `watcher` are etcd's rules as functions over plain
//! data, with time as an argument. `cluster` adds members, a leader and faults,
//! still without I/O. `server` is the gRPC shell around one member.
//!
//! How far it equals a real etcd is shown by the conformance test, which sends the
//! same random requests to both.

pub mod cluster;
pub mod fate;
pub mod lease;
pub mod record;
pub mod refusal;
pub mod server;
pub mod store;
pub mod txn;
pub mod watcher;
