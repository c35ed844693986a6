//! Etcd: connections, calls, fenced transactions, the mirror, the lease keeper.

pub mod call;
pub mod commit;
pub mod mirror;
pub mod store;
pub mod txn;

/// Calls to etcd.
#[derive(Clone, Debug)]
pub struct Etcd {}
