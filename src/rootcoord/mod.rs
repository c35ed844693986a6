//! The coordinator of schema and time.
//!
//! ```text
//!   mirror ──▶ catalog, stored windows        hot in every phase
//!                 │            │
//!   activate ─────┴────────────┴──▶ Serving   one per term: timestamps, ids, the DDL worker
//!                                      ▲
//!   wire ──▶ service ──▶ core ─────────┘      a value first, then the gate, then the answer
//! ```

pub mod access;
pub mod catalog;
pub mod channels;
pub mod core;
pub mod databases;
pub mod ddl;
pub mod events;
pub mod failure;
pub mod history;
pub mod keys;
pub mod machine;
pub mod metrics_info;
pub mod model;
pub mod peers;
pub mod service;
pub mod serving;
#[cfg(test)]
mod testing;
pub mod tick;
