//! Etcd: connections, calls, fenced transactions, the mirror, the lease keeper.

pub mod batch;
pub mod call;
mod calls;
mod classify;
pub mod cluster;
pub mod commit;
mod connections;
mod feed;
mod follow;
mod keep_alive;
pub mod keys;
pub mod lane;
pub mod lease;
mod lease_clock;
pub mod ledger;
pub mod mirror;
mod pulse;
mod requests;
pub mod server_id;
pub mod settings;
mod settle;
mod snapshot;
pub mod store;
mod time_to_live;
mod tls;
pub mod txn;
pub mod wait;
mod wire;

pub use connections::Etcd;
pub use requests::Page;
