//! Real servers for tests: started on free ports, steered (stopped, frozen, killed,
//! cut off), and gone with the test, however it ends.
//!
//! * [`etcd`]: real etcd servers; [`instance`]: coordinators, ours or the real ones.
//! * [`bed`]: an etcd with instances on it; [`audit`]: etcd's whole history, checked; [`keys`]:
//!   what stands there, waited for.
//! * [`kafka`], [`pulsar`]: message queues; [`queue`]: either.
//! * [`cluster`]: a whole Milvus; [`python`]: its users, as programs;
//!   [`progress`]: where such long tests are.
//! * [`session`], [`grpc`], [`follower`]: what a Milvus component sees of them.
//! * [`load`], [`history`]: callers that write down what they see, and the promises
//!   it is held against.
//! * [`namespaces`], [`proxy`], [`faketime`]: networks and clocks that fail on command.
//!
//! What goes wrong in the test bed itself panics: it ends the test, and the message
//! carries the end of the log concerned.

pub mod audit;
pub mod bed;
pub mod catalog;
pub mod certificates;
pub mod cluster;
pub mod etcd;
pub mod faketime;
pub mod follower;
pub mod grpc;
pub mod history;
pub mod http;
pub mod instance;
pub mod kafka;
pub mod keys;
mod leash;
pub mod load;
pub mod log;
pub mod namespaces;
pub mod oracle;
pub mod ports;
pub mod process;
pub mod progress;
pub mod proxy;
pub mod pulsar;
pub mod python;
pub mod queue;
pub mod role;
pub mod session;
pub mod skip;
