//! The log: Milvus's text lines or JSON, on standard output, in a rotated file, or both.
//!
//! Lines are made by whoever logs and written by a thread per destination, because a
//! pipe that nobody reads and a full disk must not stop a coordinator. What finds no
//! room is counted; what waits is written when the [`LogGuard`] is dropped.
//!
//! An error's field holds all its causes. What the original adds to it, a stack trace
//! (`errorVerbose`, `stack`), has no counterpart here.
//!
//! A span that carries `traceID` shall be made at level ERROR, so that no log level
//! hides it.

mod call;
mod destination;
mod duration;
mod file;
mod layer;
mod level;
mod line;
mod spool;
#[cfg(test)]
mod tests;

use std::{fmt, io, path::PathBuf, process, sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use parking_lot::Mutex;
use prometheus::IntCounter;
use tracing::Dispatch;
use tracing_subscriber::{Registry, layer::SubscriberExt, reload, util::SubscriberInitExt};

use self::{
    call::Levels,
    destination::{Condition, Stream, stderr},
    file::{Retention, RotatedFile},
    layer::LogLayer,
    line::Formatter,
    spool::Spool,
};
pub use self::{
    call::call_span,
    duration::GoDuration,
    layer::Chain,
    level::{LogLevel, UnknownLevel},
    line::LogFormat,
};
use crate::{
    clock::Clock,
    ids::{Role, ServerId},
};

/// Everything of this project logs below this target.
const OWN_TARGET: &str = "milvus_coord";

/// What Pulsar's client logs below.
const PULSAR_TARGET: &str = "pulsar";

/// How long a destination may take to write what waits when the process ends.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

const MEGABYTE: u64 = 1 << 20;
const DAY: Duration = Duration::from_secs(86_400);

/// `log.*` of `milvus.yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// `log.level`: of this project's own lines.
    pub level: LogLevel,
    /// `grpc.log.level`: of everything else's.
    pub libraries: LogLevel,
    /// `log.format`.
    pub format: LogFormat,
    /// `log.stdout`.
    pub stdout: bool,
    /// `log.file.*`, where `rootPath` is set.
    pub file: Option<LogFileSettings>,
}

impl Default for LogSettings {
    /// As shipped: text, from INFO on, on standard output.
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            libraries: LogLevel::Warn,
            format: LogFormat::Text,
            stdout: true,
            file: None,
        }
    }
}

/// `log.file.*` of `milvus.yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFileSettings {
    /// `rootPath`: the folder; it is made when it is missing.
    pub folder: PathBuf,
    /// `maxSize`, megabytes of 1,048,576 bytes; 0 means 300.
    pub max_size_mb: u64,
    /// `maxAge`, days; 0: files put aside are kept for ever.
    pub max_age_days: u32,
    /// `maxBackups`; 0: all files put aside are kept.
    pub max_backups: usize,
}

impl LogFileSettings {
    fn retention(&self) -> Retention {
        let max_size = if self.max_size_mb == 0 { 300 } else { self.max_size_mb };
        Retention {
            max_size: max_size.saturating_mul(MEGABYTE),
            max_age: DAY.saturating_mul(self.max_age_days),
            max_backups: self.max_backups,
        }
    }
}

/// Starts the log of a process that is `role`. `dropped` counts the lines that are lost.
///
/// The file is called `<role>-pid<pid>.log` until [`LogHandle::name_file`] tells the
/// server id, and takes its lines along.
///
/// # Errors
/// The operating system has no thread to give.
pub fn start(
    settings: &LogSettings,
    role: Role,
    clock: Arc<dyn Clock>,
    dropped: &IntCounter,
) -> io::Result<LogGuard> {
    let formatter = Formatter { format: settings.format, zone: TimeZone::system() };
    let condition =
        |name: &str| Condition::new(name.to_owned(), formatter.clone(), Arc::clone(&clock), stderr());
    let mut destinations = Vec::new();
    let mut named = None;
    if settings.stdout {
        let stdout = Stream::new(io::stdout(), condition("stdout"));
        destinations.push(Spool::start("log-stdout", stdout, dropped.clone())?);
    }
    if let Some(file) = &settings.file {
        let name = format!("{role}-pid{}", process::id());
        let file = RotatedFile::new(file.folder.clone(), name, file.retention(), condition("file"));
        let spool = Spool::start("log-file", file, dropped.clone())?;
        named = Some((role, Arc::clone(&spool)));
        destinations.push(spool);
    }
    let layer = LogLayer { formatter, clock, destinations: destinations.clone() };
    let (filter, reload) = reload::Layer::new(Levels::new(settings.level, settings.libraries));
    // Before the layer and not around it: what is not written then costs no span either.
    let dispatch = Dispatch::new(Registry::default().with(filter).with(layer));
    let handle = LogHandle {
        inner: Arc::new(Inner {
            level: Mutex::new(settings.level),
            libraries: settings.libraries,
            reload,
            named,
        }),
    };
    Ok(LogGuard { dispatch, handle, destinations })
}

/// Owns the log's threads. Dropping it writes what waits.
#[must_use = "the log ends when its guard is dropped"]
pub struct LogGuard {
    dispatch: Dispatch,
    handle: LogHandle,
    destinations: Vec<Arc<Spool>>,
}

impl LogGuard {
    /// Makes this the log of the whole process, of the `log` crate's users too.
    ///
    /// # Errors
    /// The process has one already.
    pub fn install(&self) -> Result<(), tracing_subscriber::util::TryInitError> {
        self.dispatch.clone().try_init()
    }

    /// For use with `tracing::dispatcher::with_default`, where not the whole process is meant.
    pub fn dispatch(&self) -> &Dispatch {
        &self.dispatch
    }

    /// What others need of the log.
    pub fn handle(&self) -> LogHandle {
        self.handle.clone()
    }

    /// Waits until all that was logged so far is written. `false`: not within that time.
    pub fn flush(&self, within: Duration) -> bool {
        // Each is asked, also after one was late.
        self.destinations.iter().filter(|destination| !destination.flush(within)).count() == 0
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        for destination in &self.destinations {
            destination.close(CLOSE_WITHIN);
        }
    }
}

impl fmt::Debug for LogGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogGuard").field("handle", &self.handle).finish_non_exhaustive()
    }
}

struct Inner {
    level: Mutex<LogLevel>,
    libraries: LogLevel,
    reload: reload::Handle<Levels, Registry>,
    named: Option<(Role, Arc<Spool>)>,
}

/// Changes a running log.
#[derive(Clone)]
pub struct LogHandle {
    inner: Arc<Inner>,
}

impl LogHandle {
    /// The level of this project's own lines.
    pub fn level(&self) -> LogLevel {
        *self.inner.level.lock()
    }

    /// Changes it for every line from now on.
    pub fn set_level(&self, level: LogLevel) {
        let mut current = self.inner.level.lock();
        // Fails only when the log is gone, and with it the question.
        if self.inner.reload.reload(Levels::new(level, self.inner.libraries)).is_ok() {
            *current = level;
        }
    }

    /// The server id is known: the file's name is `<role>-<id>.log` from now on.
    pub fn name_file(&self, id: ServerId) {
        if let Some((role, spool)) = &self.inner.named {
            spool.rename(format!("{role}-{id}"));
        }
    }
}

impl fmt::Debug for LogHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogHandle").field("level", &self.level()).finish_non_exhaustive()
    }
}
