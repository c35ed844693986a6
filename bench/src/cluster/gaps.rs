//! What users notice when the ACTIVE rootcoord ends or hands over.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use milvus_coord_bench::{
    party::Party,
    report::{Report, Times},
};
use milvus_coord_testbed::{
    cluster::Cluster, instance::SOON, log::Mark, progress::Progress, python::monotonic,
};

use crate::{
    options::Options,
    users::{KINDS, Users, failures, gap},
};

/// How long a rootcoord may take to serve: the real one waits for a lease, then loads.
const TAKEOVER: Duration = Duration::from_secs(240);

/// How long it may take to end when asked to.
const STOP: Duration = Duration::from_secs(60);

/// What the cluster is left alone for when two rootcoords are there again: takeovers
/// are rare.
const SETTLE: Duration = Duration::from_secs(1);

/// How many failed calls are told of in words.
const TOLD: usize = 5;

/// What happens to the ACTIVE rootcoord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Kill,
    Term,
    Switchover,
}

impl Fault {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Kill => "kill -9",
            Self::Term => "SIGTERM",
            Self::Switchover => "switchover",
        }
    }
}

/// What was measured of faults of one kind.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    takeover: Times,
    gaps: BTreeMap<&'static str, Times>,
    without: BTreeMap<&'static str, Times>,
    failures: Vec<String>,
}

/// A cluster whose users are at work.
#[derive(Debug)]
pub(crate) struct Trial<'a> {
    pub(crate) cluster: Cluster,
    pub(crate) users: Users,
    pub(crate) options: &'a Options,
    pub(crate) progress: Progress,
}

impl Trial<'_> {
    /// That many faults, one after the other.
    pub(crate) async fn faults(&mut self, fault: Fault, rounds: usize) -> Measured {
        let mut measured = Measured::default();
        for round in 1..=rounds {
            let mark = self.quiet(&mut measured).await;
            let told = self.fault(fault, mark, &mut measured).await;
            self.progress.say(&format!("{} {round} of {rounds}: {told}", fault.title()));
        }
        measured
    }

    /// The gaps without a fault. Returns a mark behind which each kind has succeeded: one end
    /// of the gap that a fault makes.
    async fn quiet(&self, measured: &mut Measured) -> Mark {
        let (mark, from) = (self.users.mark(), monotonic());
        tokio::time::sleep(Duration::from_secs(self.options.before)).await;
        self.users.all_succeed(mark, from).await;
        let (calls, to) = (self.users.calls(mark), monotonic());
        for (kind, title) in KINDS {
            if let Some(gap) = gap(&calls, kind, from, to) {
                measured.without.entry(title).or_default().add(gap);
            }
        }
        measured.failures.extend(failures(&calls, from, to));
        mark
    }

    /// Inflicts one, waits until all is well and two rootcoords are there again. Tells
    /// what was seen.
    async fn fault(&mut self, fault: Fault, mark: Mark, measured: &mut Measured) -> String {
        let active = self.cluster.active(SOON).await;
        let other = 1 - active;
        let log = self.cluster.rootcoord(other).process.log.clone();
        let (line, from) = (log.mark(), monotonic());
        let signalled = match fault {
            Fault::Kill => self.cluster.kill(active).await,
            Fault::Term => self.cluster.rootcoord(active).terminate(),
            Fault::Switchover => self.cluster.switchover().await,
        };
        let serves = log.wait(line, "RootCoord startup success", TAKEOVER).await.at;
        let takeover = serves.saturating_duration_since(signalled);
        measured.takeover.add(takeover);
        self.users.all_succeed(mark, from).await;
        tokio::time::sleep_until((signalled + Duration::from_secs(self.options.after)).into()).await;
        let (calls, to) = (self.users.calls(mark), monotonic());
        let mut told = vec![format!("takeover {takeover:.1?}")];
        for (kind, title) in KINDS {
            if let Some(gap) = gap(&calls, kind, from, to) {
                measured.gaps.entry(title).or_default().add(gap);
                told.push(format!("{title} {gap:.2?}"));
            }
        }
        let failed = failures(&calls, from, to);
        told.push(format!("{} failed", failed.len()));
        measured.failures.extend(failed);
        self.repair(fault, active).await;
        told.join(", ")
    }

    /// Two of them again.
    async fn repair(&mut self, fault: Fault, gone: usize) {
        let begun = Instant::now();
        match fault {
            Fault::Kill => self.cluster.start_again(gone).standby().await,
            Fault::Term => {
                self.cluster.rootcoord(gone).process.exit(STOP).await;
                self.cluster.start_again(gone).standby().await
            }
            Fault::Switchover => begun,
        };
        tokio::time::sleep(SETTLE).await;
    }
}

impl Measured {
    /// Into the table, below `what`.
    pub(crate) fn tell(&self, what: &str, party: Party, report: &mut Report) {
        for (_, title) in KINDS {
            if let Some(gaps) = self.gaps.get(title) {
                report.gaps(&format!("{what}: gap of {title}"), party, gaps);
            }
        }
        report.count(&format!("{what}: failed calls"), party, self.failures.len());
        report.gaps(&format!("{what}: the takeover itself"), party, &self.takeover);
        for (_, title) in KINDS {
            if let Some(gaps) = self.without.get(title) {
                report.gaps(&format!("  before {what}: gap of {title}"), party, gaps);
            }
        }
        for failure in self.failures.iter().take(TOLD) {
            report.remark(format!("{what}, {}: failed: {failure}", party.name()));
        }
    }
}
