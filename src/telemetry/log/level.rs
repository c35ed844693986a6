//! How much is logged.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;

/// The least severe level that is written, by Milvus's names.
///
/// The three above `error` are levels of the original at which this process writes
/// nothing; they are accepted because its configuration accepts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Each request.
    Debug,
    /// Changes of state.
    #[default]
    Info,
    /// What healed itself.
    Warn,
    /// Somebody must act.
    Error,
    /// Nothing.
    DPanic,
    /// Nothing.
    Panic,
    /// Nothing.
    Fatal,
}

/// A level of that name does not exist. The text is the original's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unrecognized level: {0:?}")]
pub struct UnknownLevel(
    /// What was given.
    pub String,
);

impl LogLevel {
    /// The name in configuration and answers: `info`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::DPanic => "dpanic",
            Self::Panic => "panic",
            Self::Fatal => "fatal",
        }
    }

    pub(super) fn filter(self) -> LevelFilter {
        match self {
            Self::Debug => LevelFilter::DEBUG,
            Self::Info => LevelFilter::INFO,
            Self::Warn => LevelFilter::WARN,
            Self::Error => LevelFilter::ERROR,
            Self::DPanic | Self::Panic | Self::Fatal => LevelFilter::OFF,
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for LogLevel {
    type Err = UnknownLevel;

    /// In any case; nothing means `info`, and gRPC's `WARNING` means `warn`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "debug" => Self::Debug,
            "info" | "" => Self::Info,
            "warn" | "warning" => Self::Warn,
            "error" => Self::Error,
            "dpanic" => Self::DPanic,
            "panic" => Self::Panic,
            "fatal" => Self::Fatal,
            _ => return Err(UnknownLevel(text.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_originals_names() {
        for (text, level) in [
            ("debug", LogLevel::Debug),
            ("", LogLevel::Info),
            ("INFO", LogLevel::Info),
            ("Warn", LogLevel::Warn),
            ("WARNING", LogLevel::Warn),
            ("error", LogLevel::Error),
            ("fatal", LogLevel::Fatal),
        ] {
            assert_eq!(text.parse(), Ok(level), "{text}");
        }
        let refused = "z\"z".parse::<LogLevel>().unwrap_err();
        assert_eq!(refused.to_string(), r#"unrecognized level: "z\"z""#);
    }
}
