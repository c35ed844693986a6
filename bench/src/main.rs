//! `pair-bench`: what a takeover costs, measured beside the real coordinators in one
//! run on one machine.

mod collections;
mod duration;
mod idle;
mod machine;
mod options;
mod probe;
mod report;
mod side;
mod stages;
mod takeover;
mod throughput;

use std::{error::Error, process::ExitCode};

use clap::Parser;

use crate::{
    options::{Measure, Options},
    report::Report,
    side::Side,
};

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            say(&format!("pair-bench: {e}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let sides = Side::all(options)?;
    let mut report = Report::new(machine::describe(&sides));
    for measure in options.measures() {
        for side in &sides {
            say(&format!("{} of {} …", measure.title(), side.name()));
            match measure {
                Measure::Kill => takeover::kill(side, options, &mut report).await,
                Measure::Term => takeover::term(side, options, &mut report).await,
                Measure::Collections => collections::takeover(side, options, &mut report).await?,
                Measure::Throughput => throughput::measure(side, options, &mut report).await,
                Measure::Memory => idle::measure(side, options, &mut report).await,
            }
        }
    }
    show(&report.to_string());
    if let Some(file) = &options.json {
        std::fs::write(file, report.to_json()).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    Ok(())
}

/// Progress goes to standard error, the result to standard output.
#[expect(clippy::print_stderr, reason = "a program for the terminal")]
fn say(text: &str) {
    eprintln!("{text}");
}

#[expect(clippy::print_stdout, reason = "a program for the terminal")]
fn show(text: &str) {
    println!("{text}");
}
