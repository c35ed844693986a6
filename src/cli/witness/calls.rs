//! Counts the calls that did not go straight to a handler.

use std::{sync::Arc, time::Duration};

use crate::{
    rpc::gatehouse::{Hooks, PushAway},
    telemetry::{metrics::Metrics, words::CallOutcome},
};

/// See the module.
#[derive(Debug)]
pub(in crate::cli) struct CallCounter(Arc<Metrics>);

impl CallCounter {
    /// Counts in `metrics`.
    pub(in crate::cli) fn new(metrics: Arc<Metrics>) -> Self {
        Self(metrics)
    }
}

impl Hooks for CallCounter {
    fn waited(&self, _path: &str, _time: Duration, _in_vain: bool) {
        self.0.pair.call(CallOutcome::Held);
    }

    fn forwarded(&self, _path: &str, _answered: bool) {
        self.0.pair.call(CallOutcome::Forwarded);
    }

    fn pushed_away(&self, _path: &str, _why: PushAway) {
        self.0.pair.call(CallOutcome::PushedAway);
    }
}
