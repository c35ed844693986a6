//! `run`: one coordinator process, from its settings to its exit code.
//!
//! Whatever can fail without a port open fails before a port is open. The log comes
//! first, then the ports, then etcd: a process that waits for etcd can be asked why.

mod address;
mod pid_file;
mod proxies;
mod reload;
mod supervisor;
pub(super) mod translate;

use std::{io::Write as _, net::Ipv4Addr, sync::Arc, time::Duration};

use nix::sys::signal::Signal;
use tokio::signal::unix::SignalKind;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    pid_file::PidFile,
    proxies::AskedProxies,
    reload::Reload,
    supervisor::{Supervised, Supervisor},
};
use super::{
    args::RunArgs,
    exit::Exit,
    witness::{CallCounter, InstanceHealth, ReloadCounter, Telling, TellingSettings},
};
use crate::{
    clock::{Clock, SystemClock},
    config::{Config, ConfigError, Settings, Sources},
    election::{
        death_watch::{DeathWatch, LockFiles, NoDeathWatch},
        instance::{DeathWatchOf, Instance, World},
        life,
    },
    etcd::{Etcd, keys::Keys},
    hooks::{
        self, HookContext,
        queue::{Listening, Queue},
    },
    mq,
    net::{Dial, Tcp, listen},
    rootcoord::{
        core::{Reach, RootCoord},
        events::RootCoordEvents,
        peers::{Clients, PeerEvents, PeerSettings},
        service::{Parts, RootCoordService},
        tick::TickEvents,
    },
    rpc::{
        Identity,
        clients::ClientContext,
        gatehouse::{Gatehouse, GatehouseSettings},
        link::LinkOwner,
        server::{Server, ServerSettings, Services, Sizes},
    },
    telemetry::{
        events::Events,
        http::{self, HealthSource, Management, ManagementPort},
        log,
        metrics::Metrics,
    },
};

/// How long etcd may take to tell the settings that it holds, as in Milvus.
const SETTINGS_IN_ETCD_LIMIT: Duration = Duration::from_secs(1);
/// How long running calls get at the end; Milvus gives ten seconds.
const SERVER_GRACE: Duration = Duration::from_secs(5);
/// The same of the management port.
const HTTP_GRACE: Duration = Duration::from_secs(1);
/// Calls that were admitted before a hand-over get so long to end.
const QUIESCE_LIMIT: Duration = Duration::from_secs(1);

/// Why a process could not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("the log cannot be started")]
    Log(#[source] std::io::Error),
    #[error("the runtime cannot be started")]
    Runtime(#[source] std::io::Error),
    #[error("cannot listen on port {port} ({section}.port)")]
    Listen {
        port: u16,
        section: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error("metrics port")]
    Metrics(#[from] http::BindError),
    #[error("the management port cannot be served")]
    Management(#[source] std::io::Error),
    #[error("etcd settings")]
    Etcd(#[from] crate::etcd::settings::BadSettings),
    #[error("gRPC server")]
    Server(#[from] crate::rpc::server::StartError),
    #[error("message queue")]
    Queue(#[from] ConfigError),
    #[error("signals cannot be handled")]
    Signals(#[source] std::io::Error),
}

/// Runs the role until it ends.
pub(super) fn run(args: &RunArgs) -> Exit {
    let sources = Sources::of_process(args.config.config.as_deref());
    let config = match Config::load(&sources, args.role) {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    match start(args, sources, config) {
        Ok(exit) => exit,
        Err(error) => {
            say(&format!("error: {}", crate::telemetry::log::Chain(&error)));
            Exit::Failed
        }
    }
}

fn refuse(error: &ConfigError) -> Exit {
    for problem in &error.0 {
        say(&format!("error: {problem}"));
    }
    say("nothing was started; `config check` shows every setting and where it comes from");
    Exit::Usage
}

fn say(line: &str) {
    // With standard error closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn start(args: &RunArgs, sources: Sources, config: Config) -> Result<Exit, StartError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Metrics::new(args.role, &*clock);
    let log_settings = translate::log(&config.settings.log);
    let guard = log::start(&log_settings, args.role, Arc::clone(&clock), &metrics.pair.log_lines_dropped)
        .map_err(StartError::Log)?;
    if guard.install().is_err() {
        say("error: a log is installed already");
    }
    config.notes.iter().for_each(crate::config::Note::log);
    let _pid_file = PidFile::write(&config.settings.active_standby.run_directory, args.role, &args.alias);

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name(args.role.name())
        .build()
        .map_err(StartError::Runtime)?;
    let events = Events::new(args.role, Arc::clone(&metrics));
    let exit = runtime.block_on(live(sources, config, clock, metrics, events, guard.handle()));
    // Whatever blocks (a name look-up) need not be waited for.
    runtime.shutdown_background();
    drop(guard);
    exit
}

async fn live(
    sources: Sources,
    mut config: Config,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    events: Events,
    log: log::LogHandle,
) -> Result<Exit, StartError> {
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let supervised = supervisor::is_there(&sources.environment);
    let exit_signals = if supervised { &EXIT_SIGNALS[1..] } else { &EXIT_SIGNALS };
    handle_signals(exit_signals, &tasks, &stop, &events).map_err(StartError::Signals)?;
    let hangup = supervised.then(|| tokio::signal::unix::signal(SignalKind::hangup()));
    let hangup = hangup.transpose().map_err(StartError::Signals)?;

    let dial: Arc<dyn Dial> = Arc::new(Tcp { connect_timeout: config.settings.grpc.client.dial_timeout });
    let etcd_dial: Arc<dyn Dial> = Arc::new(Tcp { connect_timeout: Duration::from_secs(1) });
    let etcd = Etcd::new(translate::etcd(&config.settings.etcd), etcd_dial, Arc::clone(&clock))?;
    adopt_settings_in_etcd(&mut config, &etcd).await;
    let settings = config.settings.clone();
    let role = settings.role;
    let keys = translate::keys(&settings.etcd);

    let metrics_port = settings.metrics_port.map_or_else(ManagementPort::default, ManagementPort::Set);
    let management_listener = http::bind(http::ANY_INTERFACE, metrics_port).await?;
    let port = settings.node.port;
    let listener = listen((Ipv4Addr::UNSPECIFIED, port).into())
        .await
        .map_err(|source| StartError::Listen { port, section: role.section(), source })?;
    let port = listener.local_addr().map_or(port, |address| address.port());
    let address = address::advertised(settings.node.ip.as_deref(), port);

    let identity = Arc::new(Identity::new(settings.channels.cluster.clone()));
    // Not ended by the signal: what is under way is finished before the role is handed over.
    let links = LinkOwner::new(tasks.clone(), CancellationToken::new());
    let context = ClientContext {
        identity: Arc::clone(&identity),
        dial: Arc::clone(&dial),
        clock: Arc::clone(&clock),
        links: links.clone(),
        settings: translate::clients(&settings.grpc),
    };
    let peers = Arc::new(Clients::new(
        keys.clone(),
        context.clone(),
        PeerSettings::default(),
        PeerEvents::new(events.clone()),
    ));
    let opened = mq::open(settings.queue.as_ref(), Arc::clone(&clock))?;
    let core = Arc::new(RootCoord::new(
        translate::root_coord(&settings, &config.live(), &keys),
        Arc::clone(&clock),
        Reach {
            queue: opened.queue,
            topics: opened.topics,
            peers: Arc::clone(&peers) as _,
            ticks: Arc::new(TickEvents::new(events.clone(), Arc::clone(&clock))),
        },
        RootCoordEvents::new(events.clone()),
    ));
    let world = World {
        etcd,
        dial: Arc::clone(&dial),
        clock: Arc::clone(&clock),
        death_watch: death_watch(&settings, &keys),
    };
    let telling = TellingSettings {
        role,
        active_standby: settings.active_standby.enabled,
        keys: keys.clone(),
        address: address.clone(),
    };
    let telling = Telling::new(telling, events.clone(), Some(log.clone()));
    let hooks_due = Arc::new(Queue::default());
    let told = hooks_due.told();
    let telling = Listening { queue: Arc::clone(&hooks_due), inner: telling };
    let (instance, handles) = Instance::new(
        translate::instance(&settings, &keys, &address),
        world,
        Arc::clone(&core) as _,
        Arc::new(telling),
        vec![
            translate::config_feed(&keys, &config.store),
            Arc::new(ReloadCounter::new(Arc::clone(&metrics))),
            Arc::clone(&peers) as _,
        ],
    );

    let gatehouse = Arc::new(Gatehouse::new(
        Arc::clone(&identity),
        handles.standing.clone(),
        GatehouseSettings { forward: settings.active_standby.forward, ..GatehouseSettings::default() },
        Arc::clone(&dial),
        tasks.clone(),
        Arc::new(CallCounter::new(Arc::clone(&metrics))),
    ));
    let limits = settings.grpc.server;
    let asked_proxies = AskedProxies::new(peers.proxies(), context);
    let health: Arc<dyn HealthSource> = Arc::new(InstanceHealth::new(role, address.clone(), handles.clone()));
    let service = RootCoordService::new(
        Parts {
            core: Arc::clone(&core),
            clock: Arc::clone(&clock),
            config: Arc::clone(&config.store),
            channels: settings.channels.clone(),
            deployment: translate::deployment(),
            proxies: Arc::new(asked_proxies),
        },
        Arc::clone(&health),
    );
    let services = Services::new(Sizes { receive: limits.receive, send: limits.send })
        .root_coord(Arc::new(service))
        .peer(Arc::new(handles.peer_service.clone()));
    let server =
        Server::start(Box::new(listener), services, Arc::clone(&gatehouse), ServerSettings::default())?;
    let management = Management { health, metrics, log: log.clone() }
        .serve(management_listener)
        .map_err(StartError::Management)?;

    let mut own = handles.own.clone();
    let naming = {
        let identity = Arc::clone(&identity);
        async move {
            if let Ok(id) = own.wait_for(|id| id.0 != 0).await {
                identity.set_server_id(*id);
            }
        }
    };
    tasks.spawn(stop.clone().run_until_cancelled_owned(naming));
    let live = config.live();
    let hook_tasks = TaskTracker::new();
    hook_tasks.spawn(hooks::run(
        Arc::clone(&hooks_due),
        HookContext { role, address },
        move || live.hooks(role),
        events.clone(),
        Arc::clone(&clock),
    ));
    let over = CancellationToken::new();
    if let Some(hangup) = hangup {
        let about = Supervised {
            told,
            standing: handles.standing.clone(),
            own: handles.own.clone(),
            vitals: Arc::clone(&handles.vitals),
            lease: settings.active_standby.lease,
            reload: Reload { sources, store: Arc::clone(&config.store), role, log },
        };
        tasks.spawn(Supervisor::new(about, hangup).run(stop.clone(), over.clone()));
    }
    let quiesce_at = Arc::clone(&gatehouse);
    let quiesce = Arc::new(move || {
        let gatehouse = Arc::clone(&quiesce_at);
        Box::pin(async move {
            gatehouse.drain(QUIESCE_LIMIT).await;
        }) as crate::net::BoxFuture<'static, ()>
    });
    let exit = instance.run(stop.clone(), quiesce).await;

    hooks_due.ended(exit);
    events.stopping();
    stop.cancel();
    server.stop(SERVER_GRACE).await;
    gatehouse.close();
    links.stop();
    management.stop(HTTP_GRACE).await;
    hook_tasks.close();
    hook_tasks.wait().await;
    over.cancel();
    tasks.close();
    tasks.wait().await;
    events.stopped();
    Ok(match exit {
        life::Exit::Done => Exit::Stopped,
        life::Exit::KeyHeld => Exit::Held,
        life::Exit::TermLost => Exit::Lost,
    })
}

/// What etcd holds below `<root>/config/` goes before files and environment. Without
/// an answer in time the start goes on: the values arrive later, those that are read
/// at use count then.
async fn adopt_settings_in_etcd(config: &mut Config, etcd: &Etcd) {
    let range = translate::keys(&config.settings.etcd).config();
    match etcd.list(&range, SETTINGS_IN_ETCD_LIMIT).await {
        Ok(answer) => {
            let values = answer.value.into_iter().filter_map(|kv| {
                let name = kv.key.strip_prefix(&range.start)?.to_owned();
                Some((name, String::from_utf8(kv.value).ok()?))
            });
            config.adopt_dynamic(values.collect::<Vec<_>>());
        }
        Err(error) => tracing::info!(%error, "settings in etcd are not known yet"),
    }
}

fn death_watch(settings: &Settings, keys: &Keys) -> DeathWatchOf {
    let directory = settings.active_standby.run_directory.clone();
    let (role, root) = (settings.role, keys.meta().replace('/', "_"));
    DeathWatchOf(Arc::new(move |cluster_id| -> Arc<dyn DeathWatch> {
        let cluster = format!("{cluster_id:x}-{root}");
        let mut failed = None;
        for path in std::iter::once(&directory.path).chain(&directory.fallback) {
            match LockFiles::open(path, &cluster, role) {
                Ok(files) => return Arc::new(files),
                Err(error) => failed = Some((path, error)),
            }
        }
        if let Some((path, error)) = failed {
            tracing::warn!(
                path = %path.display(), %error,
                "no run directory: processes of this machine can not watch each other by it"
            );
        }
        Arc::new(NoDeathWatch)
    }))
}

/// The signals by which Milvus ends. The first one is a reload where systemd watches.
const EXIT_SIGNALS: [Signal; 4] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];

/// Repeated ones change nothing: every step of the way out has a limit.
fn handle_signals(
    signals: &[Signal],
    tasks: &TaskTracker,
    stop: &CancellationToken,
    events: &Events,
) -> std::io::Result<()> {
    for signal in signals.iter().copied() {
        let mut received = tokio::signal::unix::signal(SignalKind::from_raw(signal as i32))?;
        let (stop, events) = (stop.clone(), events.clone());
        tasks.spawn(async move {
            tokio::select! {
                Some(()) = received.recv() => {
                    events.exit_signal(signal);
                    stop.cancel();
                }
                () = stop.cancelled() => {}
            }
        });
    }
    Ok(())
}
