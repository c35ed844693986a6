//! The command line: commands, arguments, help.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use jiff::SignedDuration;

use super::{
    exit::Exit,
    role::{AnyRole, RunnableRole},
};
use crate::{
    election::pause::LONGEST,
    ids::{Role, ServerId},
};

/// The coordinators of Milvus 2.3, as pairs that fail over in milliseconds.
#[derive(Debug, Parser)]
#[command(
    name = "milvus-coord",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = "It reads the milvus.yaml and the environment variables of Milvus. Help on a command: \
                  milvus-coord help <COMMAND>"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a coordinator until it is told to stop
    ///
    /// Start it twice with <role>.enableActiveStandby: true, on one machine or two, and one is ACTIVE
    /// and the other STANDBY. SIGTERM hands over to the standby and ends the process.
    #[command(arg_required_else_help = true, after_help = Exit::help(&[Exit::Stopped, Exit::Failed, Exit::Usage, Exit::Held, Exit::Lost]))]
    Run(RunArgs),
    /// Show every coordinator: who is ACTIVE, since when, and how far behind the others are
    #[command(after_help = Exit::help(&[Exit::Done, Exit::Failed, Exit::Usage]))]
    Status(StatusArgs),
    /// Show past takeovers of a role: when, who, why, and how long each stage took
    ///
    /// The newest hundred are kept in etcd. Times are of the machine that took over.
    #[command(after_help = Exit::help(&[Exit::Done, Exit::Failed, Exit::Usage]))]
    History(HistoryArgs),
    /// Let a standby take over a role now, without a failed call
    #[command(after_help = Exit::help(&[Exit::Done, Exit::Failed, Exit::Usage]))]
    Switchover(SwitchoverArgs),
    /// Keep a role where it is for maintenance: no standby takes it over by itself
    ///
    /// Not if its ACTIVE process dies, nor if that is cut off or loses its lease: until the pause ends,
    /// nobody serves then. What is asked for still works: switchover, and the hand-over at SIGTERM. So
    /// does a restart at the same address, and a start while nobody serves. A pause ends by `resume`,
    /// or by itself after its time; then a standby takes over at once if there is reason to. To make it
    /// longer or shorter, pause again. Coordinators of Milvus itself do not heed it.
    #[command(after_help = Exit::help(&[Exit::Done, Exit::Failed, Exit::Usage]))]
    Pause(PauseArgs),
    /// End a pause: let standbys take a role over by themselves again
    #[command(after_help = Exit::help(&[Exit::Done, Exit::Failed, Exit::Usage]))]
    Resume(ResumeArgs),
    /// Ask one coordinator for its state and tell it by the exit code
    ///
    /// For keepalived, load balancers and probes.
    #[command(after_help = Exit::help(&[Exit::HealthActive, Exit::HealthStandby, Exit::HealthWaiting, Exit::HealthUnreachable]))]
    Health(HealthArgs),
    /// Show or check settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a completion script for a shell
    ///
    /// For bash: milvus-coord completions bash > /etc/bash_completion.d/milvus-coord
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Where settings are.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigArgs {
    /// The configuration: a file, or a folder with milvus.yaml, default.yaml, user.yaml (later ones
    /// go before earlier ones). Default: the folder in MILVUSCONF, else ./configs
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
}

/// `run`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct RunArgs {
    /// Which coordinator.
    #[arg(value_name = "ROLE", value_parser = RunnableRole)]
    pub role: Role,
    /// Part of the pid file's name, as in Milvus; -alias works too
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub alias: String,
    /// Where settings are.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// `status`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct StatusArgs {
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Where settings are.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// `switchover`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct SwitchoverArgs {
    /// Which coordinator.
    #[arg(value_name = "ROLE", value_parser = AnyRole)]
    pub role: Role,
    /// The server id of the standby that shall take over; `status` shows it. Default: the one with
    /// the highest activeStandby.priority
    #[arg(long, value_name = "ID", value_parser = server_id)]
    pub to: Option<ServerId>,
    /// Where settings are.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// `history`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct HistoryArgs {
    /// Which coordinator.
    #[arg(value_name = "ROLE", value_parser = AnyRole)]
    pub role: Role,
    /// How many, the newest first
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Where settings are.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// `pause`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct PauseArgs {
    /// Which coordinator.
    #[arg(value_name = "ROLE", value_parser = AnyRole)]
    pub role: Role,
    /// For how long, from a second to a day: 90s, 30m, 1h30m
    #[arg(long = "for", value_name = "TIME", value_parser = pause_length, default_value = "1h")]
    pub length: Duration,
    /// Why: shown by `status`, in the logs and on the HTTP port
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
    /// Where settings are.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// `resume`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ResumeArgs {
    /// Which coordinator.
    #[arg(value_name = "ROLE", value_parser = AnyRole)]
    pub role: Role,
    /// Where settings are.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// `health`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct HealthArgs {
    /// Which coordinator.
    #[arg(value_name = "ROLE", value_parser = AnyRole)]
    pub role: Role,
    /// Where its gRPC server is. Default: this machine, the role's configured port
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    pub address: Option<String>,
    /// Where settings are.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// `config …`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check files and environment: what counts, where it comes from, what is wrong
    ///
    /// Values in etcd, below <etcd.rootPath>/config/, go before both and are not asked for. Secrets
    /// are masked. Unknown keys are warnings: they keep nothing from working.
    #[command(after_help = Exit::help(&[Exit::Done, Exit::Usage]))]
    Check(ConfigArgs),
    /// Print a milvus.yaml with every setting, its default and its meaning
    Defaults,
}

fn server_id(text: &str) -> Result<ServerId, String> {
    match text.parse() {
        Ok(id) if id > 0 => Ok(ServerId(id)),
        _ => Err("a server id is a number from 1 on".into()),
    }
}

fn pause_length(text: &str) -> Result<Duration, String> {
    let length = text.parse::<SignedDuration>().ok().and_then(|length| Duration::try_from(length).ok());
    match length {
        Some(length) if (Duration::from_secs(1)..=LONGEST).contains(&length) => Ok(length),
        _ => Err("must be a time from 1s to 24h: 90s, 30m, 1h30m".into()),
    }
}

fn address(text: &str) -> Result<String, String> {
    let valid = text
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
    if valid { Ok(text.into()) } else { Err("must be host:port".into()) }
}
