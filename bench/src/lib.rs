//! milvus-coord beside the real coordinators, measured in one run on one machine.
//!
//! * `pair-bench`: rootcoords alone on an etcd: takeover, timestamps, memory.
//! * `cluster-bench`: a whole cluster with users: how long they are not served.
//!
//! What both programs share is here: who is measured, what can be chosen, the figures and their table.

pub mod duration;
pub mod machine;
pub mod options;
pub mod party;
pub mod report;
pub mod terminal;
