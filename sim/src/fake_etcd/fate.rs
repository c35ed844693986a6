//! What becomes of a proposal on its way into etcd's log, and of its answer on the way back.

use std::{ops::Range, time::Duration};

use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::{cluster::Proposal, record::Origin, store::Span};
use etcd_client::proto::{PbTxnOpRequest, PbTxnRequestOp};

/// What its proposer hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The answer.
    Answer,
    /// Nothing at all: the call hangs until its own time-out.
    Nothing,
    /// `etcdserver: request timed out`, although it was applied.
    TimedOut,
    /// The connection breaks, although it was applied.
    Disconnected,
}

/// One proposal's fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// How long it takes into the log. It gets there even if its proposer has given up.
    pub delay: Duration,
    /// It never gets there.
    pub lost: bool,
    /// What its proposer hears.
    pub heard: Heard,
}

impl Fate {
    /// Applied after `delay`, and answered.
    pub fn after(delay: Duration) -> Self {
        Self { delay, lost: false, heard: Heard::Answer }
    }
}

/// Which proposals.
#[derive(Clone, Debug)]
pub enum Matching {
    /// All.
    Any,
    /// Those that put or delete a key which begins so.
    Writing(Vec<u8>),
    /// Those that end a lease.
    Revokes,
}

/// A fate for chosen proposals.
#[derive(Clone, Debug)]
pub struct FateRule {
    /// Only from origins whose names begin so.
    pub from: Option<String>,
    /// Only these proposals.
    pub matching: Matching,
    /// What becomes of them.
    pub fate: Fate,
    /// For how many.
    pub times: u32,
}

/// How likely trouble is for a proposal that no rule names.
#[derive(Clone, Debug)]
pub struct Odds {
    /// Time into the log in good times.
    pub commit: Range<Duration>,
    /// Of taking much longer.
    pub late: f64,
    /// How much longer.
    pub late_by: Range<Duration>,
    /// Of getting lost.
    pub lost: f64,
    /// Of being applied with an answer that does not come, or says something else.
    pub unheard: f64,
    /// Time that a read or a keep-alive takes.
    pub read: Range<Duration>,
}

impl Default for Odds {
    fn default() -> Self {
        Self {
            commit: Duration::from_millis(1)..Duration::from_millis(4),
            late: 0.0,
            late_by: Duration::from_millis(100)..Duration::from_secs(4),
            lost: 0.0,
            unheard: 0.0,
            read: Duration::ZERO..Duration::from_millis(2),
        }
    }
}

impl Odds {
    /// Everything at once, without trouble.
    pub fn immediate() -> Self {
        Self {
            commit: Duration::ZERO..Duration::ZERO,
            read: Duration::ZERO..Duration::ZERO,
            ..Self::default()
        }
    }
}

/// Deals out fates, the same ones for the same seed.
#[derive(Debug)]
pub struct Fates {
    /// How likely trouble is.
    pub odds: Odds,
    rules: Vec<FateRule>,
    rng: SmallRng,
}

impl Fates {
    /// Fates by these odds.
    pub fn new(odds: Odds, seed: u64) -> Self {
        Self { odds, rules: Vec::new(), rng: SmallRng::seed_from_u64(seed) }
    }

    /// Adds a rule; earlier ones win.
    pub fn add_rule(&mut self, rule: FateRule) {
        self.rules.push(rule);
    }

    /// Drops all rules.
    pub fn clear_rules(&mut self) {
        self.rules.clear();
    }

    /// What becomes of this proposal.
    pub fn draw(&mut self, proposal: &Proposal, origin: &Origin) -> Fate {
        if let Some(at) = self.rules.iter().position(|rule| rule.names(proposal, origin)) {
            let fate = self.rules[at].fate;
            self.rules[at].times -= 1;
            if self.rules[at].times == 0 {
                self.rules.remove(at);
            }
            return fate;
        }
        let mut fate = Fate::after(self.between(&self.odds.commit.clone()));
        if self.chance(self.odds.late) {
            fate.delay += self.between(&self.odds.late_by.clone());
        }
        if self.chance(self.odds.lost) {
            fate.lost = true;
        } else if self.chance(self.odds.unheard) {
            fate.heard = match self.rng.random_range(0..3) {
                0 => Heard::Nothing,
                1 => Heard::TimedOut,
                _ => Heard::Disconnected,
            };
        }
        fate
    }

    /// How long a read or a keep-alive takes.
    pub fn draw_read(&mut self) -> Duration {
        self.between(&self.odds.read.clone())
    }

    fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.random_bool(probability)
    }

    fn between(&mut self, range: &Range<Duration>) -> Duration {
        if range.is_empty() { range.start } else { self.rng.random_range(range.clone()) }
    }
}

impl FateRule {
    fn names(&self, proposal: &Proposal, origin: &Origin) -> bool {
        self.times > 0
            && self.from.as_ref().is_none_or(|from| origin.name().starts_with(from.as_str()))
            && match &self.matching {
                Matching::Any => true,
                Matching::Writing(prefix) => writes_below(proposal, prefix),
                Matching::Revokes => matches!(proposal, Proposal::Revoke(_)),
            }
    }
}

fn writes_below(proposal: &Proposal, prefix: &[u8]) -> bool {
    // A deleted interval counts if it holds the prefix itself or begins below it.
    let deletes = |key: &[u8], end: &[u8]| key.starts_with(prefix) || Span::new(key, end).contains(prefix);
    let op = |op: &PbTxnRequestOp| match &op.request {
        Some(PbTxnOpRequest::RequestPut(put)) => put.key.starts_with(prefix),
        Some(PbTxnOpRequest::RequestDeleteRange(delete)) => deletes(&delete.key, &delete.range_end),
        _ => false,
    };
    match proposal {
        Proposal::Put(put) => put.key.starts_with(prefix),
        Proposal::Delete(delete) => deletes(&delete.key, &delete.range_end),
        Proposal::Txn(txn) => txn.success.iter().chain(&txn.failure).any(op),
        Proposal::Grant(_) | Proposal::Revoke(_) | Proposal::Compact(_) => false,
    }
}
