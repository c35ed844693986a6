//! Timestamps and ids: who gives them out, and how far ahead etcd has been told.
//!
//! ```text
//!   campaign                 every 50 ms                 before the end is near
//!   plan ──▶ Window in etcd  Steps ──▶ Timestamps ◀── raise ── Keeper ──▶ etcd
//!                                       alloc │
//!                                             ▼ a value, then the gate, then the answer
//! ```
//!
//! A value is given out only below the end of the window that etcd holds, so
//! whoever takes over and starts behind that end gives out larger ones, and
//! nobody ever the same. Nothing in here reads a clock by itself.

pub mod counter;
pub mod follow;
pub mod hybrid;
pub mod ids;
pub mod keeper;
pub mod steps;
pub mod stored;
pub mod timestamps;
pub mod window;
