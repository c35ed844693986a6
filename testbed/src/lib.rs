//! Real processes for tests.
pub mod follower;
pub mod grpc;
pub mod history;
pub mod load;
pub mod log;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod session;
