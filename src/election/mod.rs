//! The pair: who is ACTIVE, and what that allows.

pub mod campaign;
pub mod core;
pub mod death_watch;
pub mod driver;
pub mod gate;
pub mod history;
pub mod hub;
pub mod instance;
pub mod life;
pub mod notes;
pub mod observer;
pub mod pause;
pub mod peer_service;
pub mod prover;
pub mod rules;
pub mod session;
pub mod standing;
pub mod streams;
pub mod tasks;
pub mod verdict;
pub mod vitals;
