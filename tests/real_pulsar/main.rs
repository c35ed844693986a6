//! The message queue against a real Pulsar: what is acknowledged stands where its id says,
//! in order, whatever the broker does meanwhile.
//!
//! A broker takes a quarter of a minute to start, so each of these few tests does much with one.

#![expect(clippy::disallowed_methods, reason = "a test has the machine's clock")]

mod outage;
#[path = "../queue_traffic/mod.rs"]
mod queue_traffic;
mod quiet;
mod support;
