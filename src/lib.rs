//! The coordinators of Milvus 2.3 as strongly consistent pairs. ARCHITECTURE.md
//! says how the parts fit.

pub mod cli;
pub mod clock;
pub mod config;
pub mod descriptors;
pub mod election;
pub mod etcd;
pub mod hooks;
pub mod ids;
pub mod mq;
pub mod net;
pub mod rootcoord;
pub mod rpc;
pub mod telemetry;
pub mod tso;
