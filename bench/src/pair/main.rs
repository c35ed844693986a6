//! `pair-bench`: what a takeover costs, measured beside the real coordinators in one
//! run on one machine.

mod collections;
mod h2load;
mod idle;
mod options;
mod probe;
mod side;
mod stages;
mod takeover;
mod throughput;

use std::{error::Error, process::ExitCode};

use clap::Parser;
use milvus_coord_bench::{
    machine,
    party::Party,
    report::Report,
    terminal::{say, show},
};

use crate::{
    options::{Measure, Options},
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
    let parties: Vec<Party> = sides.iter().map(Side::party).collect();
    let mut report = Report::new(machine::describe(&parties));
    for measure in options.measures() {
        for side in &sides {
            say(&format!("{} of {} …", measure.title(), side.party().name()));
            match measure {
                Measure::Kill => takeover::kill(side, options, &mut report).await,
                Measure::Term => takeover::term(side, options, &mut report).await,
                Measure::Collections => collections::takeover(side, options, &mut report).await?,
                Measure::Throughput => throughput::measure(side, options, &mut report).await?,
                Measure::Memory => idle::measure(side, options, &mut report).await,
            }
        }
    }
    show(&report.to_string());
    if let Some(file) = &options.shared.json {
        std::fs::write(file, report.to_json()).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    Ok(())
}
