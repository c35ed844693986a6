//! Where a value comes from, and what is wrong with it.

use std::{fmt, path::Path, sync::Arc};

/// Where a value comes from, in falling precedence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Set by this process itself.
    Process,
    /// A key below `<root>/config/` in etcd.
    Etcd(String),
    /// An environment variable.
    Variable(String),
    /// A line of a file.
    File(Arc<Path>, usize),
    /// The built-in default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process => f.write_str("set by the process"),
            Self::Etcd(key) => write!(f, "etcd key config/{key}"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Something that keeps the process from starting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where to look; `None` if the place is in the text.
    pub origin: Option<Origin>,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) => write!(f, "{origin}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// Everything that is wrong with a configuration, one problem per line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError(pub Vec<Problem>);

/// Something that an operator should know, though it keeps nothing from working.
/// Collected while there is no log yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether somebody should look at it.
    pub warning: bool,
    /// The text.
    pub text: String,
}

impl Note {
    pub(crate) fn info(text: String) -> Self {
        Self { warning: false, text }
    }

    pub(crate) fn warn(text: String) -> Self {
        Self { warning: true, text }
    }

    /// Writes it to the log.
    pub fn log(&self) {
        if self.warning {
            tracing::warn!("{}", self.text);
        } else {
            tracing::info!("{}", self.text);
        }
    }
}
