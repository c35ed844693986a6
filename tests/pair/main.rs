//! The pair as an operator meets it: real processes on a real etcd, killed, frozen,
//! cut off and misled. One file per behaviour; each test states a promise.

#![expect(
    clippy::disallowed_methods,
    reason = "a test has the machine's clock, and a hand that reaches into etcd"
)]

mod active_key;
mod big_catch_up;
mod bounds;
mod clock;
mod commands;
mod compaction;
mod etcd_login;
mod etcd_outage;
mod etcd_tls;
mod exclusive;
mod five;
mod foreign_write;
mod freeze;
mod garbage;
mod history;
mod hooks;
mod kill;
mod late_etcd;
mod log_lines;
mod lost_member;
mod no_space;
mod one_host;
mod partition;
mod pause;
mod priority;
mod restart;
mod restored_etcd;
mod routing;
mod sigterm;
mod silent_queue;
mod standby;
mod window;
