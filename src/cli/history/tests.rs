use super::*;
use crate::{
    cli::testing::{Cluster, keys},
    election::history::Stages,
    etcd::txn::{Op, Txn},
    ids::Epoch,
};

const ROLE: Role = Role::RootCoord;

fn party_of(id: i64) -> Party {
    Party { server_id: id, address: format!("10.0.0.{id}:53100") }
}

fn killed() -> Takeover {
    Takeover {
        epoch: 61,
        at_ms: 1_795_224_737_123,
        reason: "certain".to_owned(),
        from: Some(party_of(7)),
        to: party_of(12),
        stages_ms: Stages {
            detected: Some(0.31),
            deposed: Some(0.0),
            won: Some(2.25),
            caught_up: Some(0.4),
            serving: Some(1.04),
        },
        total_ms: 3.69,
    }
}

fn started() -> Takeover {
    Takeover {
        epoch: 5,
        at_ms: 1_795_224_000_000,
        reason: "start".to_owned(),
        from: None,
        to: party_of(7),
        stages_ms: Stages { won: Some(1500.0), ..Stages::default() },
        total_ms: 1500.0,
    }
}

async fn put(cluster: &Cluster, epoch: i64, value: Vec<u8>) {
    let op = Op::put(keys().takeover(ROLE, Epoch(epoch)), value);
    cluster.etcd.txn(Txn { then: vec![op], ..Txn::default() }, LIMIT).await.unwrap();
}

async fn run(cluster: &Cluster, limit: usize, json: bool) -> (String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let options = HistoryOptions { role: ROLE, limit, json };
    let exit = history(&cluster.etcd, &keys(), options, &mut out, &mut err).await.unwrap();
    assert_eq!(exit, Exit::Done);
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn columns_are_aligned() {
    assert_eq!(
        table(&[killed(), started()], &TimeZone::UTC),
        "\
TIME                 REASON   FROM                 TO                     EPOCH  TOTAL  DETECTED  DEPOSED  WON    CAUGHT UP  SERVING
2026-11-21 01:32:17  certain  7 at 10.0.0.7:53100  12 at 10.0.0.12:53100  61     3.7ms  0.3ms     0.0ms    2.2ms  0.4ms      1.0ms
2026-11-21 01:20:00  start    -                    7 at 10.0.0.7:53100    5      1.50s  -         -        1.50s  -          -
"
    );
}

#[tokio::test]
async fn the_newest_come_first_and_garbage_is_left_out() {
    let cluster = Cluster::start().await;
    assert_eq!(run(&cluster, 20, false).await.0, "no takeover of rootcoord is known\n");
    put(&cluster, 5, started().encode()).await;
    put(&cluster, 61, killed().encode()).await;
    put(&cluster, 50, b"{\"epoch\":".to_vec()).await;
    put(&cluster, 51, vec![0xff]).await;

    let (json, err) = run(&cluster, 20, true).await;
    let shown: serde_json::Value = serde_json::from_str(&json).unwrap();
    let field =
        |name: &str| shown.as_array().unwrap().iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(field("epoch"), [61, 5]);
    assert_eq!(field("reason"), ["certain", "start"]);
    assert_eq!(shown[0]["from"]["server_id"], 7);
    assert!(shown[0]["at"].as_str().unwrap().starts_with("2026-11-2"), "{json}");
    assert_eq!(
        err,
        "2 values below by-dev/kv/milvus-coord/history/rootcoord/ can not be read and are left out\n"
    );
    let (text, _) = run(&cluster, 1, false).await;
    assert_eq!(text.lines().count(), 2, "{text}");
}
