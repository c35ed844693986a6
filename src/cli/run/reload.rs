//! The configuration files, read again while the process runs.

use std::sync::Arc;

use super::translate;
use crate::{
    config::{self, ConfigStore, Sources},
    ids::Role,
    telemetry::log::LogHandle,
};

/// The one key that is not read at each use and can follow all the same.
const LOG_LEVEL: &str = "log.level";

/// What it takes to do so.
#[derive(Clone, Debug)]
pub(super) struct Reload {
    /// Where the files are.
    pub(super) sources: Sources,
    /// Where their values go.
    pub(super) store: Arc<ConfigStore>,
    /// Whose settings they are.
    pub(super) role: Role,
    /// Follows its level.
    pub(super) log: LogHandle,
}

impl Reload {
    /// Takes over what can change while the process runs, and says what can't.
    pub(super) async fn run(&self) {
        let Self { sources, store, role, .. } = self.clone();
        let read = tokio::task::spawn_blocking(move || config::reload(&store, &sources, role));
        match read.await {
            Ok(Ok(changed)) => self.adopt(&changed),
            Ok(Err(error)) => {
                for problem in error.0 {
                    tracing::error!(%problem, "the configuration files are not taken over");
                }
            }
            Err(error) => tracing::error!(%error, "the configuration files could not be read"),
        }
    }

    fn adopt(&self, changed: &[config::Changed]) {
        for config::Changed { key, value, origin, at_once } in changed {
            if *key == LOG_LEVEL
                && let Some(level) = config::LogLevel::from_name(value)
            {
                self.log.set_level(translate::log_level(level));
            }
            if *at_once || *key == LOG_LEVEL {
                tracing::info!(key, value, %origin, "setting changed");
            } else {
                tracing::warn!(key, value, %origin, "setting changed: it counts from the next start on");
            }
        }
        tracing::info!(changed = changed.len(), "the configuration files were read again");
    }
}
