//! Whole scenarios: instances, clients, faults, and the checks that run over them.

pub mod directed;
pub mod draw;
pub mod fault;
pub mod run;
pub mod stage;
