//! Counts how often the mirror had to be loaded anew.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    election::observer::MirrorListener,
    etcd::mirror::{KeyRange, MirrorEvent},
    telemetry::metrics::Metrics,
};

/// See the module. The first loading is not one anew.
#[derive(Debug)]
pub(in crate::cli) struct ReloadCounter {
    metrics: Arc<Metrics>,
    loaded: AtomicBool,
}

impl ReloadCounter {
    /// Counts in `metrics`.
    pub(in crate::cli) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, loaded: AtomicBool::new(false) }
    }
}

impl MirrorListener for ReloadCounter {
    fn ranges(&self) -> Vec<KeyRange> {
        vec![]
    }

    fn hear(&self, event: &MirrorEvent) {
        if matches!(event, MirrorEvent::Loaded(_)) && self.loaded.swap(true, Ordering::Relaxed) {
            self.metrics.pair.mirror_resets.inc();
        }
    }
}
