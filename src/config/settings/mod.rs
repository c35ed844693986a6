//! The settings of one process, typed. Read at start; what may change while the
//! process runs is read through [`Live`](super::Live) at each use.

mod etcd;
mod hooks;
mod log;
mod pair;
mod pulsar;
mod queue;
mod root_coord;
mod rpc;

pub use self::{
    etcd::{EtcdAuth, EtcdSettings, EtcdTls},
    hooks::{HookSetting, HookSettings},
    log::{LogFileSettings, LogFormat, LogLevel, LogSettings},
    pair::{ActiveStandbySettings, OnLost, RunDirectory},
    pulsar::{PulsarLogin, PulsarSettings},
    queue::{KafkaLogin, KafkaProperty, KafkaSettings, QueueSettings},
    root_coord::RootCoordSettings,
    rpc::{ClientSettings, GrpcSettings, MessageLimits},
};

use super::{
    origin::{ConfigError, Note, Origin, Problem},
    reader::Reader,
    store::ConfigStore,
};
use crate::ids::Role;

/// Everything that one process is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Whose settings they are.
    pub role: Role,
    /// Etcd.
    pub etcd: EtcdSettings,
    /// Address and port.
    pub node: RoleSettings,
    /// The pair.
    pub active_standby: ActiveStandbySettings,
    /// gRPC server and clients.
    pub grpc: GrpcSettings,
    /// The log.
    pub log: LogSettings,
    /// Names that the whole cluster shares.
    pub channels: ChannelNames,
    /// The message queue, if one is configured.
    pub queue: Option<QueueSettings>,
    /// What only rootcoord reads.
    pub root_coord: RootCoordSettings,
    /// The port of `METRICS_PORT`; `None`: 9091, or the next free one.
    pub metrics_port: Option<u16>,
}

/// Where the process is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleSettings {
    /// The address that others are told; `None`: the machine's first global unicast IPv4 address.
    pub ip: Option<String>,
    /// The gRPC port; 0: the system picks one.
    pub port: u16,
    /// How many rounds an instance without active-standby waits for the holder of its role.
    pub session_retry_times: u32,
}

/// Topic names, with the cluster's prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelNames {
    /// The prefix; also what calls between components carry as the cluster's name.
    pub cluster: String,
    /// Rootcoord's time tick channel.
    pub root_coord_time_tick: String,
    /// Rootcoord's statistics channel.
    pub root_coord_statistics: String,
}

impl Settings {
    /// Reads everything that a process of that role needs.
    ///
    /// # Errors
    /// Every wrong value, each with its place and what would be right.
    pub fn read(store: &ConfigStore, role: Role) -> Result<(Self, Vec<Note>), ConfigError> {
        let mut reader = Reader::new(store);
        let settings = Self::read_with(&mut reader, role);
        note_overridden_names(store, &mut reader);
        if reader.problems.is_empty() {
            Ok((settings, reader.notes))
        } else {
            Err(ConfigError(reader.problems))
        }
    }

    pub(super) fn read_with(reader: &mut Reader<'_>, role: Role) -> Self {
        let settings = Self {
            role,
            etcd: EtcdSettings::read(reader),
            node: RoleSettings::read(reader, role),
            active_standby: ActiveStandbySettings::read(reader, role),
            grpc: GrpcSettings::read(reader, role),
            log: LogSettings::read(reader),
            channels: ChannelNames::read(reader),
            queue: QueueSettings::read(reader),
            root_coord: RootCoordSettings::read(reader),
            metrics_port: metrics_port(reader),
        };
        note_session_ttl(reader, &settings);
        settings
    }
}

impl RoleSettings {
    fn read(reader: &mut Reader<'_>, role: Role) -> Self {
        let section = role.section();
        Self {
            ip: Some(reader.text(&format!("{section}.ip"))).filter(|ip| !ip.is_empty()),
            port: reader.number(&format!("{section}.port")),
            session_retry_times: reader.number("common.session.retryTimes"),
        }
    }
}

impl ChannelNames {
    fn read(reader: &mut Reader<'_>) -> Self {
        let cluster = reader.text("msgChannel.chanNamePrefix.cluster");
        let named = |rest: String| format!("{cluster}-{rest}");
        Self {
            root_coord_time_tick: named(reader.text("msgChannel.chanNamePrefix.rootCoordTimeTick")),
            root_coord_statistics: named(reader.text("msgChannel.chanNamePrefix.rootCoordStatistics")),
            cluster,
        }
    }
}

/// Not a key of the file: Milvus reads this variable only.
fn metrics_port(reader: &mut Reader<'_>) -> Option<u16> {
    let value = reader.variable("METRICS_PORT")?;
    let port = value.parse().ok();
    if port.is_none() {
        reader.problems.push(Problem {
            origin: Some(Origin::Variable("METRICS_PORT".into())),
            what: format!("the port for HTTP is {value:?}; it must be a whole number from 0 to 65535"),
        });
    }
    port
}

fn note_session_ttl(reader: &mut Reader<'_>, settings: &Settings) {
    const KEY: &str = "common.session.ttl";
    let ttl = reader.time(KEY);
    let origin = reader.origin(KEY);
    if origin != Origin::Default {
        reader.notes.push(Note::info(format!(
            "{KEY} = {} ({origin}) is for Milvus's own processes: the lease of this one is \
             {}.activeStandby.leaseSeconds = {}",
            ttl.as_secs_f64(),
            settings.role.section(),
            settings.active_standby.lease.as_secs(),
        )));
    }
}

fn note_overridden_names(store: &ConfigStore, reader: &mut Reader<'_>) {
    for section in ["rootCoord", "dataCoord", "queryCoord", "indexCoord"] {
        let key = format!("{section}.address");
        if let Some(entry) = store.find(&super::key::squeeze(&key)).filter(|entry| !entry.value.is_empty()) {
            reader.notes.push(Note::info(format!(
                "{key} ({}) is ignored: coordinators find each other by their sessions in etcd",
                entry.origin
            )));
        }
    }
    for known in super::table::all().iter().filter(|known| known.names.len() > 1) {
        if !reader.seen.contains(known.item.key) {
            continue;
        }
        let counts = store.resolve(known);
        for other in store.others(known, &counts) {
            reader.notes.push(Note::warn(format!(
                "`{}` ({}) and `{}` ({}) are the same setting: {} counts",
                other.spelled, other.origin, counts.spelled, counts.origin, counts.value
            )));
        }
    }
}
