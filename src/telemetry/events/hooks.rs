//! What becomes of operators' commands.

use std::time::Duration;

use tracing::{debug, info, warn};

use crate::{
    ids::Epoch,
    telemetry::{
        events::Events,
        log::GoDuration,
        words::{Hook, HookEnd},
    },
};

/// One run of a hook, once it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRun {
    /// What became of it.
    pub end: HookEnd,
    /// In words: its exit code, the signal, why it could not be started.
    pub status: String,
    /// From before its start to its end.
    pub took: Duration,
    /// The last that it has written.
    pub output: String,
}

impl Events {
    /// A hook begins.
    pub fn hook_begun(&self, hook: Hook, reason: &str, epoch: Option<Epoch>) {
        debug!(hook = hook.name(), reason, epoch = epoch.map(|epoch| epoch.0), "hook begins");
    }

    /// A hook is over.
    pub fn hook_ended(&self, hook: Hook, reason: &str, run: &HookRun) {
        self.metrics.pair.hook(hook, run.end);
        let (hook, status, took) = (hook.name(), run.status.as_str(), GoDuration(run.took));
        let output = Some(run.output.as_str()).filter(|output| !output.is_empty());
        match run.end {
            HookEnd::Done => info!(hook, reason, status, took = %took, output, "hook ended"),
            HookEnd::Failed | HookEnd::Killed | HookEnd::NotStarted | HookEnd::LeftOut => {
                warn!(hook, reason, status, took = %took, output, "hook failed");
            }
        }
    }

    /// A hook was outdated before it could begin.
    pub fn hook_left_out(&self, hook: Hook, reason: &str) {
        self.metrics.pair.hook(hook, HookEnd::LeftOut);
        info!(hook = hook.name(), reason, "hook is left out: a newer one is due");
    }
}
