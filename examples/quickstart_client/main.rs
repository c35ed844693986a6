//! The client of `docker/quickstart.sh`: calls a rootcoord pair over gRPC as
//! Milvus's own components do, and measures a takeover.
#![expect(clippy::print_stdout, reason = "a command line program speaks through stdout")]

mod rootcoord;

use std::{error::Error, net::TcpListener, time::Duration};

use clap::{Parser, Subcommand};
use milvus_coord::clock::{Clock as _, SystemClock};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use rootcoord::{CallError, RootCoord, Sessions};

/// How long commands look for an ACTIVE instance that answers.
const PATIENCE: Duration = Duration::from_secs(15);
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Between two questions to the standby while the takeover is timed.
const PROBE_PAUSE: Duration = Duration::from_millis(1);

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Calls a rootcoord that is found through its session key in etcd.
#[derive(Parser)]
struct Args {
    /// etcd, as host:port.
    #[arg(long, default_value = "127.0.0.1:2379")]
    etcd: String,
    /// etcd.rootPath of the cluster.
    #[arg(long, default_value = "by-dev")]
    root: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prints the ACTIVE instance and the standbys once there are this many in all.
    Instances {
        #[arg(long, default_value_t = 1)]
        at_least: usize,
    },
    /// Lists databases.
    Databases,
    /// Creates a database.
    CreateDatabase { name: String },
    /// Takes timestamps one by one and checks that they rise.
    Timestamps {
        #[arg(long, default_value_t = 1000)]
        count: usize,
        /// All of them must be later than this one.
        #[arg(long, default_value_t = 0)]
        after: u64,
    },
    /// Kills the ACTIVE process with SIGKILL and times the first timestamp from a standby.
    Takeover {
        /// Process id of the ACTIVE instance.
        #[arg(long)]
        kill: i32,
    },
    /// Prints that many free TCP ports of the loopback interface.
    FreePorts { count: usize },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let args = Args::parse();
    if let Command::FreePorts { count } = args.command {
        return free_ports(count);
    }
    let sessions = Sessions::open(&args.etcd, &args.root).await?;
    match args.command {
        Command::Instances { at_least } => instances(&sessions, at_least).await,
        Command::Databases => {
            let names = patiently(async || sessions.active().await?.databases().await).await?;
            names.iter().for_each(|name| println!("{name}"));
            Ok(())
        }
        Command::CreateDatabase { name } => {
            Ok(patiently(async || sessions.active().await?.create_database(&name).await).await?)
        }
        Command::Timestamps { count, after } => timestamps(&sessions, count, after).await,
        Command::Takeover { kill } => takeover(&sessions, Pid::from_raw(kill)).await,
        Command::FreePorts { .. } => unreachable!("handled above, without etcd"),
    }
}

/// Repeats a call until it succeeds, is refused for good, or the patience ends.
async fn patiently<T>(call: impl AsyncFn() -> Result<T, CallError>) -> Result<T, CallError> {
    let until = SystemClock.boot() + PATIENCE;
    loop {
        match call().await {
            Err(error) if !error.is_final() && SystemClock.boot() < until => {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

fn free_ports(count: usize) -> Outcome<()> {
    // All are held until the last is known, so no port is named twice.
    let listeners = (0..count).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<Result<Vec<_>, _>>()?;
    for listener in &listeners {
        println!("{}", listener.local_addr()?.port());
    }
    Ok(())
}

async fn instances(sessions: &Sessions, at_least: usize) -> Outcome<()> {
    let until = SystemClock.boot() + PATIENCE;
    loop {
        let (active, others) = sessions.list().await?;
        if let Some(active) = active
            && others.len() + 1 >= at_least
        {
            println!("ACTIVE {} {}", active.server_id, active.address);
            others.iter().for_each(|one| println!("STANDBY {} {}", one.server_id, one.address));
            return Ok(());
        }
        if SystemClock.boot() >= until {
            return Err(format!("no ACTIVE instance, or fewer than {at_least} in all").into());
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

async fn timestamps(sessions: &Sessions, count: usize, after: u64) -> Outcome<()> {
    let rootcoord = patiently(async || sessions.active().await).await?;
    let mut last = after;
    let mut first = None;
    for _ in 0..count {
        let timestamp = patiently(async || rootcoord.timestamp().await).await?;
        if timestamp <= last {
            return Err(format!("timestamp {timestamp} came after {last}").into());
        }
        first.get_or_insert(timestamp);
        last = timestamp;
    }
    println!("FIRST {}", first.unwrap_or(last));
    println!("LAST {last}");
    Ok(())
}

async fn takeover(sessions: &Sessions, active_process: Pid) -> Outcome<()> {
    let (active, standbys) = sessions.list().await?;
    let active = active.ok_or(CallError::NoActive)?;
    let standby = standbys.first().ok_or("no standby is registered")?;
    // Both connections exist before the kill: the takeover is timed, not the dialling.
    let predecessor = RootCoord::connect(&active).await?;
    let successor = RootCoord::connect(standby).await?;
    let before = predecessor.timestamp().await?;

    let killed_at = SystemClock.boot();
    kill(active_process, Signal::SIGKILL)?;
    let until = killed_at + PATIENCE;
    let after = loop {
        match successor.timestamp().await {
            Ok(timestamp) => break timestamp,
            Err(error) if SystemClock.boot() >= until => {
                return Err(format!("server {} does not serve: {error}", standby.server_id).into());
            }
            Err(_) => tokio::time::sleep(PROBE_PAUSE).await,
        }
    };
    let took = SystemClock.boot().since(killed_at);
    if after <= before {
        return Err(format!("timestamp {after} of the new one came after {before} of the old one").into());
    }
    println!("MILLISECONDS {:.1}", took.as_secs_f64() * 1000.0);
    println!("BEFORE {before}");
    println!("AFTER {after}");
    Ok(())
}
