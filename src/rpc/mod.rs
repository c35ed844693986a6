//! Between the wire and the roles: the error model, the server with its
//! gatehouse, and the clients that follow other components' sessions.

pub mod gatehouse;
pub mod headers;
pub mod link;
pub mod merr;
pub mod server;

#[cfg(test)]
mod testing;
