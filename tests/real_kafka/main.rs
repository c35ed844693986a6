//! The message queue against a real Kafka: what is acknowledged stands where its id says,
//! in order, whatever the broker does meanwhile.

#![expect(clippy::disallowed_methods, reason = "a test has the machine's clock")]

mod outage;
mod purge;
#[path = "../queue_traffic/mod.rs"]
mod queue_traffic;
mod quiet;
mod support;
