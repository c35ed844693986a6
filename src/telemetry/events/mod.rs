//! What happens to an instance that operators look for: one function each, which writes
//! its log lines and counts its metrics.
//!
//! Lines that Milvus writes too have its exact message and fields, because people and
//! tools search for them. Where Milvus 2.3.5 says it in other words than the releases
//! that its guide quotes, both are written, the guide's first. The order of the functions
//! is the order of the lines in a life that goes well.

mod hooks;
mod leaving;
mod operator;
mod standby;
mod takeover;
mod trouble;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use milvus_proto::common::StateCode;
use nix::sys::signal::Signal;
use tracing::{debug, info, warn};

pub use self::{hooks::HookRun, standby::KeyValueText, takeover::Takeover};
use crate::{
    ids::{Role, ServerId},
    telemetry::{metrics::Metrics, words::Phase},
};

/// Tells what happens to the instance of a role. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Events {
    role: Role,
    metrics: Arc<Metrics>,
}

/// What a reload has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Databases.
    pub databases: usize,
    /// Collections.
    pub collections: usize,
    /// Partitions of all collections.
    pub partitions: usize,
}

impl Events {
    /// Those of a process that is `role`.
    pub fn new(role: Role, metrics: Arc<Metrics>) -> Self {
        Self { role, metrics }
    }

    /// Where they are counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The server id is known.
    pub fn server_started(&self, id: ServerId, address: &str) {
        info!(name = self.role.name(), address, id = id.0, "start server");
    }

    /// The instance is in another phase. Only rootcoord's state code has a line.
    pub fn phase_changed(&self, phase: Phase, code: StateCode) {
        self.metrics.pair.phase(phase);
        if self.role == Role::RootCoord {
            info!(state = code.as_str_name(), "update rootcoord state");
        } else {
            debug!(state = code.as_str_name(), "update {} state", self.role);
        }
    }

    /// A signal asks the process to end.
    pub fn exit_signal(&self, signal: Signal) {
        warn!(signal = signal_name(signal), "Get signal to exit");
    }

    /// It begins to end.
    pub fn stopping(&self) {
        warn!("stop processing");
    }

    /// It has ended: nothing was left undone.
    pub fn stopped(&self) {
        info!("All coordinators have stopped");
        info!("Milvus components graceful stop done");
    }
}

/// A signal by the name that Go gives it.
fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::SIGHUP => "hangup",
        Signal::SIGINT => "interrupt",
        Signal::SIGQUIT => "quit",
        Signal::SIGTERM => "terminated",
        other => other.as_str(),
    }
}
