//! Limits that real proxies keep, and users are told of, also after a takeover.

use std::time::Duration;

use milvus_coord_testbed::{
    bed::ROOT,
    cluster::{Cluster, Options},
    log::Mark,
    or_skip,
    oracle::Oracle,
    progress::Progress,
    python::Python,
};

use crate::ours;

/// How long one answer may be waited for, on a busy machine.
const LIMIT: Duration = Duration::from_secs(180);

/// What the proxy says, by the limit in megabytes.
fn too_fast(megabytes: f64) -> String {
    format!("rate limit exceeded[rate={}]", megabytes * 1024.0 * 1024.0)
}

/// Inserts until that is told.
async fn inserts(cluster: &Cluster, python: &Python, megabytes: Option<f64>, until: &str) {
    let mut arguments = vec!["--uri".to_owned(), cluster.proxy_uri(), "--until".to_owned(), until.to_owned()];
    if let Some(megabytes) = megabytes {
        arguments.extend(["--megabytes".to_owned(), megabytes.to_string()]);
    }
    let program = python.start("limits", &arguments);
    let exit = program.exit(LIMIT).await;
    assert_eq!(exit.code, Some(0), "{}", program.process.log.tail(60));
    for report in program.reports(Mark::default()) {
        Progress::of("limits").say(&report.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_keep_the_limits_that_each_active_one_tells() {
    let (oracle, python) = (or_skip!(Oracle::find()), or_skip!(Python::find()));
    let cluster = Cluster::start(&oracle, Options::new([ours(), ours()])).await;
    let mut etcd = cluster.etcd().client().await.expect("a client of etcd");
    let denied = "the writing has been deactivated by the administrator";
    let key = format!("{ROOT}/config/quotaAndLimits/limitWriting/forceDeny");

    inserts(&cluster, &python, Some(0.005), &too_fast(0.005)).await;
    etcd.put(key.as_str(), "true", None).await.expect("etcd takes it");
    inserts(&cluster, &python, None, denied).await;

    let active = cluster.active(LIMIT).await;
    cluster.kill(active).await;
    cluster.wait_active(1 - active, LIMIT).await;
    inserts(&cluster, &python, None, denied).await;
    etcd.delete(key.as_str(), None).await.expect("etcd takes it");
    inserts(&cluster, &python, None, "ok").await;
    inserts(&cluster, &python, Some(0.0025), &too_fast(0.0025)).await;
}
