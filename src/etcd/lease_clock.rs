//! Until when a lease is surely valid, by the own clock.
//!
//! Etcd counts a lease's time from some moment after a keep-alive was sent, so a
//! deadline counted from the sending can only be early. But who answered? An etcd
//! leader that the others have given up goes on answering keep-alives, of which its
//! successor knows nothing. So a keep-alive is *answered* at first, and *confirmed*
//! once a linearizable read that was sent after its answer has come back with the
//! same raft term: then the leader that answered was still the leader.

use std::{collections::VecDeque, time::Duration};

use crate::clock::BootInstant;

/// How many answers wait for their confirmation. Newer ones say more than older ones.
const UNCONFIRMED: usize = 8;

/// A keep-alive with its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Renewal {
    pub(crate) sent: BootInstant,
    pub(crate) answered: BootInstant,
    pub(crate) ttl: Duration,
    pub(crate) raft_term: u64,
}

#[derive(Clone, Copy, Debug)]
struct Unconfirmed {
    answered: BootInstant,
    raft_term: u64,
    until: BootInstant,
}

#[derive(Debug)]
pub(crate) struct LeaseClock {
    margin: Duration,
    answered_until: BootInstant,
    confirmed_until: BootInstant,
    unconfirmed: VecDeque<Unconfirmed>,
}

impl LeaseClock {
    /// A grant goes through the majority, so it needs no confirmation.
    pub(crate) fn granted(sent: BootInstant, ttl: Duration, margin: Duration) -> Self {
        let until = sent + ttl.saturating_sub(margin);
        Self { margin, answered_until: until, confirmed_until: until, unconfirmed: VecDeque::new() }
    }

    pub(crate) fn answered_until(&self) -> BootInstant {
        self.answered_until
    }

    pub(crate) fn confirmed_until(&self) -> BootInstant {
        self.confirmed_until
    }

    /// Counts a keep-alive's answer. `false`: it comes from an etcd leader that has been
    /// succeeded (`highest_term` is the highest raft term seen), and counts for nothing.
    pub(crate) fn renewed(&mut self, renewal: Renewal, highest_term: u64) -> bool {
        if renewal.raft_term < highest_term {
            return false;
        }
        let until = renewal.sent + renewal.ttl.saturating_sub(self.margin);
        self.answered_until = self.answered_until.max(until);
        if self.unconfirmed.len() == UNCONFIRMED {
            self.unconfirmed.pop_front();
        }
        let Renewal { answered, raft_term, .. } = renewal;
        self.unconfirmed.push_back(Unconfirmed { answered, raft_term, until });
        true
    }

    /// A linearizable read that was sent at `sent` came back with `raft_term`.
    /// `true`: more of the lease is confirmed now.
    pub(crate) fn confirm(&mut self, sent: BootInstant, raft_term: u64) -> bool {
        let newest = self
            .unconfirmed
            .iter()
            .rposition(|renewal| renewal.answered <= sent && renewal.raft_term == raft_term);
        let Some(newest) = newest else { return false };
        let until = self.unconfirmed[newest].until;
        self.unconfirmed.drain(..=newest);
        let more = until > self.confirmed_until;
        self.confirmed_until = self.confirmed_until.max(until);
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> BootInstant {
        BootInstant::from_boot(Duration::from_millis(millis))
    }

    fn renewal(sent: u64, raft_term: u64) -> Renewal {
        Renewal { sent: at(sent), answered: at(sent + 10), ttl: Duration::from_secs(5), raft_term }
    }

    fn clock() -> LeaseClock {
        LeaseClock::granted(at(0), Duration::from_secs(5), Duration::from_millis(100))
    }

    #[track_caller]
    fn check(clock: &LeaseClock, answered: u64, confirmed: u64) {
        assert_eq!((clock.answered_until(), clock.confirmed_until()), (at(answered), at(confirmed)));
    }

    #[test]
    fn a_grant_is_confirmed_and_counts_from_its_sending() {
        check(&clock(), 4_900, 4_900);
    }

    #[test]
    fn a_keep_alive_is_confirmed_by_a_later_read_of_its_term() {
        let mut clock = clock();
        assert!(clock.renewed(renewal(1_000, 3), 3));
        check(&clock, 5_900, 4_900);
        assert!(!clock.confirm(at(1_005), 3), "sent before the answer");
        assert!(!clock.confirm(at(1_020), 4), "another leader");
        check(&clock, 5_900, 4_900);
        assert!(clock.confirm(at(1_020), 3));
        check(&clock, 5_900, 5_900);
    }

    #[test]
    fn a_given_up_leader_renews_nothing() {
        let mut clock = clock();
        assert!(!clock.renewed(renewal(1_000, 3), 4));
        check(&clock, 4_900, 4_900);
    }

    #[test]
    fn keep_alives_of_a_leader_that_is_succeeded_stay_unconfirmed() {
        let mut clock = clock();
        assert!(clock.renewed(renewal(1_000, 3), 3));
        assert!(clock.renewed(renewal(2_000, 3), 3));
        assert!(clock.confirm(at(1_500), 3));
        check(&clock, 6_900, 5_900);
        assert!(!clock.confirm(at(2_500), 4));
        assert!(clock.renewed(renewal(3_000, 4), 4));
        assert!(clock.confirm(at(3_500), 4));
        check(&clock, 7_900, 7_900);
    }

    #[test]
    fn waiting_answers_are_bounded() {
        let mut clock = clock();
        for n in 0..100 {
            assert!(clock.renewed(renewal(n * 10, 3), 3));
        }
        assert_eq!(clock.unconfirmed.len(), UNCONFIRMED);
        assert!(clock.confirm(at(2_000), 3));
        check(&clock, 5_890, 5_890);
    }
}
