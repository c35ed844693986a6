//! Real servers on loopback for tests: started on free ports, steered (stopped, frozen,
//! killed), and gone with the test, however it ends.

pub mod etcd;
mod leash;
