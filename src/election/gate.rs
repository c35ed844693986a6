//! Whether this process may answer, right now.
//!
//! Etcd fences what is written to etcd. It cannot fence an answer from memory, a
//! message in the queue, a call to a worker, a delete in the object store. For
//! those a process needs, at the moment before it sends,
//!
//! * a *proof*: a linearizable read of the ACTIVE key that returned its own epoch,
//!   younger than W, counted from before the read was sent; and
//! * a lease that is valid by its own boot clock.
//!
//! Its successor waits W before it answers, unless it knows the process to be gone.
//!
//! The order is: take the value, then ask the gate, then send. No flag is cached:
//! the clock itself is compared, so a process that was stopped between two
//! instructions sees on waking that its time is over. A pause after the question
//! does no harm: the call was under way before, so it overlaps the next term.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use crate::{
    clock::{BootInstant, Clock},
    election::rules::{Rule, Rules},
    ids::Epoch,
};

/// Why the gate does not let an answer out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotServing {
    /// The term is over: another process is or will be ACTIVE. Push the client away.
    #[error("the term of epoch {0} is over")]
    Ended(Epoch),
    /// Still ACTIVE as far as known, but etcd did not confirm it in time. The call may be repeated here.
    #[error("etcd has not confirmed the term of epoch {0} in time")]
    Unproven(Epoch),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Open,
    NeedsProof,
    Ended,
}

/// How old a proof may be, and whether that is good enough.
#[derive(Clone, Copy, Debug)]
pub struct GateSettings {
    /// W: the age at which a proof no longer counts.
    pub proof_window: Duration,
    /// Every answer needs a proof that was sent after its call arrived.
    pub strict: bool,
    /// All of them, outside simulations.
    pub rules: Rules,
}

/// One term's permission to answer. Ends once and for all with the term.
#[derive(Debug)]
pub struct Gate {
    epoch: Epoch,
    settings: GateSettings,
    clock: Arc<dyn Clock>,
    /// Boot nanoseconds before the newest successful proof was sent.
    proven_at: AtomicU64,
    /// Boot nanoseconds up to which all standbys have promised not to depose by a hint.
    excused_until: AtomicU64,
    /// Boot nanoseconds at which the lease may be over.
    lease_until: AtomicU64,
    ended: AtomicBool,
    /// Set by each question: there is traffic worth refreshing the proof for.
    asked: AtomicBool,
    /// Wakes the prover.
    wanted: Notify,
    /// Wakes the calls that wait for a proof, or for the end.
    changed: Notify,
}

fn nanos(at: BootInstant) -> u64 {
    u64::try_from(at.since_boot().as_nanos()).unwrap_or(u64::MAX)
}

impl Gate {
    /// A gate that is still closed: it has no proof yet.
    pub fn new(epoch: Epoch, settings: GateSettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            epoch,
            settings,
            clock,
            proven_at: AtomicU64::new(0),
            excused_until: AtomicU64::new(0),
            lease_until: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            wanted: Notify::new(),
            changed: Notify::new(),
        }
    }

    /// The term.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// W.
    pub fn proof_window(&self) -> Duration {
        self.settings.proof_window
    }

    /// Which rules hold.
    pub fn rules(&self) -> Rules {
        self.settings.rules
    }

    fn judge(&self, now: BootInstant, arrived: BootInstant) -> Verdict {
        if self.ended.load(Ordering::Acquire) {
            return Verdict::Ended;
        }
        if !self.rules().hold(Rule::Proof) {
            return Verdict::Open;
        }
        let now = nanos(now);
        if now >= self.lease_until.load(Ordering::Acquire) {
            return Verdict::NeedsProof;
        }
        let proven_at = self.proven_at.load(Ordering::Acquire);
        let open = if self.settings.strict {
            proven_at != 0 && proven_at >= nanos(arrived)
        } else {
            let window = u64::try_from(self.settings.proof_window.as_nanos()).unwrap_or(u64::MAX);
            proven_at != 0 && now.saturating_sub(proven_at) < window
                || now < self.excused_until.load(Ordering::Acquire)
        };
        if open { Verdict::Open } else { Verdict::NeedsProof }
    }

    /// Lets an answer out whose value has been taken already, waiting for a fresh
    /// proof up to `within` if the newest is too old.
    ///
    /// `arrived` is when the call came in; only `strict` looks at it.
    ///
    /// # Errors
    /// [`NotServing`]; the value must then not be sent.
    pub async fn admit(&self, arrived: BootInstant, within: Duration) -> Result<(), NotServing> {
        self.asked.store(true, Ordering::Relaxed);
        match self.judge(self.clock.boot(), arrived) {
            Verdict::Open => return Ok(()),
            Verdict::Ended => return Err(NotServing::Ended(self.epoch)),
            Verdict::NeedsProof => {}
        }
        let wait = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                match self.judge(self.clock.boot(), arrived) {
                    Verdict::Open => return Ok(()),
                    Verdict::Ended => return Err(NotServing::Ended(self.epoch)),
                    Verdict::NeedsProof => self.wanted.notify_one(),
                }
                changed.await;
            }
        };
        tokio::time::timeout(within, wait).await.unwrap_or(Err(NotServing::Unproven(self.epoch)))
    }

    /// Waits, up to `within`, for a proof that was *sent* after this call: for answers
    /// that do damage if they are wrong.
    ///
    /// # Errors
    /// [`NotServing`].
    pub async fn admit_with_fresh_proof(&self, within: Duration) -> Result<(), NotServing> {
        let arrived = self.clock.boot();
        let wait = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if self.ended.load(Ordering::Acquire) {
                    return Err(NotServing::Ended(self.epoch));
                }
                let proven_at = self.proven_at.load(Ordering::Acquire);
                if proven_at != 0
                    && proven_at >= nanos(arrived)
                    && self.judge(self.clock.boot(), arrived) == Verdict::Open
                {
                    return Ok(());
                }
                self.wanted.notify_one();
                changed.await;
            }
        };
        tokio::time::timeout(within, wait).await.unwrap_or(Err(NotServing::Unproven(self.epoch)))
    }

    /// Whether an answer could go out now, without waiting and without asking for a proof.
    pub fn is_open(&self) -> bool {
        let now = self.clock.boot();
        self.judge(now, now) == Verdict::Open
    }

    /// A read of the ACTIVE key, sent at `sent`, returned the own epoch.
    pub fn proven(&self, sent: BootInstant) {
        self.proven_at.fetch_max(nanos(sent), Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// The lease is surely valid until then, by the own clock.
    pub fn lease_valid_until(&self, deadline: BootInstant) {
        self.lease_until.store(nanos(deadline), Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Every instance that could depose by a hint has promised not to before then.
    pub fn excuse_until(&self, deadline: BootInstant) {
        self.excused_until.fetch_max(nanos(deadline), Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// The term is over. Nothing goes out any more; waiting calls end.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.changed.notify_waiters();
        self.wanted.notify_one();
    }

    /// Waits until somebody needs a proof, or the term is over.
    pub async fn proof_wanted(&self) {
        self.wanted.notified().await;
    }

    /// Whether the gate was asked since the last look: if so, keep the proof fresh.
    pub fn take_asked(&self) -> bool {
        self.asked.swap(false, Ordering::Relaxed)
    }

    /// When the newest proof was sent; `None` before the first.
    pub fn newest_proof(&self) -> Option<BootInstant> {
        match self.proven_at.load(Ordering::Acquire) {
            0 => None,
            nanos => Some(BootInstant::from_boot(Duration::from_nanos(nanos))),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::clock::testing::Hand;

    const W: Duration = Duration::from_millis(100);
    const HOLD: Duration = Duration::from_secs(1);

    fn since_boot(millis: u64) -> Duration {
        Duration::from_secs(100) + Duration::from_millis(millis)
    }

    fn at(millis: u64) -> BootInstant {
        BootInstant::from_boot(since_boot(millis))
    }

    fn gate(strict: bool) -> (Gate, Arc<Hand>) {
        let clock = Arc::new(Hand::default());
        clock.set(since_boot(0));
        let settings = GateSettings { proof_window: W, strict, rules: Rules::default() };
        let gate = Gate::new(Epoch(61), settings, Arc::clone(&clock) as Arc<dyn Clock>);
        gate.lease_valid_until(at(5000));
        (gate, clock)
    }

    #[tokio::test]
    async fn a_young_proof_and_a_valid_lease_let_answers_out() {
        let (gate, clock) = gate(false);
        assert!(!gate.is_open());
        gate.proven(at(0));
        clock.set(since_boot(99));
        assert_eq!(gate.admit(at(99), HOLD).now_or_never(), Some(Ok(())));
    }

    #[tokio::test]
    async fn an_old_proof_makes_calls_wait_for_a_new_one() {
        let (gate, clock) = gate(false);
        gate.proven(at(0));
        clock.set(since_boot(100));
        let mut waiting = Box::pin(gate.admit(at(100), HOLD));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        gate.proof_wanted().now_or_never().expect("the prover is woken");
        gate.proven(at(100));
        assert_eq!(waiting.await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_proof_a_call_ends_unproven() {
        let (gate, _) = gate(false);
        assert_eq!(gate.admit(at(0), HOLD).await, Err(NotServing::Unproven(Epoch(61))));
    }

    #[tokio::test]
    async fn the_end_of_the_term_ends_waiting_calls_and_is_final() {
        let (gate, _) = gate(false);
        let mut waiting = Box::pin(gate.admit(at(0), HOLD));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        gate.end();
        assert_eq!(waiting.await, Err(NotServing::Ended(Epoch(61))));
        gate.proven(at(0));
        assert_eq!(gate.admit(at(0), HOLD).await, Err(NotServing::Ended(Epoch(61))));
    }

    #[tokio::test]
    async fn a_lease_that_may_be_over_closes_the_gate_whatever_was_promised() {
        let (gate, clock) = gate(false);
        gate.proven(at(4990));
        gate.excuse_until(at(9999));
        clock.set(since_boot(5000));
        assert!(!gate.is_open());
        gate.lease_valid_until(at(9000));
        assert!(gate.is_open());
    }

    #[tokio::test]
    async fn pledges_take_the_place_of_a_proof_until_they_end() {
        let (gate, clock) = gate(false);
        gate.proven(at(0));
        gate.excuse_until(at(600));
        clock.set(since_boot(599));
        assert!(gate.is_open());
        clock.set(since_boot(600));
        assert!(!gate.is_open());
    }

    #[tokio::test]
    async fn strict_answers_need_a_proof_sent_after_the_call_came() {
        let (gate, _) = gate(true);
        gate.proven(at(10));
        gate.excuse_until(at(600));
        assert_eq!(gate.admit(at(10), HOLD).now_or_never(), Some(Ok(())));
        assert_eq!(gate.admit(at(11), HOLD).now_or_never(), None);
    }

    #[tokio::test]
    async fn a_damaging_answer_waits_for_a_proof_sent_after_it() {
        let (gate, clock) = gate(false);
        gate.proven(at(0));
        clock.set(since_boot(5));
        let mut waiting = Box::pin(gate.admit_with_fresh_proof(HOLD));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        gate.proven(at(4));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        gate.proven(at(5));
        assert_eq!(waiting.await, Ok(()));
    }
}
