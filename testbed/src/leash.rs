//! A child process that can't outlive this one.
//!
//! Beside each child stands a small shell whose standard input is a pipe from this
//! process. When this process ends in whatever way, the kernel closes the pipe; the
//! shell then kills the child and removes its folder. (A parent-death signal would
//! not do: it is tied to the *thread* that started the child.)

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// A running child.
#[derive(Debug)]
pub(crate) struct Leashed {
    child: Child,
    guard: Child,
}

impl Leashed {
    /// Starts `program`, its output appended to `log`. `folder` is removed should this process die.
    pub(crate) fn start<I, S>(program: &Path, args: I, log: &Path, folder: &Path) -> io::Result<Self>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let log = File::options().create(true).append(true).open(log)?;
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // An interrupt typed at the terminal ends the test; the guard does the rest.
            .process_group(0)
            .spawn()?;
        let guard = Command::new("/bin/sh")
            .arg("-c")
            .arg(r#"read -r _; kill -KILL "$1" 2>/dev/null; rm -rf -- "$2""#)
            .arg("guard")
            .arg(child.id().to_string())
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        match guard {
            Ok(guard) => Ok(Self { child, guard }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error)
            }
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("process ids are positive and small")
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill(Pid::from_raw(self.pid()), signal)?)
    }

    /// Whether and how it has ended.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Asks it to end, waits up to `grace`, then kills it.
    pub(crate) fn stop(mut self, grace: Duration) -> io::Result<()> {
        self.signal(Signal::SIGTERM)?;
        let mut waited = Duration::ZERO;
        while self.child.try_wait()?.is_none() && waited < grace {
            let pause = Duration::from_millis(5);
            std::thread::sleep(pause);
            waited += pause;
        }
        Ok(())
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        // The guard first: afterwards the child's id may belong to somebody else.
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_child_dies_when_the_pipe_to_its_guard_closes() -> io::Result<()> {
        let folder = tempfile::TempDir::new()?;
        let inner = folder.path().join("data");
        std::fs::create_dir(&inner)?;
        let log = folder.path().join("log");
        let mut leashed = Leashed::start(Path::new("/bin/sleep"), ["1000"], &log, &inner)?;
        // What the kernel does when this process ends.
        drop(leashed.guard.stdin.take());
        leashed.guard.wait()?;
        assert!(!leashed.child.wait()?.success());
        assert!(!inner.exists());
        Ok(())
    }
}
