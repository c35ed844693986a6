//! The command line of milvus-coord: reads it, and hands each command to where it is done.
//!
//! The program may be called `milvus`: scripts that start Milvus's coordinators then start
//! these.

pub mod args;
mod ask;
mod config_check;
mod exit;
mod failure;
mod go_flags;
pub mod health;
pub mod history;
mod operate;
pub mod pause;
mod role;
mod rows;
mod run;
mod sessions;
pub mod status;
pub mod switchover;
pub mod table;
mod witness;

use std::{
    ffi::OsString,
    io::{self, Write},
    path::Path,
};

use clap::{CommandFactory, Parser, error::ErrorKind};

use self::args::{Cli, Command, ConfigCommand};
pub use self::{exit::Exit, failure::Failure};
use crate::config::{Sources, sample};

/// Runs the program. `arguments`: the program's name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments = go_flags::translate(arguments);
    let program = arguments.first().map(program_name).unwrap_or_default();
    match Cli::try_parse_from(arguments) {
        Ok(cli) => run(cli.command, &program),
        Err(error) => refused(&error),
    }
}

/// What it was called as.
fn program_name(argument: &OsString) -> String {
    let stem = Path::new(argument).file_stem().unwrap_or_default();
    if stem.is_empty() { "milvus-coord".into() } else { stem.to_string_lossy().into_owned() }
}

/// Help and version are no failure, nor is, as in Milvus, a call without arguments.
fn refused(error: &clap::Error) -> Exit {
    // Nobody is left to tell if the terminal is gone.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Exit::Done,
        _ => Exit::Usage,
    }
}

fn run(command: Command, program: &str) -> Exit {
    match command {
        Command::Config(ConfigCommand::Check(config)) => {
            let sources = Sources::of_process(config.config.as_deref());
            told(config_check::run(&sources, &mut io::stdout().lock(), &mut io::stderr().lock()))
        }
        Command::Config(ConfigCommand::Defaults) => told(print(sample().as_bytes())),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), program, &mut script);
            told(print(&script))
        }
        Command::Run(args) => run::run(&args),
        Command::Status(args) => operate::run_status(&args),
        Command::History(args) => operate::run_history(&args),
        Command::Switchover(args) => operate::run_switchover(&args),
        Command::Pause(args) => operate::run_pause(&args),
        Command::Resume(args) => operate::run_resume(&args),
        Command::Health(args) => operate::run_health(&args),
    }
}

fn print(text: &[u8]) -> io::Result<Exit> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()?;
    Ok(Exit::Done)
}

/// A reader that has seen enough (`| head`) is no failure.
fn told(result: io::Result<Exit>) -> Exit {
    match result {
        Ok(exit) => exit,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(_) => Exit::Failed,
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
