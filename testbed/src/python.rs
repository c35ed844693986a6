//! Users of a cluster: the Python programs of `testbed/python`, which speak through
//! pymilvus and report in JSON, one object a line.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use nix::time::{ClockId, clock_gettime};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    log::{Line, Mark},
    process::{Exit, Process},
};

/// A Python with pymilvus.
#[derive(Clone, Debug)]
pub struct Python {
    interpreter: PathBuf,
}

impl Python {
    /// `$MILVUS_COORD_PYTHON`, else the virtual environment that `scripts/setup.sh` makes
    /// in cargo's target folder. Installs nothing.
    ///
    /// # Errors
    /// What is missing, and the command that brings it.
    pub fn find() -> Result<Self, String> {
        let hint = "`. scripts/setup.sh; setup_pymilvus` brings it";
        let named = std::env::var_os("MILVUS_COORD_PYTHON").filter(|path| !path.is_empty());
        let interpreter = named.map(PathBuf::from).or_else(beside_this_program);
        let interpreter = interpreter.ok_or_else(|| format!("there is no Python for tests; {hint}"))?;
        // Asked for, not imported: that takes seconds.
        let probe = "import importlib.util, sys; sys.exit(importlib.util.find_spec('pymilvus') is None)";
        let status = Command::new(&interpreter).args(["-c", probe]).output().map(|output| output.status);
        match status {
            Ok(status) if status.success() => Ok(Self { interpreter }),
            Ok(_) => Err(format!("{} has no pymilvus; {hint}", interpreter.display())),
            Err(e) => Err(format!("{} does not run: {e}; {hint}", interpreter.display())),
        }
    }

    /// Starts the program `name` of `testbed/python` with these arguments.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start<S: AsRef<str>>(&self, name: &str, arguments: &[S]) -> Program {
        let folder =
            tempfile::Builder::new().prefix("milvus-coord-python-").tempdir().expect("a temporary folder");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(format!("{name}.py"));
        let mut command = Command::new(&self.interpreter);
        command
            .arg("-u")
            .arg(script)
            .args(arguments.iter().map(AsRef::as_ref))
            .arg("--stop-file")
            .arg(folder.path().join("stop"))
            .current_dir(folder.path())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            // gRPC would reach loopback through a proxy, if the machine has one for the web.
            .env("no_proxy", "127.0.0.1");
        let process = Process::start(name, command, &folder.path().join("log"));
        Program { process, folder }
    }
}

/// `target/tools/python` for a program in `target/debug/deps`.
fn beside_this_program() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    program.ancestors().map(|folder| folder.join("tools/python/bin/python")).find(|python| python.exists())
}

/// Seconds of the machine's monotonic clock: Python's `time.monotonic()`.
///
/// # Panics
/// Never on Linux.
pub fn monotonic() -> f64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("Linux has this clock");
    Duration::from(now).as_secs_f64()
}

/// A running or ended program. Dropping it kills it.
#[derive(Debug)]
pub struct Program {
    /// The process.
    pub process: Process,
    folder: TempDir,
}

impl Program {
    /// Asks it to end its work; it still has to check and report.
    ///
    /// # Panics
    /// When the folder of the test is full.
    pub fn stop(&self) {
        fs::write(self.folder.path().join("stop"), "").expect("a file that says stop");
    }

    /// The objects reported since `from`.
    pub fn reports(&self, from: Mark) -> Vec<Value> {
        self.process.log.since(from).iter().filter_map(report).collect()
    }

    /// Waits for `count` reports since `from` that satisfy `wanted`; returns them.
    ///
    /// # Panics
    /// When they don't come within `limit`, or the program ends before.
    pub async fn wait(
        &self,
        from: Mark,
        what: &str,
        count: usize,
        limit: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Vec<Value> {
        let read = |line: &Line| report(line).filter(|report| wanted(report));
        self.process.log.wait_for(from, what, count, limit, read).await
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it still runs after `limit`.
    pub async fn exit(&self, limit: Duration) -> Exit {
        self.process.exit(limit).await
    }
}

fn report(line: &Line) -> Option<Value> {
    line.text.starts_with('{').then(|| serde_json::from_str(&line.text).ok())?
}
