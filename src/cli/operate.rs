//! The commands of operators, from arguments to exit code.

use std::{
    io::{self, Write as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use super::{
    args::{HealthArgs, HistoryArgs, PauseArgs, ResumeArgs, StatusArgs, SwitchoverArgs},
    exit::Exit,
    failure::Failure,
    health::{HealthOptions, health},
    history::{HistoryOptions, history},
    pause::{PauseOptions, pause, resume},
    run::translate,
    status::{StatusOptions, status},
    switchover::{SwitchoverOptions, switchover},
};
use crate::{
    clock::SystemClock,
    config::{Config, Sources},
    etcd::{Etcd, keys::Keys},
    ids::Role,
    net::{Dial, Tcp},
    telemetry::log::Chain,
};

/// What a command needs to reach the cluster.
struct Ground {
    config: Config,
    etcd: Etcd,
    keys: Keys,
    dial: Arc<dyn Dial>,
}

impl Ground {
    fn new(config: Option<&Path>, role: Role) -> Result<Self, Exit> {
        let config = Config::load(&Sources::of_process(config), role).map_err(|error| {
            error.0.iter().for_each(|problem| say(&format!("error: {problem}")));
            Exit::Usage
        })?;
        let dial: Arc<dyn Dial> = Arc::new(Tcp { connect_timeout: Duration::from_secs(1) });
        let settings = translate::etcd(&config.settings.etcd);
        let etcd = Etcd::new(settings, Arc::clone(&dial), Arc::new(SystemClock)).map_err(|error| {
            say(&format!("error: {}", Chain(&error)));
            Exit::Usage
        })?;
        let keys = translate::keys(&config.settings.etcd);
        Ok(Self { config, etcd, keys, dial })
    }
}

fn say(line: &str) {
    // With standard error closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "{line}");
}

fn failed(failure: &Failure) -> Exit {
    // A reader that has seen enough (`| head`) is no failure.
    if matches!(failure, Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe) {
        return Exit::Done;
    }
    say(&format!("error: {}", Chain(failure)));
    Exit::Failed
}

/// Runs a command to its end. A single thread is enough for somebody at a terminal.
fn block_on<T>(command: impl Future<Output = T>) -> Result<T, Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        say(&format!("error: {error}"));
        Exit::Failed
    })?;
    let result = runtime.block_on(command);
    runtime.shutdown_background();
    Ok(result)
}

pub(super) fn run_status(args: &StatusArgs) -> Exit {
    let told = Ground::new(args.config.config.as_deref(), Role::RootCoord).and_then(|ground| {
        let options = StatusOptions { json: args.json, ..StatusOptions::default() };
        block_on(async { status(&ground.etcd, &ground.keys, ground.dial, options, &mut io::stdout()).await })
    });
    told.map_or_else(|exit| exit, |result| result.unwrap_or_else(|failure| failed(&failure)))
}

pub(super) fn run_switchover(args: &SwitchoverArgs) -> Exit {
    let told = Ground::new(args.config.config.as_deref(), args.role).and_then(|ground| {
        let options = SwitchoverOptions::new(args.role, args.to);
        block_on(async {
            switchover(&ground.etcd, &ground.keys, ground.dial, options, &mut io::stdout()).await
        })
    });
    told.map_or_else(|exit| exit, |result| result.unwrap_or_else(|failure| failed(&failure)))
}

pub(super) fn run_history(args: &HistoryArgs) -> Exit {
    let told = Ground::new(args.config.config.as_deref(), args.role).and_then(|ground| {
        let options = HistoryOptions { role: args.role, limit: args.limit, json: args.json };
        let (mut out, mut err) = (io::stdout(), io::stderr());
        block_on(async { history(&ground.etcd, &ground.keys, options, &mut out, &mut err).await })
    });
    told.map_or_else(|exit| exit, |result| result.unwrap_or_else(|failure| failed(&failure)))
}

pub(super) fn run_pause(args: &PauseArgs) -> Exit {
    let told = Ground::new(args.config.config.as_deref(), args.role).and_then(|ground| {
        let options = PauseOptions { role: args.role, length: args.length, reason: args.reason.clone() };
        block_on(async { pause(&ground.etcd, &ground.keys, &SystemClock, options, &mut io::stdout()).await })
    });
    told.map_or_else(|exit| exit, |result| result.unwrap_or_else(|failure| failed(&failure)))
}

pub(super) fn run_resume(args: &ResumeArgs) -> Exit {
    let told = Ground::new(args.config.config.as_deref(), args.role).and_then(|ground| {
        block_on(async { resume(&ground.etcd, &ground.keys, args.role, &mut io::stdout()).await })
    });
    told.map_or_else(|exit| exit, |result| result.unwrap_or_else(|failure| failed(&failure)))
}

pub(super) fn run_health(args: &HealthArgs) -> Exit {
    let told = Ground::new(args.config.config.as_deref(), args.role).and_then(|ground| {
        let options = match &args.address {
            Some(address) => HealthOptions::at(args.role, address.clone()),
            None => HealthOptions::local(args.role, ground.config.settings.node.port),
        };
        block_on(async { health(ground.dial, &options, &mut io::stdout()).await })
    });
    told.map_or_else(|exit| exit, |result| result.unwrap_or_else(|error| failed(&Failure::Output(error))))
}
