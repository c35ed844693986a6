//! Everything a user does with collections, once, each answer checked.

use std::time::Duration;

use milvus_coord_testbed::{
    cluster::{Cluster, Options, Rootcoord},
    log::Mark,
    or_skip,
    oracle::Oracle,
    progress::Progress,
    python::Python,
};

use crate::ours;

/// How long all steps together may take, on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

async fn hello(oracle: &Oracle, python: &Python, rootcoords: &[Rootcoord]) {
    let cluster = Cluster::start(oracle, Options::new(rootcoords)).await;
    let progress = Progress::of("hello");
    let program = python.start("hello", &["--uri", &cluster.proxy_uri()]);
    let exit = program.exit(LIMIT).await;
    assert_eq!(exit.code, Some(0), "{}", program.process.log.tail(60));

    let steps = program.reports(Mark::default());
    let seconds =
        |step: &serde_json::Value| format!("{} {}", step["step"].as_str().unwrap(), step["seconds"]);
    progress.say(&steps.iter().map(seconds).collect::<Vec<_>>().join(", "));
    let memory: u64 = cluster.memory().iter().map(|(_, bytes)| bytes).sum();
    progress.say(&format!("done; the cluster has {} MB of memory", memory >> 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_rootcoord_serves_it_all() {
    let (oracle, python) = (or_skip!(Oracle::find()), or_skip!(Python::find()));
    hello(&oracle, &python, &[Rootcoord::Real]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_pair_serves_it_all() {
    let (oracle, python) = (or_skip!(Oracle::find()), or_skip!(Python::find()));
    hello(&oracle, &python, &[ours(), ours()]).await;
}
