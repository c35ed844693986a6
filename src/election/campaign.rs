//! The transaction in which a candidate takes the ACTIVE key, as data.
//!
//! It compares the very term that the verdict was about (or the key's absence) and
//! the timestamp and id windows as the mirror showed them; it puts the key under the
//! candidate's lease and the windows of the new term. All or nothing, at one revision:
//! that revision is the epoch.
//!
//! If no answer comes, the same transaction is sent again: its compares fail once it,
//! or anybody else's, has been applied, and what the failed one reads tells which.

use crate::{
    election::{
        core::Stake,
        life::CampaignEnd,
        rules::{Rule, Rules},
    },
    etcd::txn::{Guard, KeyValue, Op, Txn, TxnOutcome},
    ids::{Epoch, LeaseId, Revision},
};

/// One candidacy's transaction.
#[derive(Clone, Debug)]
pub struct Candidacy {
    active_key: String,
    value: Vec<u8>,
    lease: LeaseId,
    txn: Txn,
}

/// A window as it is in etcd, for planning anew.
pub type SeenWindow = (String, Option<KeyValue>);

impl Candidacy {
    /// The transaction against the term `against`, or against an absent key.
    pub fn new(
        active_key: &str,
        value: Vec<u8>,
        lease: LeaseId,
        against: Option<Epoch>,
        stake: Stake,
        rules: Rules,
    ) -> Self {
        let mut guards = vec![match against {
            Some(epoch) => Guard::ModIs(active_key.to_owned(), epoch.revision()),
            None => Guard::Absent(active_key.to_owned()),
        }];
        let mut otherwise = vec![active_key.to_owned()];
        otherwise.extend(stake.guards.iter().map(|guard| guard.key().to_owned()));
        if rules.hold(Rule::WindowCompare) {
            guards.extend(stake.guards);
        }
        let mut then = vec![Op::Put { key: active_key.to_owned(), value: value.clone(), lease: Some(lease) }];
        then.extend(stake.puts);
        Self { active_key: active_key.to_owned(), value, lease, txn: Txn { guards, then, otherwise } }
    }

    /// What is sent, the first time and every time.
    pub fn txn(&self) -> &Txn {
        &self.txn
    }

    /// What an answer means. Windows come back where they were not as planned.
    pub fn read(&self, outcome: TxnOutcome) -> (CampaignEnd, Vec<SeenWindow>) {
        match outcome {
            TxnOutcome::Done(header) => (CampaignEnd::Won(Epoch(header.revision.0)), vec![]),
            TxnOutcome::GuardFailed(_, mut seen) => {
                let active = if seen.is_empty() { None } else { seen.remove(0) };
                if let Some(own) = active.as_ref().filter(|kv| self.is_own(kv)) {
                    // An earlier sending was applied, and its answer lost.
                    return (CampaignEnd::Won(Epoch(own.mod_revision.0)), vec![]);
                }
                if self.fits(active.as_ref()) {
                    let windows = self.txn.otherwise[1..].iter().cloned().zip(seen).collect();
                    (CampaignEnd::Outdated, windows)
                } else {
                    // The mirror will come to where that was put; a deletion it will show anyway.
                    let since = active.map_or(Revision(0), |kv| kv.mod_revision);
                    (CampaignEnd::Lost(since), vec![])
                }
            }
        }
    }

    /// Leases are used for one candidacy, so value and lease together name it.
    fn is_own(&self, kv: &KeyValue) -> bool {
        kv.lease == self.lease && kv.value == self.value
    }

    fn fits(&self, active: Option<&KeyValue>) -> bool {
        self.txn.guards.iter().filter(|guard| guard.key() == self.active_key).all(|guard| match guard {
            Guard::ModIs(_, revision) => active.is_some_and(|kv| kv.mod_revision == *revision),
            Guard::Absent(_) => active.is_none(),
            Guard::ValueIs(..) | Guard::ValueBelow(..) => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::call::Header;

    const KEY: &str = "by-dev/meta/session/rootcoord";
    const WINDOW: &str = "by-dev/kv/gid/timestamp";

    fn stake() -> Stake {
        Stake {
            guards: vec![Guard::ModIs(WINDOW.to_owned(), Revision(40))],
            puts: vec![Op::put(WINDOW, vec![1])],
        }
    }

    fn candidacy(against: Option<Epoch>) -> Candidacy {
        Candidacy::new(KEY, b"me".to_vec(), LeaseId(9), against, stake(), Rules::default())
    }

    fn held(value: &[u8], lease: i64, revision: i64) -> Option<KeyValue> {
        Some(KeyValue {
            key: KEY.to_owned(),
            value: value.to_vec(),
            create_revision: Revision(1),
            mod_revision: Revision(revision),
            lease: LeaseId(lease),
        })
    }

    fn window(revision: i64) -> Option<KeyValue> {
        Some(KeyValue { key: WINDOW.to_owned(), mod_revision: Revision(revision), ..KeyValue::default() })
    }

    fn failed(active: Option<KeyValue>, window: Option<KeyValue>) -> TxnOutcome {
        let header = Header { revision: Revision(77), ..Header::default() };
        TxnOutcome::GuardFailed(header, vec![active, window])
    }

    #[test]
    fn it_compares_the_victims_term_and_the_windows_and_sets_both() {
        assert_eq!(
            *candidacy(Some(Epoch(50))).txn(),
            Txn {
                guards: vec![
                    Guard::ModIs(KEY.to_owned(), Revision(50)),
                    Guard::ModIs(WINDOW.to_owned(), Revision(40)),
                ],
                then: vec![
                    Op::Put { key: KEY.to_owned(), value: b"me".to_vec(), lease: Some(LeaseId(9)) },
                    Op::put(WINDOW, vec![1]),
                ],
                otherwise: vec![KEY.to_owned(), WINDOW.to_owned()],
            }
        );
        assert_eq!(candidacy(None).txn().guards[0], Guard::Absent(KEY.to_owned()));
    }

    #[test]
    fn answers_are_told_apart() {
        let against = candidacy(Some(Epoch(50)));
        let header = Header { revision: Revision(60), ..Header::default() };
        assert_eq!(against.read(TxnOutcome::Done(header)).0, CampaignEnd::Won(Epoch(60)));
        // Somebody else was faster.
        assert_eq!(against.read(failed(held(b"you", 8, 55), window(40))).0, CampaignEnd::Lost(Revision(55)));
        assert_eq!(against.read(failed(None, window(40))).0, CampaignEnd::Lost(Revision(0)));
        // The first sending was applied, its answer lost.
        assert_eq!(against.read(failed(held(b"me", 9, 58), window(58))).0, CampaignEnd::Won(Epoch(58)));
        // An own value of an earlier candidacy is not this one.
        assert_eq!(against.read(failed(held(b"me", 3, 58), window(58))).0, CampaignEnd::Lost(Revision(58)));
        // The victim extended a window in the meantime.
        assert_eq!(
            against.read(failed(held(b"you", 8, 50), window(45))),
            (CampaignEnd::Outdated, vec![(WINDOW.to_owned(), window(45))])
        );
        assert_eq!(
            candidacy(None).read(failed(None, None)),
            (CampaignEnd::Outdated, vec![(WINDOW.to_owned(), None)])
        );
    }
}
