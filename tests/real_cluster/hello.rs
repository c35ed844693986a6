//! Everything a user does with collections, once, each answer checked.

use std::time::Duration;

use milvus_coord_testbed::{
    cluster::{Cluster, Options, Rootcoord},
    log::Mark,
    or_skip,
    oracle::Oracle,
    progress::Progress,
    python::Python,
    queue::Queue,
};

use crate::ours;

/// How long all steps together may take, on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

/// After so many steps the ACTIVE rootcoord is killed, if it is to be: there are collections
/// and rows then.
const STEPS_BEFORE_KILL: usize = 4;

async fn hello(cluster: &Cluster, python: &Python, kill: bool) {
    let progress = Progress::of("hello");
    let program = python.start("hello", &["--uri", &cluster.proxy_uri()]);
    if kill {
        let step = |report: &serde_json::Value| report["step"].is_string();
        program.wait(Mark::default(), "steps", STEPS_BEFORE_KILL, LIMIT, step).await;
        let active = cluster.active(LIMIT).await;
        cluster.kill(active).await;
        cluster.wait_active(1 - active, LIMIT).await;
        progress.say(&format!("rootcoord {active} was killed, and the other one took over"));
    }
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
    hello(&Cluster::start(&oracle, Options::new([Rootcoord::Real])).await, &python, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_pair_serves_it_all() {
    let (oracle, python) = (or_skip!(Oracle::find()), or_skip!(Python::find()));
    hello(&Cluster::start(&oracle, Options::new([ours(), ours()])).await, &python, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_pair_serves_it_all_on_pulsar_while_the_active_one_is_killed() {
    let (oracle, python) = (or_skip!(Oracle::find_with_pulsar()), or_skip!(Python::find()));
    let options = Options::new([ours(), ours()]).queue(Queue::Pulsar);
    hello(&Cluster::start(&oracle, options).await, &python, true).await;
}
