//! Users who call without a pause, and how long a kind of them was not served.

use std::time::Duration;

use milvus_coord_testbed::{cluster::Cluster, log::Mark, python::Program, python::Python};
use serde_json::Value;

/// How long they may take to get to work: they make collections and load one.
const PREPARATION: Duration = Duration::from_secs(180);

/// How long any kind may go without a success: longer than the real one's takeover.
const LIMIT: Duration = Duration::from_secs(240);

/// The kinds of calls, and what a table calls them.
pub(crate) const KINDS: [(&str, &str); 4] =
    [("ddl", "DDL"), ("insert", "insert"), ("search", "Strong search"), ("flush", "flush")];

/// A call that is over. Times are seconds of the monotonic clock.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    kind: String,
    begin: f64,
    end: f64,
    /// Why it failed.
    failure: Option<String>,
}

/// The users of one cluster, at work until they are dropped.
#[derive(Debug)]
pub(crate) struct Users {
    pub(crate) program: Program,
}

impl Users {
    pub(crate) async fn start(python: &Python, cluster: &Cluster) -> Self {
        let program = python.start("gaps", &["--uri", &cluster.proxy_uri()]);
        let ready = |report: &Value| report["event"] == "ready";
        program.wait(Mark::default(), "users at work", 1, PREPARATION, ready).await;
        Self { program }
    }

    pub(crate) fn mark(&self) -> Mark {
        self.program.process.log.mark()
    }

    /// Waits until each kind has succeeded with a call that began after `since`; `from` is
    /// a mark of before.
    ///
    /// # Panics
    /// When one doesn't within four minutes.
    pub(crate) async fn all_succeed(&self, from: Mark, since: f64) {
        for (kind, _) in KINDS {
            let good = |report: &Value| {
                call(report)
                    .is_some_and(|call| call.kind == kind && call.failure.is_none() && call.begin >= since)
            };
            self.program.wait(from, &format!("a successful call: {kind}"), 1, LIMIT, good).await;
        }
    }

    /// The calls that were over since `from`.
    pub(crate) fn calls(&self, from: Mark) -> Vec<Call> {
        self.program.reports(from).iter().filter_map(call).collect()
    }
}

fn call(report: &Value) -> Option<Call> {
    let failure = match report["outcome"].as_str()? {
        "ok" => None,
        _ => Some(report["text"].as_str().unwrap_or_default().to_owned()),
    };
    Some(Call {
        kind: report["op"].as_str()?.to_owned(),
        begin: report["begin"].as_f64()?,
        end: report["end"].as_f64()?,
        failure,
    })
}

/// The longest time between two successive successes of a kind, of which some part lies
/// between `from` and `to`. `None`: there are no two.
pub(crate) fn gap(calls: &[Call], kind: &str, from: f64, to: f64) -> Option<Duration> {
    let mut ends: Vec<f64> = calls
        .iter()
        .filter(|call| call.kind == kind && call.failure.is_none())
        .map(|call| call.end)
        .collect();
    ends.sort_by(f64::total_cmp);
    let gaps = ends.windows(2).filter(|pair| pair[1] > from && pair[0] < to).map(|pair| pair[1] - pair[0]);
    gaps.max_by(f64::total_cmp).map(Duration::from_secs_f64)
}

/// What calls failed of that ended between the two.
pub(crate) fn failures(calls: &[Call], from: f64, to: f64) -> Vec<String> {
    let within = calls.iter().filter(|call| (from..=to).contains(&call.end));
    within.filter_map(|call| Some(format!("{}: {}", call.kind, call.failure.as_ref()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(ends: &[(&str, f64, bool)]) -> Vec<Call> {
        let one = |&(kind, end, good): &(&str, f64, bool)| Call {
            kind: kind.to_owned(),
            begin: end,
            end,
            failure: (!good).then(|| "no".to_owned()),
        };
        ends.iter().map(one).collect()
    }

    #[test]
    fn a_gap_lies_between_two_successes_of_one_kind() {
        let calls = calls(&[
            ("ddl", 1.0, true),
            ("ddl", 2.0, true),
            ("insert", 2.1, true),
            ("ddl", 2.5, false),
            ("ddl", 3.5, true),
            ("ddl", 9.5, true),
        ]);
        assert_eq!(gap(&calls, "ddl", 1.5, 3.0), Some(Duration::from_secs_f64(1.5)));
        assert_eq!(gap(&calls, "ddl", 0.0, 20.0), Some(Duration::from_secs(6)));
        assert_eq!(gap(&calls, "insert", 0.0, 20.0), None, "a single success bounds none");
        assert_eq!(gap(&calls, "ddl", 9.6, 20.0), None);
    }

    #[test]
    fn a_call_that_fails_counts_in_the_window_of_its_end() {
        let calls = calls(&[("ddl", 1.0, false), ("ddl", 2.0, true), ("flush", 3.0, false)]);
        assert_eq!(failures(&calls, 0.5, 2.5), ["ddl: no"]);
        assert_eq!(failures(&calls, 0.5, 3.0), ["ddl: no", "flush: no"]);
    }
}
