//! One of three etcd members lost.

use std::time::Instant;

use etcd_client::Client;
use milvus_coord_testbed::{bed::Bed, etcd::Options, load::Load};

use crate::bounds::{PROGRAM, SOON};

/// The member that leads.
async fn leader(bed: &Bed) -> usize {
    let endpoints = bed.etcd.endpoints();
    for (index, endpoint) in endpoints.iter().enumerate() {
        let mut client = Client::connect([endpoint], None).await.unwrap();
        let status = client.status().await.unwrap();
        if status.leader() == status.header().unwrap().member_id() {
            return index;
        }
    }
    panic!("nobody leads");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_member_is_missed_whichever_it_is() {
    let mut bed = Bed::with(PROGRAM, Options::members(3)).await;
    let (first, second) = bed.pair().await;
    let term = bed.active().await;
    let client = bed.client().await;
    let load = Load::under_way(&client, 100, SOON).await;

    // The leader each time: the others elect a new one.
    for round in 0..3 {
        let member = leader(&bed).await;
        bed.etcd.kill(member);
        let lost = Instant::now();
        load.success_since(lost, SOON).await;
        client.create_database(&format!("d{round}")).await.unwrap();
        bed.etcd.start_again(member).await.unwrap();
    }

    let history = load.stop().await;
    history.assert_ordered();
    history.assert_no_failures();
    assert_eq!(bed.active().await.revision, term.revision, "an election of etcd is no lost lease");
    assert_eq!(client.list_databases().await.unwrap(), ["d0", "d1", "d2", "default"]);
    assert!(first.process.ended().is_none() && second.process.ended().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_works_with_a_member_missing() {
    let mut bed = Bed::with(PROGRAM, Options::members(3)).await;
    let (first, second) = bed.pair().await;
    let client = bed.client().await;
    let load = Load::under_way(&client, 100, SOON).await;
    let member = leader(&bed).await;
    bed.etcd.kill(member);
    let killed = first.kill().await;
    second.serves(SOON).await;
    load.success_since(killed, SOON).await;
    load.stop().await.assert_ordered();
}
