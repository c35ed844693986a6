//! From settings as they are written to settings as the parts want them.

use std::{sync::Arc, time::Duration};

use crate::{
    config::{self, ConfigStore, Live, OnLost, Settings},
    election::{
        gate::GateSettings, instance::InstanceSettings, observer::MirrorListener, rules::Rules,
        session::MILVUS_VERSION,
    },
    etcd::{
        keys::Keys,
        mirror::{KeyRange, MirrorEvent},
        settings::{EtcdSettings, Pem, TlsSettings, TlsVersion},
    },
    rootcoord::{
        access::Defaults, collections::Limits, core::RootCoordSettings, metrics_info::Deployment,
        quota::QuotaSettings,
    },
    rpc::{
        clients::{ClientSettings, Ladder},
        link::LinkSettings,
        server::Sizes,
    },
    telemetry::log::{LogFileSettings, LogFormat, LogLevel, LogSettings},
};

/// One attempt of a fenced write; `etcd.requestTimeout` bounds the whole.
const WRITE_ATTEMPT: Duration = Duration::from_secs(2);

pub(in crate::cli) fn log(settings: &config::LogSettings) -> LogSettings {
    LogSettings {
        level: log_level(settings.level),
        libraries: LogLevel::Warn,
        format: match settings.format {
            config::LogFormat::Text => LogFormat::Text,
            config::LogFormat::Json => LogFormat::Json,
        },
        stdout: settings.stdout,
        file: settings.file.as_ref().map(|file| LogFileSettings {
            folder: file.root_path.clone(),
            max_size_mb: file.max_size_mb,
            max_age_days: u32::try_from(file.max_age_days).unwrap_or(u32::MAX),
            max_backups: file.max_backups,
        }),
    }
}

pub(in crate::cli) fn log_level(level: config::LogLevel) -> LogLevel {
    match level {
        config::LogLevel::Debug => LogLevel::Debug,
        config::LogLevel::Info => LogLevel::Info,
        config::LogLevel::Warn => LogLevel::Warn,
        config::LogLevel::Error | config::LogLevel::Fatal => LogLevel::Error,
    }
}

pub(in crate::cli) fn etcd(settings: &config::EtcdSettings) -> EtcdSettings {
    let mut wanted = EtcdSettings::new(settings.endpoints.clone());
    wanted.tls = settings.tls.as_ref().and_then(|tls| {
        Some(TlsSettings {
            ca: Pem::File(tls.ca.clone()?),
            cert: tls.identity.as_ref().map(|(cert, _)| Pem::File(cert.clone())),
            key: tls.identity.as_ref().map(|(_, key)| Pem::File(key.clone())),
            min_version: if tls.only_tls13 { TlsVersion::V1_3 } else { TlsVersion::V1_2 },
        })
    });
    wanted.auth = settings.auth.as_ref().map(|auth| (auth.user.clone(), auth.password.expose().to_owned()));
    wanted
}

pub(in crate::cli) fn keys(settings: &config::EtcdSettings) -> Keys {
    let below = |path: &str| path.strip_prefix(&settings.root_path).unwrap_or(path).to_owned();
    Keys::new(&settings.root_path, &below(&settings.meta_root), &below(&settings.kv_root))
}

pub(in crate::cli) fn instance(settings: &Settings, keys: &Keys, address: &str) -> InstanceSettings {
    let pair = &settings.active_standby;
    InstanceSettings {
        role: settings.role,
        address: address.to_owned(),
        host_name: host_name(),
        keys: keys.clone(),
        active_standby: pair.enabled,
        lease_ttl: pair.lease,
        gate: GateSettings { proof_window: pair.proof_window, strict: pair.strict, rules: Rules::default() },
        fast_takeover: pair.fast_takeover,
        foreign_wait: pair.go_predecessor_wait,
        priority: pair.priority,
        failback: pair.failback,
        exit_on_loss: pair.on_lost == OnLost::Exit,
        rounds: settings.node.session_retry_times,
        write_timeout: settings.etcd.request_timeout.min(WRITE_ATTEMPT),
        rules: Rules::default(),
    }
}

pub(in crate::cli) fn root_coord(settings: &Settings, live: &Live, keys: &Keys) -> RootCoordSettings {
    let own = &settings.root_coord;
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let limits = Limits {
        databases: count(own.max_database_num),
        channels: count(own.dml_channel_num.into()),
        shards: count(own.max_shard_num),
        collections_per_database: count(own.max_collections_per_database),
        collections: count(own.max_collections),
        partitions: count(own.max_partition_num),
        default_partition: own.default_partition.clone(),
    };
    RootCoordSettings {
        naming: own.channels.clone(),
        limits,
        tick_interval: own.time_tick_interval,
        messages: own.messages,
        defaults: Arc::new(Defaults::default().with(&own.builtin_roles)),
        quota: own.quota_interval.map(|interval| QuotaSettings { interval, limits: Arc::new(live.clone()) }),
        ..RootCoordSettings::new(keys.meta().to_owned(), keys.kv().to_owned(), settings.active_standby.lease)
    }
}

/// What GetMetrics tells of the build. Its readers expect the release that they belong to.
pub(in crate::cli) fn deployment() -> Deployment {
    Deployment {
        deploy_mode: "DISTRIBUTED".to_owned(),
        build_version: MILVUS_VERSION.to_owned(),
        system_version: format!("milvus-coord/{}", env!("CARGO_PKG_VERSION")),
        ..Deployment::default()
    }
}

fn host_name() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default()
}

pub(in crate::cli) fn clients(settings: &config::GrpcSettings) -> ClientSettings {
    ClientSettings {
        link: LinkSettings {
            connect_timeout: settings.client.dial_timeout,
            ping_every: settings.client.keep_alive_time,
            ping_timeout: settings.client.keep_alive_timeout,
        },
        sizes: Sizes { receive: settings.to_proxy.receive, send: settings.to_proxy.send },
        compress: settings.client.compression,
        ladder: Ladder {
            most_attempts: settings.client.max_attempts,
            first_pause: settings.client.initial_backoff,
            longest_pause: settings.client.max_backoff,
        },
        ..ClientSettings::default()
    }
}

/// Settings below `<root>/config/` as they change.
#[derive(Debug)]
struct ConfigFeed {
    range: KeyRange,
    store: Arc<ConfigStore>,
    loading: parking_lot::Mutex<Option<Vec<(String, String)>>>,
}

pub(in crate::cli) fn config_feed(keys: &Keys, store: &Arc<ConfigStore>) -> Arc<dyn MirrorListener> {
    Arc::new(ConfigFeed { range: keys.config(), store: Arc::clone(store), loading: Default::default() })
}

impl MirrorListener for ConfigFeed {
    fn ranges(&self) -> Vec<KeyRange> {
        vec![self.range.clone()]
    }

    fn hear(&self, event: &MirrorEvent) {
        match event {
            MirrorEvent::Reset => *self.loading.lock() = Some(Vec::new()),
            MirrorEvent::Entry(kv) => {
                if let (Some(name), Some(loading)) =
                    (kv.key.strip_prefix(&self.range.start), self.loading.lock().as_mut())
                {
                    loading.push((name.to_owned(), String::from_utf8_lossy(&kv.value).into_owned()));
                }
            }
            MirrorEvent::Loaded(_) => {
                if let Some(values) = self.loading.lock().take() {
                    self.store.replace_dynamic(values);
                }
            }
            MirrorEvent::Put(kv) => {
                if let Some(name) = kv.key.strip_prefix(&self.range.start) {
                    self.store.apply_dynamic(name, Some(&String::from_utf8_lossy(&kv.value)));
                }
            }
            MirrorEvent::Deleted(key, _) => {
                if let Some(name) = key.strip_prefix(&self.range.start) {
                    self.store.apply_dynamic(name, None);
                }
            }
            MirrorEvent::UpTo(_) => {}
        }
    }
}
