//! Etcd: connections, calls, fenced transactions, the mirror, the lease keeper.

pub mod batch;
pub mod call;
mod calls;
mod classify;
pub mod cluster;
pub mod commit;
mod connections;
mod follow;
pub mod keys;
pub mod lane;
pub mod lease;
pub mod ledger;
pub mod mirror;
mod requests;
pub mod server_id;
pub mod settings;
mod settle;
pub mod store;
mod tls;
pub mod txn;
pub mod wait;
mod wire;

pub use connections::Etcd;
pub use requests::Page;
