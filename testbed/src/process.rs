//! A process of the test: started, watched, signalled, and ended with the test,
//! however the test ends.
//!
//! Each process has a thread that starts it and waits for its end. The kernel kills
//! a child whose parent *thread* is gone (`PR_SET_PDEATHSIG`), and this thread
//! lives exactly as long as the child: so no process survives the test program, not
//! even one that was killed with -9, and none is killed early by the end of some
//! pool's thread.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        prctl,
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};
use tokio::sync::watch;

use crate::log::Log;

/// How a process ended.
#[derive(Clone, Copy, Debug)]
pub struct Exit {
    /// When that was noticed here.
    pub at: Instant,
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<Signal>,
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Resident memory in bytes.
    pub resident: u64,
    /// Processor time since its start, user and system, all threads.
    pub cpu: Duration,
}

/// A running or ended process. Dropping it kills and reaps it.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: Pid,
    /// Its standard output and error.
    pub log: Log,
    exit: watch::Receiver<Option<Exit>>,
    reap: Option<mpsc::Sender<()>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Process {
    /// Starts `command` with its output going to the file `log`.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Self {
        let program = command.get_program().to_owned();
        let (output, input) = std::io::pipe().expect("a pipe for the output");
        let copy = input.try_clone().expect("a second end of the pipe");
        command.stdin(Stdio::null()).stdout(input).stderr(copy);
        die_with_parent(&mut command);

        let (started, pid) = mpsc::sync_channel(1);
        let (tell, exit) = watch::channel(None);
        let (reap, may_reap) = mpsc::channel::<()>();
        let waiter = thread::spawn(move || {
            let spawned = command.spawn();
            // Its copies of the pipe's ends would keep the log open for ever.
            drop(command);
            let mut child = match spawned {
                Ok(child) => child,
                Err(e) => {
                    let _ = started.send(Err(e));
                    return;
                }
            };
            let pid = Pid::from_raw(child.id().cast_signed());
            let _ = started.send(Ok(pid));
            // Not reaped yet: until then the pid belongs to this process, and a signal
            // can't hit another one.
            let status = loop {
                match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
                    Err(nix::Error::EINTR) => {}
                    status => break status,
                }
            };
            let at = Instant::now();
            let (code, signal) = match status {
                Ok(WaitStatus::Exited(_, code)) => (Some(code), None),
                Ok(WaitStatus::Signaled(_, signal, _)) => (None, Some(signal)),
                _ => (None, None),
            };
            tell.send_replace(Some(Exit { at, code, signal }));
            let _ = may_reap.recv();
            let _ = child.wait();
        });
        let pid = pid
            .recv()
            .expect("the waiting thread lives")
            .unwrap_or_else(|e| panic!("can't start {name} ({}): {e}", program.display()));
        let (log, reader) = Log::read(name, log, output);
        Self { name: name.to_owned(), pid, log, exit, reap: Some(reap), threads: vec![waiter, reader] }
    }

    /// What the test calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Sends a signal. Returns the moment before it was sent. A process that has
    /// ended takes none, silently.
    pub fn signal(&self, signal: Signal) -> Instant {
        let before = Instant::now();
        let _ = kill(self.pid, signal);
        before
    }

    /// `kill -9`, and waits until the kernel has ended it. Returns the moment before.
    pub async fn kill(&self) -> Instant {
        let before = self.signal(Signal::SIGKILL);
        self.exit(Duration::from_secs(10)).await;
        before
    }

    /// Freezes it, and waits until all of it stands still.
    ///
    /// # Panics
    /// When it has ended, or still runs after ten seconds.
    pub async fn freeze(&self) -> Instant {
        let before = self.signal(Signal::SIGSTOP);
        let pid = self.pid;
        // Asked again and again: a wait without an end would outlast every deadline of a test.
        let asked =
            WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
        let status = loop {
            match waitid(Id::Pid(pid), asked) {
                Ok(WaitStatus::StillAlive) | Err(nix::Error::EINTR) => {}
                status => break status,
            }
            assert!(
                before.elapsed() < Duration::from_secs(10),
                "{} does not freeze: {}",
                self.name,
                fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        assert!(
            self.ended().is_none(),
            "{} ended instead of freezing: {status:?}\n{}",
            self.name,
            self.log.tail(40)
        );
        before
    }

    /// Lets a frozen one go on.
    pub fn thaw(&self) -> Instant {
        self.signal(Signal::SIGCONT)
    }

    /// Does something while it stands still nine tenths of the time, as a server with long pauses
    /// of its garbage collector or a stalling disk does.
    ///
    /// # Panics
    /// As [`freeze`](Self::freeze).
    pub async fn while_slow<T>(&self, work: impl Future<Output = T>) -> T {
        const STILL: Duration = Duration::from_millis(900);
        const AT_WORK: Duration = Duration::from_millis(100);
        let slow = async {
            loop {
                self.freeze().await;
                tokio::time::sleep(STILL).await;
                self.thaw();
                tokio::time::sleep(AT_WORK).await;
            }
        };
        let done = tokio::select! {
            done = work => done,
            () = slow => unreachable!("it has no end"),
        };
        self.thaw();
        done
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<Exit> {
        *self.exit.borrow()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it still runs after `limit`.
    pub async fn exit(&self, limit: Duration) -> Exit {
        let mut exit = self.exit.clone();
        let ended = exit.wait_for(Option::is_some);
        match tokio::time::timeout(limit, ended).await {
            Ok(Ok(exit)) => exit.expect("waited for it"),
            Ok(Err(_)) => panic!("nobody waits for {} any more", self.name),
            Err(_) => panic!("{} still runs after {limit:?}\n{}", self.name, self.log.tail(40)),
        }
    }

    /// What it has used so far; zeros once it has ended.
    pub fn usage(&self) -> Usage {
        usage(self.pid()).unwrap_or_default()
    }

    /// Its share of physical memory in bytes (`Pss`): what it has alone, and its part of
    /// what it shares with others. 0 once it has ended.
    pub fn proportional(&self) -> u64 {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid())).unwrap_or_default();
        bytes_of(&rollup, "Pss:").unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let gone = self.ended().is_some();
        if !gone {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
        if thread::panicking() {
            let mut stderr = std::io::stderr().lock();
            let _ = std::io::Write::write_all(&mut stderr, format!("{}\n", self.log.tail(60)).as_bytes());
        }
        // Lets the waiting thread reap.
        drop(self.reap.take());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Asks the kernel to kill the child when the thread that starts it is gone.
#[expect(unsafe_code, reason = "between fork and exec runs one system call, which is async-signal-safe")]
fn die_with_parent(command: &mut Command) {
    // SAFETY: the closure allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(|| prctl::set_pdeathsig(Signal::SIGKILL).map_err(Into::into));
    }
}

/// Resident memory of a process in bytes; 0 when there is none.
pub(crate) fn resident(pid: i32) -> u64 {
    usage(pid).unwrap_or_default().resident
}

/// The value of such a line, which the kernel gives in kB and means in KiB.
fn bytes_of(lines: &str, name: &str) -> Option<u64> {
    let value = lines.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = value.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

fn usage(pid: i32) -> Option<Usage> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let resident = bytes_of(&status, "VmRSS:")?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let hertz = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??.cast_unsigned();
    Some(Usage { resident, cpu: Duration::from_millis((user + system) * 1000 / hertz) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (tempfile::TempDir, Process) {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(dir.path());
        let process = Process::start("sh", command, &dir.path().join("log"));
        (dir, process)
    }

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn exit_codes_and_output_are_seen() {
        let (_dir, process) = shell("echo one; echo two >&2; exit 7");
        process.log.wait(crate::log::Mark::default(), "two", SOON).await;
        let exit = process.exit(SOON).await;
        assert_eq!((exit.code, exit.signal), (Some(7), None));
    }

    #[tokio::test]
    async fn a_killed_process_reports_the_signal() {
        // It waits for a writer, and so is the same from now on: one that becomes another program
        // has, for a moment, hardly any memory.
        let (_dir, process) = shell("mkfifo never; echo up; read it < never");
        process.log.wait(crate::log::Mark::default(), "up", SOON).await;
        assert!(process.usage().resident > 0);
        assert!((1..=process.usage().resident).contains(&process.proportional()));
        process.freeze().await;
        process.thaw();
        process.kill().await;
        assert_eq!(process.ended().unwrap().signal, Some(Signal::SIGKILL));
    }

    #[tokio::test]
    async fn dropping_leaves_no_process() {
        let (_dir, process) = shell("echo up; exec sleep 1000");
        process.log.wait(crate::log::Mark::default(), "up", SOON).await;
        let pid = process.pid();
        drop(process);
        assert!(fs::metadata(format!("/proc/{pid}")).is_err());
    }
}
