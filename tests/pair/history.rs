//! Past takeovers, kept for operators.

use milvus_coord_testbed::{
    bed::{Bed, ROOT},
    keys,
};
use serde_json::Value;

use crate::{
    bounds::{FAST, LEASE, LONG_LEASE, PROGRAM, SOON},
    commands::{milvus_coord, rows, text},
};

async fn takeovers(bed: &Bed, arguments: &[&str]) -> Vec<Value> {
    rows(&milvus_coord(bed, &[&["history", "rootcoord", "--json"], arguments].concat(), None).await)
}

/// The history once it has that many takeovers: they are added after their terms have begun to serve.
async fn wait_for(bed: &Bed, many: usize) -> Vec<Value> {
    let is_takeover = |(_, value): &keys::Pair| !value.starts_with(b"[\"garbage");
    let enough = |pairs: &[keys::Pair]| pairs.iter().filter(|pair| is_takeover(pair)).count() >= many;
    let prefix = format!("{ROOT}/kv/milvus-coord/history/rootcoord/");
    keys::wait(&bed.store().await, &prefix, "takeovers", SOON, enough).await;
    takeovers(bed, &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_takeover_has_a_row_and_the_newest_is_first() {
    let bed = Bed::new(PROGRAM).await;
    let plan = |name: &str| bed.plan(name).set(LEASE, LONG_LEASE);
    let (mut active, mut standby) = bed.pair_of(plan("first"), plan("second")).await;
    // In etcd, and no takeover.
    let garbage = format!("{ROOT}/kv/milvus-coord/history/rootcoord/00000000000000000001");
    bed.store().await.put(garbage, "[\"garbage\"]", None).await.unwrap();

    let mut expected = vec![(None, active.address())];
    for round in 1..=3 {
        wait_for(&bed, round).await;
        active.kill().await;
        standby.serves(FAST).await;
        expected.insert(0, (Some(active.address()), standby.address()));
        let fresh = active.plan().start();
        fresh.standby().await;
        active = std::mem::replace(&mut standby, fresh);
    }
    let found = wait_for(&bed, 4).await;
    let address = |party: &Value| party["address"].as_str().map(str::to_owned);
    let moves: Vec<_> =
        found.iter().map(|row| (address(&row["from"]), address(&row["to"]).unwrap())).collect();
    assert_eq!(moves, expected);
    let terms: Vec<_> = bed.audit().await.iter().rev().map(|term| Value::from(term.from)).collect();
    assert_eq!(found.iter().map(|row| row["epoch"].clone()).collect::<Vec<_>>(), terms);
    assert_eq!(found[3]["reason"], "start");
    for row in &found[..3] {
        assert!(["certain", "hint"].contains(&row["reason"].as_str().unwrap()), "{row}");
        let stages = &row["stages_ms"];
        let sum: f64 = ["deposed", "won", "caught_up", "serving"]
            .iter()
            .map(|stage| stages[stage].as_f64().unwrap_or_else(|| panic!("no {stage} in {row}")))
            .sum();
        assert!((row["total_ms"].as_f64().unwrap() - sum).abs() < 0.1, "{row}");
        assert!(row["at_ms"].as_i64().unwrap() > 1_600_000_000_000, "{row}");
    }
    assert_eq!(takeovers(&bed, &["--limit", "1"]).await, found[..1]);

    let output = milvus_coord(&bed, &["history", "rootcoord"], None).await;
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(table.lines().count(), 5, "{table}");
    assert!(String::from_utf8(output.stderr).unwrap().contains("1 values below"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_over_is_told_as_one() {
    let bed = Bed::new(PROGRAM).await;
    let (first, second) = bed.pair().await;
    // Unlike SIGTERM it waits for the standby's stream.
    let output = milvus_coord(&bed, &["switchover", "rootcoord"], None).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    bed.wait_active(&second, FAST).await;
    let found = wait_for(&bed, 2).await;
    assert_eq!(found[0]["reason"], "hand-over");
    assert_eq!(found[0]["from"]["address"], first.address());
}
