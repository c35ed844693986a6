//! The pair: who is ACTIVE, and what that allows.

pub mod core;
pub mod gate;
pub mod standing;
