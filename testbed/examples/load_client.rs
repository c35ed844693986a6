//! Takes timestamps from whoever is ACTIVE, as Milvus's own components do, while somebody
//! else kills, updates or moves instances. At its end (a line, or the end, of standard
//! input) it prints what the callers saw: lines of a word and its value.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program speaks through them")]

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use etcd_client::{Client, ConnectOptions};
use milvus_coord_testbed::{
    follower::Follower,
    load::{Load, Shape},
    session::Sessions,
};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

/// How long the first calls may take: a pair may still be coming up.
const PATIENCE: Duration = Duration::from_secs(60);
const ETCD_WITHIN: Duration = Duration::from_secs(5);

/// Calls the rootcoord that its session key in etcd names.
#[derive(Parser)]
struct Args {
    /// etcd, as host:port.
    #[arg(long)]
    etcd: String,
    /// etcd.rootPath of the cluster.
    #[arg(long, default_value = "by-dev")]
    root: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing that was promised was broken.
async fn run(args: Args) -> Result<bool, Box<dyn std::error::Error>> {
    let options = ConnectOptions::new().with_connect_timeout(ETCD_WITHIN).with_timeout(ETCD_WITHIN);
    let etcd = Client::connect([&args.etcd], Some(options)).await?;
    let client = Follower::new(Sessions::new(etcd, &args.root, "rootcoord"));
    let load = Load::start(&client, Shape::default());
    load.successes(100, PATIENCE).await;
    println!("READY");
    BufReader::new(stdin()).read_line(&mut String::new()).await?;

    let history = load.stop().await;
    let milliseconds = |length: Duration| length.as_secs_f64() * 1000.0;
    let (failures, violations) = (history.failures(), history.violations());
    println!("CALLS {}", history.calls.len());
    println!("FAILED {}", failures.len());
    println!(
        "LONGEST_GAP_MS {:.0}",
        milliseconds(history.longest_gap().map_or(Duration::ZERO, |gap| gap.length))
    );
    println!("SLOWEST_CALL_MS {:.0}", milliseconds(history.slowest().unwrap_or_default()));
    println!("INSTANCES {}", history.servers().len());
    for failure in failures.iter().take(5) {
        eprintln!("failed: {:?}", failure.outcome);
    }
    for violation in violations.iter().take(5) {
        eprintln!("violation: {violation}");
    }
    Ok(violations.is_empty())
}
