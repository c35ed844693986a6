//! Many seeds, each in a process of its own.

use std::{
    fmt,
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
/// How often it is told how far the batch is.
const TELL: Duration = Duration::from_secs(30);

struct Running {
    seed: u64,
    child: Child,
    since: Instant,
}

enum End {
    /// With this last line.
    Fine(String),
    Failed(String),
}

/// What all seeds came to.
#[derive(Default)]
struct Tally {
    done: u64,
    failed: Vec<u64>,
    terms: u64,
    faults: u64,
    answered: u64,
    undecided: u64,
}

impl Tally {
    /// Adds what a scenario said of itself at its end.
    fn add(&mut self, said: &str) {
        let words: Vec<&str> = said.split([' ', ',']).collect();
        let before = |name: &str| {
            let at = words.iter().position(|word| *word == name)?;
            words.get(at.checked_sub(1)?)?.parse::<u64>().ok()
        };
        self.terms += before("terms").unwrap_or_default();
        self.faults += before("faults").unwrap_or_default();
        self.answered += before("of").unwrap_or_default();
        self.undecided += u64::from(said.ends_with("undecided"));
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, failed, terms, faults, answered, undecided } = self;
        let failed = failed.len();
        write!(
            f,
            "{done} seeds, {failed} failed ({faults} faults, {terms} terms, {answered} calls answered, {undecided} lists undecided)"
        )
    }
}

/// Runs all seeds; fails if one of them did.
pub(crate) fn run(args: &Args) -> ExitCode {
    let jobs = args.jobs.or_else(|| thread::available_parallelism().ok().map(Into::into)).unwrap_or(1);
    let begin = now();
    match run_all(args, jobs) {
        Ok(tally) => {
            say(&format!("{tally} in {:.1} s", begin.elapsed().as_secs_f64()));
            let without: String = args.without.iter().map(|rule| format!(" --without {rule:?}")).collect();
            for seed in &tally.failed {
                say(&format!("again: milvus-coord-sim --seed {seed}{without}"));
            }
            if tally.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(error) => {
            say(&format!("can't run a scenario: {error}"));
            ExitCode::from(2)
        }
    }
}

fn run_all(args: &Args, jobs: usize) -> io::Result<Tally> {
    let mut waiting = args.first..args.first.saturating_add(args.seeds);
    let mut running: Vec<Running> = Vec::new();
    let mut tally = Tally::default();
    let mut told = now();
    loop {
        while running.len() < jobs.max(1) {
            let Some(seed) = waiting.next() else { break };
            running.push(start(args, seed)?);
        }
        if running.is_empty() {
            return Ok(tally);
        }
        let mut index = 0;
        while index < running.len() {
            match look(&mut running[index])? {
                None => index += 1,
                Some(end) => {
                    let Running { seed, .. } = running.swap_remove(index);
                    tally.done += 1;
                    match end {
                        End::Fine(said) => tally.add(&said),
                        End::Failed(why) => {
                            say(&why);
                            tally.failed.push(seed);
                        }
                    }
                }
            }
        }
        if told.elapsed() >= TELL {
            told = now();
            say(&format!("… {tally}"));
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
        End::Fine(said.trim_end().to_owned())
    } else {
        End::Failed(format!("{}\n(seed {}: {status})", said.trim_end(), running.seed))
    }))
}

#[expect(clippy::disallowed_methods, reason = "how long scenarios take in reality")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_adds_up_what_scenarios_say() {
        let mut tally = Tally::default();
        tally.add("seed 1: 9 terms, 18 faults, 751 of 836 calls, a364d78c3aa75b7c: ok");
        tally.add("seed 2: 1 terms, 2 faults, 9 of 10 calls, 0000000000000000: ok, lists undecided");
        assert_eq!((tally.terms, tally.faults, tally.answered, tally.undecided), (10, 20, 760, 1));
    }
}
