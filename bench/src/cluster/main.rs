//! `cluster-bench`: what users of a whole cluster notice of rootcoord, beside the real one
//! in one run on one machine.

mod create;
mod gaps;
mod options;
mod side;
mod users;

use std::{error::Error, process::ExitCode};

use clap::Parser;
use milvus_coord_bench::{
    machine,
    party::Party,
    report::Report,
    terminal::{say, show},
};
use milvus_coord_testbed::{
    catalog::Catalog, cluster::Cluster, instance::SOON, progress::Progress, python::Python,
};

use crate::{
    gaps::{Fault, Trial},
    options::{Measure, Options},
    side::Side,
    users::Users,
};

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            say(&format!("cluster-bench: {e}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let sides = Side::all(options)?;
    let python = Python::find()?;
    let parties: Vec<Party> = sides.iter().map(|side| side.party).collect();
    let mut report = Report::new(machine::describe(&parties));
    for side in &sides {
        let all = [Measure::Kill, Measure::Term, Measure::Switchover, Measure::Create];
        if all.into_iter().any(|measure| options.wants(measure)) {
            small(side, &python, options, &mut report).await?;
        }
    }
    for side in sides.iter().filter(|_| options.wants(Measure::Collections)) {
        large(side, &python, options, &mut report).await;
    }
    show(&report.to_string());
    if let Some(file) = &options.shared.json {
        std::fs::write(file, report.to_json()).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    Ok(())
}

/// What is measured in a cluster without a history.
async fn small(
    side: &Side,
    python: &Python,
    options: &Options,
    report: &mut Report,
) -> Result<(), Box<dyn Error>> {
    say(&format!("a cluster with a pair of {} …", side.party.name()));
    let mut cluster = side.cluster(|parts| parts).await;
    let rounds = match side.party {
        Party::Real => options.real_rounds,
        Party::Ours => options.rounds,
    };
    let mut faults = vec![(Measure::Kill, Fault::Kill), (Measure::Term, Fault::Term)];
    if side.party == Party::Ours {
        faults.push((Measure::Switchover, Fault::Switchover));
    }
    faults.retain(|(measure, _)| options.wants(*measure));
    if !faults.is_empty() {
        let mut trial = start(cluster, python, options).await;
        for (_, fault) in faults {
            trial.faults(fault, rounds).await.tell(fault.title(), side.party, report);
        }
        memory(&trial.cluster, side, "", report).await;
        side.keep("small", &trial.cluster, Some(&trial.users.program));
        // Without its users, which end here.
        cluster = trial.cluster;
    }
    if options.wants(Measure::Create) {
        create::measure(&cluster, side, options, &Progress::of("create"), report).await?;
    }
    Ok(())
}

/// What is measured with many collections.
async fn large(side: &Side, python: &Python, options: &Options, report: &mut Report) {
    let what = format!("{} collections", options.shared.collections);
    say(&format!("a cluster with {what} and a pair of {} …", side.party.name()));
    let catalog = Catalog::new(options.shared.collections, options.shared.fields);
    let cluster = side.cluster(|parts| parts.catalog(catalog)).await;
    let rounds = match side.party {
        Party::Real => 1,
        Party::Ours => options.collections_rounds,
    };
    let mut trial = start(cluster, python, options).await;
    memory(&trial.cluster, side, &format!(" with {what}"), report).await;
    let measured = trial.faults(Fault::Kill, rounds).await;
    measured.tell(&format!("kill -9 with {what}"), side.party, report);
    side.keep("large", &trial.cluster, Some(&trial.users.program));
}

async fn start<'a>(cluster: Cluster, python: &Python, options: &'a Options) -> Trial<'a> {
    let progress = Progress::of("users");
    let users = Users::start(python, &cluster).await;
    progress.say("all four are at work");
    Trial { cluster, users, options, progress }
}

/// What the two rootcoords have in memory while users are at work.
async fn memory(cluster: &Cluster, side: &Side, with: &str, report: &mut Report) {
    let active = cluster.active(SOON).await;
    for (index, title) in [(active, "ACTIVE one"), (1 - active, "standby")] {
        let process = &cluster.rootcoord(index).process;
        let (resident, proportional) = (process.usage().resident, process.proportional());
        report.bytes(&format!("memory of the {title}{with}: resident"), side.party, resident);
        report.bytes(&format!("memory of the {title}{with}: proportional"), side.party, proportional);
    }
}
