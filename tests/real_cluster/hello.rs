//! Everything a user does with collections, once, each answer checked.

use std::time::{Duration, Instant};

use milvus_coord_testbed::{
    cluster::{Cluster, Options, Rootcoord},
    or_skip,
    oracle::Oracle,
    python::Python,
};

/// How long all steps together may take, on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

/// The program of the crate under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_milvus-coord");

async fn hello(oracle: &Oracle, python: &Python, rootcoords: &[Rootcoord]) {
    let cluster = Cluster::start(oracle, Options::new(rootcoords)).await;
    let begin = Instant::now();
    let program = python.start("hello", &["--uri", &cluster.proxy_uri()]);
    let exit = program.exit(LIMIT).await;
    assert_eq!(exit.code, Some(0), "{}", program.process.log.tail(60));

    // Shown with `--nocapture`: what a run costs.
    for report in program.reports(Default::default()) {
        eprintln!("    {report}");
    }
    for (name, bytes) in cluster.memory() {
        eprintln!("    {name}: {} MB", bytes >> 20);
    }
    let total: u64 = cluster.memory().iter().map(|(_, bytes)| bytes).sum();
    eprintln!(
        "    cluster ready after {:.1?}, hello took {:.1?}, {} MB in all",
        cluster.ready_after(),
        begin.elapsed(),
        total >> 20
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_rootcoord_serves_it_all() {
    let (oracle, python) = (or_skip!(Oracle::find()), or_skip!(Python::find()));
    hello(&oracle, &python, &[Rootcoord::Real]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "rootcoord serves no collections yet"]
async fn our_pair_serves_it_all() {
    let (oracle, python) = (or_skip!(Oracle::find()), or_skip!(Python::find()));
    let ours = || Rootcoord::Ours(PROGRAM.into());
    hello(&oracle, &python, &[ours(), ours()]).await;
}
