//! Time ticks: how consumers of a physical channel learn up to when it is complete.
//!
//! ```text
//!   reports of proxies ─▶ Sources ─┐
//!   own timestamps ────────────────┼─▶ watermark per channel ─▶ gate ─▶ queue
//!   DDL that is under way ─▶ holds ┘        one tick on its way ◀─┘ acknowledged
//! ```
//!
//! A tick T promises that every row and every DDL message that comes behind it in the
//! channel is later than T. For that
//!
//! * each proxy says, by channel, below what it has nothing left to write; one that has
//!   said nothing in this term holds back every channel;
//! * rootcoord's own bound is a timestamp that was given out, so those of later DDL are
//!   larger; and DDL that is under way holds its channels at what was the newest
//!   timestamp before it took its own.
//!
//! Each channel moves on by itself: one that the queue does not take, or that DDL holds,
//! delays no other.

mod alarms;
mod events;
mod sources;
#[cfg(test)]
mod tests;
mod ticker;
mod ticks;

pub use self::{
    events::{TickEvents, TickWitness},
    sources::{BadReport, Report},
    ticker::{Hold, TickWorker, Ticker},
};
