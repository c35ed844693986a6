//! Real processes for tests.
pub mod faketime;
pub mod follower;
pub mod grpc;
pub mod history;
pub mod http;
pub mod instance;
pub mod load;
pub mod log;
pub mod namespaces;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod session;
pub mod skip;
