use std::path::PathBuf;

use crate::config::reader::Reader;

/// What is logged, how, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// From which level on.
    pub level: LogLevel,
    /// How a line looks.
    pub format: LogFormat,
    /// Whether to write to standard output.
    pub stdout: bool,
    /// Whether to write files, too.
    pub file: Option<LogFileSettings>,
}

/// Log files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFileSettings {
    /// The folder.
    pub root_path: PathBuf,
    /// Megabytes after which a new file begins.
    pub max_size_mb: u64,
    /// Days after which an old file is removed; 0: never.
    pub max_age_days: u64,
    /// How many old files are kept; 0: all.
    pub max_backups: usize,
}

/// The levels of Milvus's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Each request.
    Debug,
    /// Changes of state.
    Info,
    /// It healed itself.
    Warn,
    /// Somebody must act.
    Error,
    /// Nothing is logged at these three here: only errors and less are.
    Fatal,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Milvus's own.
    Text,
    /// One JSON object per line.
    Json,
}

impl LogLevel {
    /// The level of a word in any case. `dpanic`, `panic` and `fatal` are one here.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "debug" => Self::Debug,
            "info" => Self::Info,
            "warn" => Self::Warn,
            "error" => Self::Error,
            "dpanic" | "panic" | "fatal" => Self::Fatal,
            _ => return None,
        })
    }
}

impl LogSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let root_path = reader.text("log.file.rootPath");
        let file = LogFileSettings {
            max_size_mb: reader.number("log.file.maxSize"),
            max_age_days: reader.number("log.file.maxAge"),
            max_backups: reader.number("log.file.maxBackups"),
            root_path: PathBuf::from(&root_path),
        };
        Self {
            level: LogLevel::from_name(&reader.text("log.level")).unwrap_or(LogLevel::Info),
            format: match reader.text("log.format").as_str() {
                "json" => LogFormat::Json,
                _ => LogFormat::Text,
            },
            stdout: reader.flag("log.stdout"),
            file: (!root_path.is_empty()).then_some(file),
        }
    }
}
