//! The pair as an operator meets it: real processes on a real etcd, killed, frozen,
//! cut off and misled. One file per behaviour; each test states a promise.

mod active_key;
mod bounds;
mod clock;
mod compaction;
mod etcd_login;
mod etcd_outage;
mod etcd_tls;
mod exclusive;
mod five;
mod freeze;
mod garbage;
mod kill;
mod late_etcd;
mod lost_member;
mod no_space;
mod one_host;
mod partition;
mod restart;
mod sigterm;
mod standby;
