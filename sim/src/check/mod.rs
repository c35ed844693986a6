//! Whether what happened was allowed.

pub mod counter;
pub mod databases;
pub mod linear;
pub mod messages;
pub mod schema;
pub mod terms;

/// What was not allowed, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(pub String);
