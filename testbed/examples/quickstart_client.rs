//! The client of `docker/quickstart.sh`: finds rootcoord and calls it as Milvus's own
//! components do, and measures a takeover. Answers are lines of a word and its values.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program speaks through them")]

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use etcd_client::{Client, ConnectOptions};
use milvus_coord_testbed::{follower::Follower, grpc::Direct, ports::free_port, session::Sessions};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::sleep;

/// How long a pair may take to come up, or a standby to serve.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Between two questions to the standby while a takeover is timed.
const PROBE_PAUSE: Duration = Duration::from_millis(1);
const ETCD_WITHIN: Duration = Duration::from_secs(5);

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Calls the rootcoord that its session key in etcd names.
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
    /// Prints free TCP ports of loopback.
    FreePorts { count: usize },
    /// Prints who is ACTIVE and who STANDBY, once there are this many in all.
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
    /// Kills the ACTIVE process with SIGKILL and times the first timestamp of a standby.
    Takeover {
        /// Process id of the ACTIVE instance.
        #[arg(long)]
        kill: i32,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Outcome<()> {
    if let Command::FreePorts { count } = args.command {
        (0..count).for_each(|_| println!("{}", free_port()));
        return Ok(());
    }
    let options = ConnectOptions::new().with_connect_timeout(ETCD_WITHIN).with_timeout(ETCD_WITHIN);
    let etcd = Client::connect([&args.etcd], Some(options)).await?;
    let sessions = Sessions::new(etcd, &args.root, "rootcoord");
    let client = Follower::new(sessions.clone());
    match args.command {
        Command::FreePorts { .. } => {}
        Command::Instances { at_least } => instances(&sessions, at_least).await?,
        Command::Databases => client.list_databases().await?.iter().for_each(|name| println!("{name}")),
        Command::CreateDatabase { name } => client.create_database(&name).await?,
        Command::Timestamps { count, after } => timestamps(&client, count, after).await?,
        Command::Takeover { kill } => takeover(&sessions, &client, Pid::from_raw(kill)).await?,
    }
    Ok(())
}

async fn instances(sessions: &Sessions, at_least: usize) -> Outcome<()> {
    let began = Instant::now();
    loop {
        let (active, own) = (sessions.active().await?, sessions.instances().await?);
        if let Some(active) = active
            && own.len() >= at_least
        {
            println!("ACTIVE {} {}", active.server_id, active.address);
            for standby in own.iter().filter(|one| one.server_id != active.server_id) {
                println!("STANDBY {} {}", standby.server_id, standby.address);
            }
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("no ACTIVE instance, or fewer than {at_least} in all").into());
        }
        sleep(LOOK_AGAIN).await;
    }
}

async fn timestamps(client: &Follower, count: usize, after: u64) -> Outcome<()> {
    let (mut first, mut last) = (None, after);
    for _ in 0..count {
        let timestamp = client.alloc_timestamp(1).await?.first;
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

async fn takeover(sessions: &Sessions, client: &Follower, active_process: Pid) -> Outcome<()> {
    let active = sessions.active().await?.ok_or("nobody is ACTIVE")?;
    let own = sessions.instances().await?;
    let standby = own.iter().find(|one| one.server_id != active.server_id).ok_or("there is no standby")?;
    // Both connections exist before the kill: the takeover is timed, not the dialling.
    let successor = Direct::connect(&standby.address, Some(standby.server_id)).await?;
    let before = client.alloc_timestamp(1).await?.first;

    let killed_at = Instant::now();
    kill(active_process, Signal::SIGKILL)?;
    let served = async {
        loop {
            match successor.alloc_timestamp(1).await {
                Ok(span) => return Ok((span.first, killed_at.elapsed())),
                Err(failure) if killed_at.elapsed() > PATIENCE => return Err(failure),
                Err(_) => sleep(PROBE_PAUSE).await,
            }
        }
    };
    let followed = async {
        let span = client.alloc_timestamp(1).await?;
        Ok((span.first, killed_at.elapsed()))
    };
    let ((first, served), (next, followed)) = tokio::try_join!(served, followed)?;
    if first.min(next) <= before {
        return Err(format!("timestamps {first} and {next} came after {before}").into());
    }
    println!("SERVED {:.1}", served.as_secs_f64() * 1000.0);
    println!("CLIENT {:.0}", followed.as_secs_f64() * 1000.0);
    println!("LAST {}", first.max(next));
    Ok(())
}
