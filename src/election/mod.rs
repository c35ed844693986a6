//! The pair: who is ACTIVE, and what that allows.

pub mod core;
pub mod gate;
pub mod life;
pub mod rules;
pub mod session;
pub mod standing;
pub mod verdict;
