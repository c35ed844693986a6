//! Whether it is still the same etcd that answers.
//!
//! A restored backup, or another cluster behind the same address, shows in what every
//! answer carries: another cluster id, a revision below one that was seen before, or
//! a raft term that stays below one that was seen before. Only linearizable answers
//! may be judged by the last two, and only against what was known *before* the call
//! was sent: answers overtake each other, and a member that lags behind answers what
//! is not linearizable with old numbers.

use std::time::Duration;

use crate::{clock::BootInstant, etcd::call::Header, ids::Revision};

/// How long linearizable answers may show a lower raft term than was seen before. A
/// candidate that loses its election shows a higher one for as long as that takes.
const LOWER_TERM_LIMIT: Duration = Duration::from_secs(10);

/// The etcd that answers at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Counts how often another etcd, or an older state of it, was met. Whoever built
    /// something on what etcd said remembers this number, and starts over when it changes.
    pub incarnation: u64,
    /// Etcd's own id; 0 before the first answer.
    pub cluster_id: u64,
    /// The highest that a linearizable answer carried. Members that are cut off may
    /// show higher ones; those mean nothing.
    pub raft_term: u64,
}

/// What was known before a call was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    incarnation: u64,
    /// No linearizable answer may carry less.
    pub(crate) revision: Revision,
    raft_term: u64,
}

/// Something that must not happen to an etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Incident {
    #[error("another etcd cluster answers: {now:x}, before {was:x}")]
    OtherCluster { was: u64, now: u64 },
    #[error("etcd went back from revision {was} to {now}")]
    RevisionWentBack { was: Revision, now: Revision },
    #[error("etcd went back from raft term {was} to {now}")]
    TermWentBack { was: u64, now: u64 },
}

/// Judges the headers of all answers.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    cluster: Cluster,
    revision: Revision,
    lower_term_since: Option<BootInstant>,
}

impl Tracker {
    pub(crate) fn cluster(&self) -> Cluster {
        self.cluster
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// To be taken before a call is sent.
    pub(crate) fn floor(&self) -> Floor {
        Floor {
            incarnation: self.cluster.incarnation,
            revision: self.revision,
            raft_term: self.cluster.raft_term,
        }
    }

    /// An answer of a call that went through the cluster's majority.
    pub(crate) fn linearizable(
        &mut self,
        floor: &Floor,
        header: Header,
        now: BootInstant,
    ) -> Option<Incident> {
        if floor.incarnation != self.cluster.incarnation {
            // Says something of an etcd that has been given up.
            return None;
        }
        if let Some(incident) = self.judge(floor, header, now) {
            self.start_over(header);
            return Some(incident);
        }
        self.cluster.cluster_id = header.cluster_id;
        self.cluster.raft_term = self.cluster.raft_term.max(header.raft_term);
        self.revision = self.revision.max(header.revision);
        None
    }

    fn judge(&mut self, floor: &Floor, header: Header, now: BootInstant) -> Option<Incident> {
        if let Some(incident) = self.judge_id(header) {
            return Some(incident);
        }
        if header.revision < floor.revision {
            return Some(Incident::RevisionWentBack { was: floor.revision, now: header.revision });
        }
        if header.raft_term >= floor.raft_term {
            self.lower_term_since = None;
            return None;
        }
        let since = *self.lower_term_since.get_or_insert(now);
        (now.since(since) >= LOWER_TERM_LIMIT)
            .then_some(Incident::TermWentBack { was: floor.raft_term, now: header.raft_term })
    }

    fn judge_id(&self, header: Header) -> Option<Incident> {
        let was = self.cluster.cluster_id;
        (was != 0 && header.cluster_id != was)
            .then_some(Incident::OtherCluster { was, now: header.cluster_id })
    }

    /// An answer of a single member: of its numbers only the cluster id counts, and
    /// its revision as something that etcd has.
    pub(crate) fn local(&mut self, floor: &Floor, header: Header) -> Option<Incident> {
        if floor.incarnation != self.cluster.incarnation {
            return None;
        }
        if let Some(incident) = self.judge_id(header) {
            self.start_over(Header { raft_term: 0, ..header });
            return Some(incident);
        }
        if self.cluster.cluster_id != 0 {
            self.revision = self.revision.max(header.revision);
        }
        None
    }

    fn start_over(&mut self, header: Header) {
        let incarnation = self.cluster.incarnation + 1;
        self.cluster = Cluster { incarnation, cluster_id: header.cluster_id, raft_term: header.raft_term };
        self.revision = header.revision;
        self.lower_term_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(cluster_id: u64, revision: i64, raft_term: u64) -> Header {
        Header { cluster_id, member_id: 1, revision: Revision(revision), raft_term }
    }

    fn at(seconds: u64) -> BootInstant {
        BootInstant::from_boot(Duration::from_secs(seconds))
    }

    /// One call after the other.
    #[track_caller]
    fn check(answers: &[(u64, Header)], incidents: &[Option<Incident>]) {
        let mut tracker = Tracker::default();
        let seen: Vec<_> = answers
            .iter()
            .map(|&(second, header)| {
                let floor = tracker.floor();
                tracker.linearizable(&floor, header, at(second))
            })
            .collect();
        assert_eq!(seen, incidents);
    }

    #[test]
    fn an_ordinary_life_has_no_incidents() {
        check(
            &[(0, header(1, 5, 2)), (1, header(1, 5, 2)), (2, header(1, 9, 3)), (3, header(1, 9, 3))],
            &[None; 4],
        );
    }

    #[test]
    fn another_cluster_is_noticed_once() {
        let other = Incident::OtherCluster { was: 1, now: 2 };
        check(
            &[(0, header(1, 5, 2)), (1, header(2, 9, 2)), (2, header(2, 9, 2))],
            &[None, Some(other), None],
        );
    }

    #[test]
    fn a_restored_backup_is_noticed_once() {
        let back = Incident::RevisionWentBack { was: Revision(5), now: Revision(3) };
        check(&[(0, header(1, 5, 2)), (1, header(1, 3, 2)), (2, header(1, 3, 2))], &[None, Some(back), None]);
    }

    #[test]
    fn a_lower_term_counts_only_when_it_stays() {
        let back = Incident::TermWentBack { was: 7, now: 6 };
        check(
            &[
                (0, header(1, 5, 7)),
                (1, header(1, 5, 6)),
                (5, header(1, 6, 7)),
                (6, header(1, 7, 6)),
                (15, header(1, 7, 6)),
                (16, header(1, 7, 6)),
                (17, header(1, 7, 6)),
            ],
            &[None, None, None, None, None, Some(back), None],
        );
    }

    #[test]
    fn answers_may_overtake_each_other() {
        let mut tracker = Tracker::default();
        let first = tracker.floor();
        let second = tracker.floor();
        assert_eq!(tracker.linearizable(&second, header(1, 9, 2), at(0)), None);
        assert_eq!(tracker.linearizable(&first, header(1, 5, 2), at(0)), None);
        assert_eq!(tracker.revision(), Revision(9));
    }

    #[test]
    fn late_answers_of_a_given_up_cluster_are_ignored() {
        let mut tracker = Tracker::default();
        let floor = tracker.floor();
        assert_eq!(tracker.linearizable(&floor, header(1, 9, 2), at(0)), None);
        let late = tracker.floor();
        let floor = tracker.floor();
        assert!(tracker.linearizable(&floor, header(2, 5, 2), at(0)).is_some());
        assert_eq!(tracker.linearizable(&late, header(1, 9, 2), at(0)), None);
        assert_eq!(tracker.cluster(), Cluster { incarnation: 1, cluster_id: 2, raft_term: 2 });
    }

    #[test]
    fn a_lagging_member_is_no_incident() {
        let mut tracker = Tracker::default();
        let floor = tracker.floor();
        assert_eq!(tracker.linearizable(&floor, header(1, 9, 4), at(0)), None);
        let floor = tracker.floor();
        assert_eq!(tracker.local(&floor, header(1, 5, 9)), None);
        assert_eq!(tracker.cluster().raft_term, 4);
        assert!(tracker.local(&floor, header(2, 5, 9)).is_some());
    }
}
