//! Etcd: connections, calls, fenced transactions, the mirror, the lease keeper.

pub mod call;
mod calls;
mod classify;
pub mod cluster;
mod connections;
pub mod lane;
pub mod mirror;
mod requests;
pub mod settings;
pub mod store;
mod tls;
pub mod txn;
mod wire;

pub use connections::Etcd;
pub use requests::Page;
