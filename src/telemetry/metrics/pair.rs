//! The metrics of the pair: terms, takeovers, proofs, mirror, calls.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use crate::{
    ids::{Epoch, Revision},
    telemetry::{
        metrics::{
            names,
            register::{OptionalGauge, Register},
        },
        words::{CallOutcome, Hook, HookEnd, Phase, ProofResult, Stage, TakeoverCause, TermEnd},
    },
};

/// What is measured when somebody looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveFigures {
    /// Since the newest proof was sent; `None` outside a term.
    pub proof_age: Option<Duration>,
    /// For how long the own lease is surely valid; `None` without one.
    pub lease_left: Option<Duration>,
    /// Up to where the mirror is complete; `None` before its first snapshot.
    pub mirror_revision: Option<Revision>,
    /// How many revisions etcd is known to be ahead of that.
    pub mirror_lag: Option<u64>,
}

/// Shown by every role.
#[derive(Debug)]
pub struct PairMetrics {
    /// Times that the mirror was loaded anew.
    pub mirror_resets: IntCounter,
    /// Own writes that the fence refused.
    pub deposed_writes: IntCounter,
    /// Values that are skipped now.
    pub undecodable_values: IntGauge,
    /// Log lines that were lost; for [`log::start`](crate::telemetry::log::start).
    pub log_lines_dropped: IntCounter,
    pub(in crate::telemetry) self_fencings: IntCounter,
    pub(in crate::telemetry) leases_lost: IntCounter,
    pub(in crate::telemetry) foreign_writes: IntCounter,
    pub(in crate::telemetry) undecodable: IntCounter,
    paused: IntGauge,
    etcd_available: IntGauge,
    phase: IntGaugeVec,
    epoch: OptionalGauge,
    term_changes: IntCounterVec,
    takeover: HistogramVec,
    proofs: IntCounterVec,
    proof_age: OptionalGauge,
    lease_left: OptionalGauge,
    mirror_revision: OptionalGauge,
    mirror_lag: OptionalGauge,
    calls: IntCounterVec,
    hooks: IntCounterVec,
}

impl PairMetrics {
    pub(super) fn new(register: &Register<'_>) -> Self {
        let metrics = Self {
            mirror_resets: register.int_counter(&names::MIRROR_RESETS),
            deposed_writes: register.int_counter(&names::DEPOSED_WRITES),
            undecodable_values: register.int_gauge(&names::UNDECODABLE_VALUES),
            log_lines_dropped: register.int_counter(&names::LOG_LINES_DROPPED),
            self_fencings: register.int_counter(&names::SELF_FENCINGS),
            leases_lost: register.int_counter(&names::LEASES_LOST),
            foreign_writes: register.int_counter(&names::FOREIGN_WRITES),
            undecodable: register.int_counter(&names::UNDECODABLE),
            paused: register.int_gauge(&names::PAUSED),
            etcd_available: register.int_gauge(&names::ETCD_AVAILABLE),
            phase: register.int_gauges(&names::PHASE),
            epoch: register.optional(&names::EPOCH),
            term_changes: register.counters(&names::TERM_CHANGES),
            takeover: register.histograms(&names::TAKEOVER_SECONDS),
            proofs: register.counters(&names::PROOFS),
            proof_age: register.optional(&names::PROOF_AGE),
            lease_left: register.optional(&names::LEASE_LEFT),
            mirror_revision: register.optional(&names::MIRROR_REVISION),
            mirror_lag: register.optional(&names::MIRROR_LAG),
            calls: register.counters(&names::CALLS),
            hooks: register.counters(&names::HOOKS),
        };
        // Series that alerts look at exist from the start: a rate needs the zero before the one.
        for outcome in CallOutcome::ALL {
            metrics.calls.with_label_values(&[outcome.name()]);
        }
        for result in ProofResult::ALL {
            metrics.proofs.with_label_values(&[result.name()]);
        }
        for hook in Hook::ALL {
            for end in HookEnd::ALL {
                metrics.hooks.with_label_values(&[hook.name(), end.name()]);
            }
        }
        for cause in TakeoverCause::ALL {
            metrics.term_changes.with_label_values(&["begin", cause.name()]);
        }
        for end in TermEnd::ALL {
            metrics.term_changes.with_label_values(&["end", end.name()]);
        }
        metrics.phase(Phase::Starting);
        metrics
    }

    /// The phase that the process is in from now on.
    pub fn phase(&self, current: Phase) {
        for phase in Phase::ALL {
            self.phase.with_label_values(&[phase.name()]).set(i64::from(*phase == current));
        }
    }

    /// A call was forwarded, held or pushed away.
    pub fn call(&self, outcome: CallOutcome) {
        self.calls.with_label_values(&[outcome.name()]).inc();
    }

    pub(in crate::telemetry) fn hook(&self, hook: Hook, end: HookEnd) {
        self.hooks.with_label_values(&[hook.name(), end.name()]).inc();
    }

    /// The ACTIVE key was read to prove the own term.
    pub fn proof(&self, result: ProofResult) {
        self.proofs.with_label_values(&[result.name()]).inc();
    }

    pub(in crate::telemetry) fn term_began(&self, epoch: Epoch, cause: TakeoverCause) {
        self.term_changes.with_label_values(&["begin", cause.name()]).inc();
        self.epoch.set(Some(epoch.0 as f64));
    }

    pub(in crate::telemetry) fn term_ended(&self, end: TermEnd) {
        self.term_changes.with_label_values(&["end", end.name()]).inc();
        self.epoch.set(None);
    }

    pub(in crate::telemetry) fn stage(&self, stage: Stage, took: Duration) {
        self.takeover.with_label_values(&[stage.name()]).observe(took.as_secs_f64());
    }

    pub(in crate::telemetry) fn takeover_total(&self, took: Duration) {
        self.takeover.with_label_values(&["total"]).observe(took.as_secs_f64());
    }

    pub(in crate::telemetry) fn paused(&self, paused: bool) {
        self.paused.set(i64::from(paused));
    }

    pub(in crate::telemetry) fn etcd_available(&self, available: bool) {
        self.etcd_available.set(i64::from(available));
    }

    pub(super) fn set_live(&self, live: &LiveFigures) {
        self.proof_age.set(live.proof_age.map(|age| age.as_secs_f64()));
        self.lease_left.set(live.lease_left.map(|left| left.as_secs_f64()));
        self.mirror_revision.set(live.mirror_revision.map(|revision| revision.0 as f64));
        self.mirror_lag.set(live.mirror_lag.map(|lag| lag as f64));
    }
}
