//! Between the wire and the roles: the error model, the server with its
//! gatehouse, and the clients that follow other components' sessions.

pub mod clients;
pub mod context;
pub mod gatehouse;
pub mod headers;
mod identity;
pub mod link;
pub mod merr;
pub mod server;

pub use self::identity::Identity;

#[cfg(test)]
mod testing;
