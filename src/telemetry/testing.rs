//! What tests of this folder share: the lines that a piece of code logs.

use std::{fs, sync::Arc};

use prometheus::IntCounter;
use tempfile::TempDir;
use tracing::dispatcher::with_default;

use crate::{
    clock::{BootInstant, Clock, UnixNanos},
    ids::Role,
    telemetry::log::{self, LogFileSettings, LogFormat, LogGuard, LogLevel, LogSettings},
};

/// Both clocks stand still, at 2022/09/21 03:58:33.855 UTC.
#[derive(Debug)]
pub(crate) struct Stopped;

impl Clock for Stopped {
    fn boot(&self) -> BootInstant {
        BootInstant::default()
    }

    fn wall(&self) -> UnixNanos {
        UnixNanos(1_663_732_713_855_000_000)
    }
}

/// A log into a folder of its own.
pub(crate) struct Logged {
    pub(crate) folder: TempDir,
    pub(crate) guard: LogGuard,
    dropped: IntCounter,
}

impl Logged {
    pub(crate) fn new(format: LogFormat, level: LogLevel) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dropped = IntCounter::new("dropped", "lines").unwrap();
        let settings = LogSettings {
            level,
            format,
            stdout: false,
            file: Some(LogFileSettings {
                folder: folder.path().join("made/when/missing"),
                max_size_mb: 0,
                max_age_days: 10,
                max_backups: 20,
            }),
            ..LogSettings::default()
        };
        let guard = log::start(&settings, Role::RootCoord, Arc::new(Stopped), &dropped).unwrap();
        Self { folder, guard, dropped }
    }

    /// What was written, without time and caller.
    pub(crate) fn read(self) -> Vec<String> {
        let Self { folder, guard, dropped } = self;
        drop(guard);
        assert_eq!(dropped.get(), 0);
        let files: Vec<_> = fs::read_dir(folder.path().join("made/when/missing")).unwrap().collect();
        assert_eq!(files.len(), 1, "{files:?}");
        let content = fs::read_to_string(files[0].as_ref().unwrap().path()).unwrap();
        content.lines().map(without_time_and_caller).collect()
    }
}

/// The lines that `run` logs from `level` on.
pub(crate) fn lines_of(level: LogLevel, run: impl FnOnce()) -> Vec<String> {
    let log = Logged::new(LogFormat::Text, level);
    with_default(log.guard.dispatch(), run);
    log.read()
}

fn without_time_and_caller(line: &str) -> String {
    let mut parts = line.splitn(4, "] ");
    let mut part = || parts.next().unwrap_or_else(|| panic!("too short: {line}"));
    let (time, level, caller, rest) = (part(), part(), part(), part());
    assert!(time.starts_with("[2022/09/2"), "{line}");
    let (file, number) = caller.rsplit_once(':').unwrap_or_else(|| panic!("no caller: {line}"));
    assert!(file.ends_with(".rs") && number.parse::<u32>().is_ok(), "{line}");
    format!("{level}] {rest}")
}
