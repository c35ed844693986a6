//! Runs scenarios by their seeds.
//!
//! Each scenario runs in a process of its own: chance is seeded per process, and a
//! scenario that hangs or crashes takes no other with it.

mod batch;
mod entropy;

use std::process::ExitCode;

use clap::Parser;
use milvus_coord::election::rules::{Rule, Rules};
use milvus_coord_sim::scenario::{
    directed::{self, Directed},
    run::{Report, Script, run},
};

/// Simulates rootcoord pairs under faults and checks what they do.
#[derive(Clone, Debug, Parser)]
#[command(name = "milvus-coord-sim")]
pub(crate) struct Args {
    /// Run this seed only, and show what happens.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run so many seeds.
    #[arg(long, default_value_t = 500)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// How many at a time; as many as there are processors if not given.
    #[arg(long)]
    jobs: Option<usize>,
    /// Run the directed scenario of this name, and show what happens.
    #[arg(long, value_parser = directed, conflicts_with_all = ["seed", "seeds"])]
    scenario: Option<&'static Directed>,
    /// Switch a rule off (may be repeated): the run should then fail.
    #[arg(long, value_parser = rule)]
    without: Vec<Rule>,
    /// One line about the seed or scenario instead of all that happens.
    #[arg(long)]
    brief: bool,
}

fn directed(name: &str) -> Result<&'static Directed, String> {
    Directed::named(name).ok_or_else(|| {
        let names: Vec<&str> = directed::ALL.iter().map(|directed| directed.name).collect();
        format!("there is {}", names.join(", "))
    })
}

fn rule(name: &str) -> Result<Rule, String> {
    let known = Rule::ALL.iter().find(|rule| format!("{rule:?}").eq_ignore_ascii_case(name));
    known.copied().ok_or_else(|| {
        let names: Vec<String> = Rule::ALL.iter().map(|rule| format!("{rule:?}")).collect();
        format!("there is {}", names.join(", "))
    })
}

fn main() -> ExitCode {
    let args = Args::parse();
    let rules = args.without.iter().fold(Rules::default(), |rules, rule| rules.without(*rule));
    match (args.scenario, args.seed) {
        (Some(directed), _) => {
            one(&args, &format!("scenario {}", directed.name), 0, move || Script::directed(directed, rules))
        }
        (None, Some(seed)) => one(&args, &format!("seed {seed}"), seed, move || Script::draw(seed, rules)),
        (None, None) => batch::run(&args),
    }
}

fn one(args: &Args, name: &str, seed: u64, script: impl FnOnce() -> Script + Send + 'static) -> ExitCode {
    entropy::seed(seed);
    // A thread that has drawn nothing yet.
    let simulation = std::thread::Builder::new().name("simulation".to_owned());
    let handle = simulation.spawn(move || {
        let script = script();
        (run(&script), script)
    });
    let ended = handle.map(std::thread::JoinHandle::join);
    let Ok(Ok((report, script))) = ended else {
        say(&format!("{name}: the simulation itself failed"));
        return ExitCode::from(2);
    };
    if !args.brief {
        report.trace.iter().for_each(|line| say(line));
        say(&format!("{:?}", script.stage));
    }
    say(&summary(name, &report));
    if report.violation.is_some() { ExitCode::from(1) } else { ExitCode::SUCCESS }
}

fn summary(name: &str, report: &Report) -> String {
    let undecided = if report.undecided { ", lists undecided" } else { "" };
    let verdict = report.violation.as_ref().map_or_else(|| format!("ok{undecided}"), ToString::to_string);
    let Report { terms, faults, calls, answered, digest, .. } = report;
    format!("{name}: {terms} terms, {faults} faults, {answered} of {calls} calls, {digest:016x}: {verdict}")
}

#[expect(clippy::print_stdout, reason = "the results are what this program is for")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}
