//! Etcd: connections, calls, fenced transactions, the mirror, the lease keeper.

pub mod call;
mod calls;
mod classify;
pub mod cluster;
pub mod commit;
mod connections;
pub mod keys;
pub mod lane;
pub mod lease;
pub mod mirror;
mod requests;
pub mod server_id;
pub mod settings;
pub mod store;
mod time_to_live;
mod tls;
pub mod txn;
mod wire;

pub use connections::Etcd;
pub use requests::Page;
