//! Configuration: where settings come from, what they may be, and their typed form.
//!
//! In falling precedence a key's value comes from this process itself, from etcd
//! (below `<root>/config/`), from the environment, from the files, from fallback keys,
//! from its default. [`table`] lists every key. [`Config::load`] reads everything that
//! is there before etcd is; a watch feeds the rest into the [`ConfigStore`].

mod check;
mod dynamic;
mod elsewhere;
mod environment;
mod files;
mod key;
mod kind;
mod live;
mod nearest;
mod origin;
mod quota;
mod reader;
mod reload;
mod sample;
mod scalar;
mod secret;
mod settings;
mod show;
mod source;
mod store;
pub mod table;
mod yaml;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

pub(crate) use self::secret::is_secret;
pub use self::{
    check::{CheckReport, EffectiveValue, check},
    dynamic::ConfigEvent,
    environment::process_environment,
    kind::{Kind, Unit},
    live::Live,
    origin::{ConfigError, Note, Origin, Problem},
    reload::{Changed, reload},
    sample::sample,
    secret::{MASK, Secret},
    settings::*,
    store::ConfigStore,
};
use crate::ids::Role;

/// Where to look for settings.
#[derive(Clone, Default)]
pub struct Sources {
    /// What `--config` names: a file or a folder.
    pub config: Option<PathBuf>,
    /// The environment, in its order.
    pub environment: Vec<(String, String)>,
    /// The working directory.
    pub working_directory: PathBuf,
}

/// The environment may hold secrets.
impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources")
            .field("config", &self.config)
            .field("working_directory", &self.working_directory)
            .finish_non_exhaustive()
    }
}

impl Sources {
    /// Those of this process.
    pub fn of_process(config: Option<&Path>) -> Self {
        Self {
            config: config.map(Into::into),
            environment: process_environment(),
            working_directory: std::env::current_dir().unwrap_or_default(),
        }
    }
}

/// The configuration of one process.
#[derive(Clone, Debug)]
pub struct Config {
    /// All sources, for what is read at each use and for ShowConfigurations.
    pub store: Arc<ConfigStore>,
    /// What counts at the start.
    pub settings: Settings,
    /// What an operator should know; to be logged as soon as there is a log.
    pub notes: Vec<Note>,
    /// The files that were read, in rising precedence.
    pub files: Vec<PathBuf>,
}

impl Config {
    /// Reads files and environment for a process of that role.
    ///
    /// # Errors
    /// Everything that is wrong, not only the first: broken files, wrong values. Each
    /// problem names key, place, and what would be right.
    pub fn load(sources: &Sources, role: Role) -> Result<Self, ConfigError> {
        let (store, files, mut notes, mut problems) = read_sources(sources);
        let read = Settings::read(&store, role);
        match read {
            Ok((settings, more)) if problems.is_empty() => {
                notes.extend(more);
                Ok(Self { store: Arc::new(store), settings, notes, files })
            }
            Ok(_) => Err(ConfigError(problems)),
            Err(more) => {
                problems.extend(more.0);
                Err(ConfigError(problems))
            }
        }
    }

    /// Takes over what etcd holds when the process starts, as `(key after <root>/config/,
    /// value)`. How etcd itself is reached stays. A combination of values that cannot be
    /// is not taken over; the log says so.
    pub fn adopt_dynamic(&mut self, values: impl IntoIterator<Item = (String, String)>) {
        self.store.load_dynamic(values);
        match Settings::read(&self.store, self.settings.role) {
            Ok((settings, _)) => {
                let etcd = self.settings.etcd.clone();
                self.settings = Settings { etcd, ..settings };
            }
            Err(error) => {
                for problem in error.0 {
                    tracing::warn!(%problem, "wrong settings in etcd, those of files and environment stay");
                }
            }
        }
    }

    /// The settings that count as soon as they change.
    pub fn live(&self) -> Live {
        Live::new(Arc::clone(&self.store))
    }
}

fn read_sources(sources: &Sources) -> (ConfigStore, Vec<PathBuf>, Vec<Note>, Vec<Problem>) {
    let (mut notes, mut problems) = (Vec::new(), Vec::new());
    let environment = environment::layer(&sources.environment, &mut notes);
    let files = files::load(
        sources.config.as_deref(),
        &sources.environment,
        &sources.working_directory,
        &mut problems,
        &mut notes,
    );
    (ConfigStore::new(environment, files.layers), files.read, notes, problems)
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
