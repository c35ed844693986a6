//! One command: started, watched, and ended with all that it has started.
//!
//! It runs in a process group of its own. When it has ended, or has to, the group is killed:
//! what is left of an older state must not go on beside the hook of a newer one. Whatever it
//! prints is read, so that it never waits for that, and the end of it is kept.

use std::{
    io,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe::Receiver,
    process::Child,
    time::{sleep, timeout},
};

use crate::{
    clock::Clock,
    telemetry::{events::HookRun, words::HookEnd},
};

/// So much of the output goes into the log.
const KEPT_BYTES: usize = 1024;
/// Of one read.
const CHUNK: usize = 16 << 10;
/// Who prints more is read slowly: reading is not what this process is for.
const LOUD_BYTES: usize = 1 << 20;
/// Between reads of a loud one.
const LOUD_PAUSE: Duration = Duration::from_millis(10);
/// For the kernel to end what was killed. One that hangs in the kernel is left to it.
const KILL_LIMIT: Duration = Duration::from_secs(1);

/// What systemd means for this process is not meant for its children.
const NOT_FOR_CHILDREN: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Command {
    /// For `/bin/sh -c`.
    pub(super) text: String,
    /// Besides what this process has itself.
    pub(super) environment: Vec<(&'static str, String)>,
}

/// A command that runs. Dropping it kills its group.
#[derive(Debug)]
struct Running {
    child: Child,
    output: OwnedFd,
    group: Option<Pid>,
}

impl Running {
    fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            // Empty already is as good.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Command {
    /// Runs it to its end, or until `limit` says why it has to end. Never takes much longer
    /// than that.
    pub(super) async fn run(self, limit: impl Future<Output = &'static str>, clock: &dyn Clock) -> HookRun {
        let begun = clock.boot();
        let mut tail = Tail::default();
        let (end, status) = self.run_to_end(limit, &mut tail).await;
        HookRun { end, status, took: clock.boot().since(begun), output: tail.text() }
    }

    async fn run_to_end(
        self,
        limit: impl Future<Output = &'static str>,
        tail: &mut Tail,
    ) -> (HookEnd, String) {
        tokio::pin!(limit);
        // Starting a program reads the disk, which may hang.
        let starting = tokio::task::spawn_blocking(move || self.start());
        let started = tokio::select! {
            started = starting => started,
            why = &mut limit => return (HookEnd::Killed, format!("still being started: {why}")),
        };
        let mut running = match started {
            Ok(Ok(running)) => running,
            Ok(Err(error)) => return (HookEnd::NotStarted, error.to_string()),
            Err(error) => return (HookEnd::NotStarted, error.to_string()),
        };
        let output = running.output.try_clone().and_then(Receiver::from_owned_fd);
        let mut reader = match output {
            Ok(reader) => reader,
            Err(error) => return (HookEnd::NotStarted, error.to_string()),
        };
        let mut open = true;
        let ended = loop {
            tokio::select! {
                biased;
                status = running.child.wait() => break status.map_err(|error| error.to_string()),
                why = &mut limit => break Err(why.to_owned()),
                more = tail.read(&mut reader), if open => open = more,
            }
        };
        running.kill();
        let reaped = timeout(KILL_LIMIT, running.child.wait()).await;
        tail.rest(&reader);
        match ended {
            Ok(status) => of_status(status),
            Err(why) if reaped.is_err() => (HookEnd::Killed, format!("{why}; it does not end")),
            Err(why) => (HookEnd::Killed, why),
        }
    }

    fn start(self) -> io::Result<Running> {
        let (output, input) = io::pipe()?;
        let mut command = tokio::process::Command::new("/bin/sh");
        command
            .arg("-c")
            .arg(self.text)
            .envs(self.environment)
            .stdin(Stdio::null())
            .stdout(input.try_clone()?)
            .stderr(input)
            .process_group(0)
            .kill_on_drop(true);
        for name in NOT_FOR_CHILDREN {
            command.env_remove(name);
        }
        let child = command.spawn()?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Ok(Running { child, output: output.into(), group })
    }
}

fn of_status(status: ExitStatus) -> (HookEnd, String) {
    match (status.code(), status.signal()) {
        (Some(0), _) => (HookEnd::Done, "exit code 0".to_owned()),
        (Some(code), _) => (HookEnd::Failed, format!("exit code {code}")),
        (None, Some(signal)) => {
            let name =
                Signal::try_from(signal).map_or_else(|_| signal.to_string(), |signal| signal.to_string());
            (HookEnd::Failed, name)
        }
        (None, None) => (HookEnd::Failed, status.to_string()),
    }
}

/// The last that was written.
#[derive(Debug, Default)]
struct Tail {
    kept: Vec<u8>,
    seen: usize,
}

impl Tail {
    /// Reads once. `false`: nothing more comes.
    async fn read(&mut self, reader: &mut Receiver) -> bool {
        if self.seen > LOUD_BYTES {
            sleep(LOUD_PAUSE).await;
        }
        let mut chunk = [0; CHUNK];
        match reader.read(&mut chunk).await {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.keep(&chunk[..count]);
                true
            }
        }
    }

    /// What lies in the pipe at the end.
    fn rest(&mut self, reader: &Receiver) {
        let mut chunk = [0; CHUNK];
        // A pipe holds 64 KiB; who escaped the group may still write into it.
        for _ in 0..8 {
            match reader.try_read(&mut chunk) {
                Ok(0) | Err(_) => return,
                Ok(count) => self.keep(&chunk[..count]),
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.seen = self.seen.saturating_add(bytes.len());
        self.kept.extend_from_slice(bytes);
        let excess = self.kept.len().saturating_sub(KEPT_BYTES);
        self.kept.drain(..excess);
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).trim().to_owned()
    }
}
