//! What operators see: the log, the metrics, the management port.
//!
//! A happening that operators care about has one function in [`events`], which
//! writes its log line and counts its metric, so that the two agree.

pub mod events;
pub mod http;
pub mod log;
pub mod metrics;
#[cfg(test)]
pub(crate) mod testing;
pub mod words;
