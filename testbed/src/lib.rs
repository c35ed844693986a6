//! Real processes for tests.
pub mod log;
pub mod ports;
pub mod process;
