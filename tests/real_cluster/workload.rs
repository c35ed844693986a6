//! Users at work on a cluster, and their verdict.

use std::time::Duration;

use milvus_coord_testbed::{
    cluster::Cluster,
    log::Mark,
    progress::Progress,
    python::{Program, Python},
};
use serde_json::Value;

/// How long the users may take to get to work: they make collections and load them.
const PREPARATION: Duration = Duration::from_secs(180);

/// How long they may take to finish their calls and to check everything.
const CHECK: Duration = Duration::from_secs(900);

/// What must be acknowledged before a fault, and after it: these need rootcoord, each in
/// its own way. A flush takes too long to be waited for in each round.
const KINDS: [&str; 11] = [
    "create_collection",
    "describe_collection",
    "drop_collection",
    "rename_collection",
    "create_partition",
    "create_alias",
    "create_database",
    "insert",
    "delete",
    "query",
    "search",
];

/// How many calls of any kind must be acknowledged before a fault is of interest.
const ENOUGH: usize = 100;

/// The users, who are at work until [`verdict`](Self::verdict).
pub(crate) struct Workload {
    program: Program,
}

impl Workload {
    pub(crate) async fn start(python: &Python, cluster: &Cluster, seed: u64) -> Self {
        let uri = cluster.proxy_uri();
        let seed = (seed % 1_000_000).to_string();
        let program = python.start("workload", &["--uri", &uri, "--seed", &seed]);
        let ready = |report: &Value| report["event"] == "ready";
        program.wait(Mark::default(), "users at work", 1, PREPARATION, ready).await;
        Self { program }
    }

    /// A place in what the users report.
    pub(crate) fn mark(&self) -> Mark {
        self.program.process.log.mark()
    }

    /// Waits until enough calls that began after `since` (monotonic seconds) were
    /// acknowledged, some of each kind. `from` is a mark taken before `since`.
    ///
    /// # Panics
    /// When they aren't within `limit`.
    pub(crate) async fn traffic(&self, from: Mark, since: f64, limit: Duration) {
        let acknowledged = |report: &Value| {
            report["outcome"] == "ok" && report["begin"].as_f64().is_some_and(|begin| begin >= since)
        };
        let each = async {
            for kind in KINDS {
                let what = format!("acknowledged {kind}");
                let of_kind = |report: &Value| report["op"] == kind && acknowledged(report);
                self.program.wait(from, &what, 1, limit, of_kind).await;
            }
        };
        let all = self.program.wait(from, "acknowledged calls", ENOUGH, limit, acknowledged);
        tokio::join!(each, all);
    }

    /// Ends the work; the users check everything.
    ///
    /// # Panics
    /// When what they were told does not hold.
    pub(crate) async fn verdict(self, progress: &Progress) {
        let violated = self.program.reports(Mark::default());
        let violated: Vec<&Value> = violated.iter().filter(|report| !report["violation"].is_null()).collect();
        progress.say(&format!("the users finish and check; violations so far: {violated:?}"));
        self.program.stop();
        let is_it = |report: &Value| report["event"] == "verdict";
        let verdict = self.program.wait(Mark::default(), "a verdict", 1, CHECK, is_it).await.remove(0);
        for (kind, counts) in verdict["operations"].as_object().expect("counts by kind") {
            progress.say(&format!("{kind}: {counts}"));
        }
        progress.say(&format!("failed calls: {}", verdict["failures"]));
        progress.say(&format!("{} checks, {} s of work", verdict["checks"], verdict["seconds"]));
        assert_eq!(verdict["holds"], true, "{:#}", verdict["violations"]);
    }
}
