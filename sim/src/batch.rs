//! Many seeds, each in a process of its own.

use std::{
    io::{self, Read as _},
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{Args, say};

/// A scenario takes seconds, on a busy machine some more.
const LIMIT: Duration = Duration::from_secs(300);
/// How often running ones are looked at.
const LOOK: Duration = Duration::from_millis(2);

struct Running {
    seed: u64,
    child: Child,
    since: Instant,
}

enum End {
    Fine,
    Failed(String),
}

/// Runs all seeds; fails if one of them did.
pub(crate) fn run(args: &Args) -> ExitCode {
    let jobs = args.jobs.or_else(|| thread::available_parallelism().ok().map(Into::into)).unwrap_or(1);
    let begin = now();
    match run_all(args, jobs) {
        Ok(failed) => {
            let took = begin.elapsed().as_secs_f64();
            say(&format!("{} seeds in {took:.1} s, {} failed", args.seeds, failed.len()));
            for seed in &failed {
                say(&format!("again: milvus-coord-sim --seed {seed}"));
            }
            if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(error) => {
            say(&format!("can't run a scenario: {error}"));
            ExitCode::from(2)
        }
    }
}

fn run_all(args: &Args, jobs: usize) -> io::Result<Vec<u64>> {
    let mut waiting = args.first..args.first + args.seeds;
    let mut running: Vec<Running> = Vec::new();
    let mut failed = Vec::new();
    loop {
        while running.len() < jobs.max(1) {
            let Some(seed) = waiting.next() else { break };
            running.push(start(args, seed)?);
        }
        if running.is_empty() {
            return Ok(failed);
        }
        let mut index = 0;
        while index < running.len() {
            match look(&mut running[index])? {
                None => index += 1,
                Some(end) => {
                    let Running { seed, .. } = running.swap_remove(index);
                    if let End::Failed(why) = end {
                        say(&why);
                        failed.push(seed);
                    }
                }
            }
        }
        thread::sleep(LOOK);
    }
}

fn start(args: &Args, seed: u64) -> io::Result<Running> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--brief", "--seed", &seed.to_string()]);
    for rule in &args.without {
        command.args(["--without", &format!("{rule:?}")]);
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    Ok(Running { seed, child, since: now() })
}

fn look(running: &mut Running) -> io::Result<Option<End>> {
    let Some(status) = running.child.try_wait()? else {
        if running.since.elapsed() < LIMIT {
            return Ok(None);
        }
        running.child.kill()?;
        running.child.wait()?;
        return Ok(Some(End::Failed(format!("seed {}: not done after {LIMIT:?}", running.seed))));
    };
    // A brief report fits into the pipe, so that nobody has waited for us to read it.
    let mut said = String::new();
    if let Some(mut stdout) = running.child.stdout.take() {
        stdout.read_to_string(&mut said)?;
    }
    Ok(Some(if status.success() {
        End::Fine
    } else {
        End::Failed(format!("{}\n(seed {}: {status})", said.trim_end(), running.seed))
    }))
}

#[expect(clippy::disallowed_methods, reason = "how long scenarios take in reality")]
fn now() -> Instant {
    Instant::now()
}
