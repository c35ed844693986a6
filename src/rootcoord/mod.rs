//! The coordinator of schema and time.
//!
//! ```text
//!   mirror ──▶ catalog, stored windows        hot in every phase
//!                 │            │
//!   activate ─────┴────────────┴──▶ Serving   one per term: timestamps, ids, the DDL worker
//!                                      ▲
//!   wire ──▶ service ──▶ core ─────────┘      a value first, then the gate, then the answer
//!
//!   ddl ──▶ catalog (decisions), store (fenced writes), queue (messages), peers (calls)
//!   tick ──▶ queue: how far each channel is complete
//! ```

pub mod access;
pub mod aliases;
pub mod catalog;
pub mod channels;
pub mod collections;
pub mod core;
pub mod databases;
pub mod ddl;
pub mod error;
pub mod events;
pub mod failure;
pub mod history;
pub mod keys;
pub mod machine;
pub mod metrics_info;
pub mod model;
pub mod partitions;
pub mod peers;
mod proxies;
pub mod quota;
pub mod service;
pub mod serving;
#[cfg(test)]
mod testing;
pub mod tick;
