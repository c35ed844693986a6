//! The real Milvus 2.3.5 rootcoord and ours, side by side: one sequence of calls over every
//! method that is served, run against each, on an etcd and a Kafka of its own and among peers
//! that are played. Then each rootcoord on what the other one wrote.
//!
//! Where the two shall differ is listed in [`differences`], with the reason; everything else
//! is the same, and what is listed does differ.

#![expect(clippy::disallowed_methods, reason = "a test has the machine's clock, and etcd to itself")]

mod calls;
mod differences;
mod fields;
mod outage;
mod peers;
mod quotas;
mod reading;
mod run;
mod side;
mod store;
mod topics;
mod transcript;
mod wire;

use std::collections::BTreeSet;

use milvus_coord_testbed::or_skip;

use crate::differences::check;

#[test]
fn every_method_that_is_served_is_called() {
    let called: BTreeSet<String> = calls::all().iter().map(|call| call.method.to_owned()).collect();
    let served: BTreeSet<String> = run::served().into_iter().collect();
    assert_eq!(called, served);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_the_same() {
    check(&differences::answers(), &or_skip!(run::report().await).answers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_are_asked_the_same_later() {
    check(&differences::peers(), &or_skip!(run::report().await).peers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_values_in_etcd_are_the_same() {
    check(&differences::keys(), &or_skip!(run::report().await).keys);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_the_same() {
    check(&differences::messages(), &or_skip!(run::report().await).messages);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standbys_answer_the_same() {
    check(&differences::standby(), &or_skip!(run::report().await).standby);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_one_reads_what_ours_wrote() {
    check(&differences::real_after_ours(), &or_skip!(run::report().await).real_after_ours);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ours_reads_what_a_real_one_wrote() {
    check(&differences::ours_after_real(), &or_skip!(run::report().await).ours_after_real);
}
