//! The etcd layer on real etcd servers: connections, the fenced store, the mirror and
//! the lease keeper, each under what happens to networks and servers.
#![expect(clippy::disallowed_methods, reason = "a test reaches into etcd behind the product's back")]

mod connections;
mod late;
mod lease;
mod login;
mod mirror;
mod mirror_random;
mod server_id;
mod space;
mod store;
mod support;
