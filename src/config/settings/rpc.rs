use std::time::Duration;

use crate::{config::reader::Reader, ids::Role};

/// gRPC server and clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcSettings {
    /// What the own server sends and receives.
    pub server: MessageLimits,
    /// What clients to rootcoord send and receive; likewise the next three.
    pub to_root_coord: MessageLimits,
    /// To datacoord.
    pub to_data_coord: MessageLimits,
    /// To querycoord.
    pub to_query_coord: MessageLimits,
    /// To proxies.
    pub to_proxy: MessageLimits,
    /// What all clients share.
    pub client: ClientSettings,
}

/// The largest messages, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageLimits {
    /// That may be sent.
    pub send: usize,
    /// That may be received.
    pub receive: usize,
}

/// How other components are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientSettings {
    /// How long connecting may take.
    pub dial_timeout: Duration,
    /// After how much silence a connection is tested by a ping.
    pub keep_alive_time: Duration,
    /// How long to wait for the answer to a ping.
    pub keep_alive_timeout: Duration,
    /// How often a call is tried.
    pub max_attempts: u32,
    /// The pause after the first failed attempt.
    pub initial_backoff: Duration,
    /// The longest pause.
    pub max_backoff: Duration,
    /// Whether requests are compressed with zstd.
    pub compression: bool,
}

impl GrpcSettings {
    pub(super) fn read(reader: &mut Reader<'_>, role: Role) -> Self {
        reader.check("grpc.gracefulStopTimeout");
        let mut limits = |section: &str, side: &str| MessageLimits {
            send: reader.number(&format!("{section}.grpc.{side}MaxSendSize")),
            receive: reader.number(&format!("{section}.grpc.{side}MaxRecvSize")),
        };
        Self {
            server: limits(role.section(), "server"),
            to_root_coord: limits(Role::RootCoord.section(), "client"),
            to_data_coord: limits(Role::DataCoord.section(), "client"),
            to_query_coord: limits(Role::QueryCoord.section(), "client"),
            to_proxy: limits("proxy", "client"),
            client: ClientSettings::read(reader),
        }
    }
}

impl ClientSettings {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            dial_timeout: reader.time("grpc.client.dialTimeout"),
            keep_alive_time: reader.time("grpc.client.keepAliveTime"),
            keep_alive_timeout: reader.time("grpc.client.keepAliveTimeout"),
            max_attempts: reader.number("grpc.client.maxMaxAttempts"),
            initial_backoff: reader.time("grpc.client.initialBackoff"),
            max_backoff: reader.time("grpc.client.maxBackoff"),
            compression: reader.flag("grpc.client.compressionEnabled"),
        }
    }
}
