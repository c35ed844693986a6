//! Keys of one role.

use super::{
    super::kind::{Kind, Unit, Value},
    Item, item,
    shared::BYTES,
    standby,
};

fn host(value: &Value) -> Result<(), &'static str> {
    match value {
        Value::Text(ip) if ip.contains(|c: char| c.is_whitespace() || matches!(c, '/' | ',' | '"')) => {
            Err("must be an IP address or a host name")
        }
        _ => Ok(()),
    }
}

const fn ip(key: &'static str) -> Item {
    item(
        key,
        "",
        Kind::Text,
        "The address under which others find this process; empty: the first global unicast IPv4 address of the \
         machine. The server listens on all addresses.",
    )
    .check(host)
}

const fn port(key: &'static str, default: &'static str) -> Item {
    item(
        key,
        default,
        Kind::Number { least: 0, most: 65535 },
        "The port of the gRPC server. 0: the system picks one, and the session names it.",
    )
}

const fn enable(key: &'static str) -> Item {
    item(
        key,
        "false",
        Kind::Flag,
        "Whether several processes of this role may run: one is ACTIVE, the others STANDBY. Later releases of \
         Milvus call it activeStandby.enabled; both names work, and within one file the later one counts.",
    )
}

macro_rules! server_limits {
    ($section:literal) => {
        [
            item(
                concat!($section, ".grpc.serverMaxSendSize"),
                "536870912",
                BYTES,
                "The largest answer in bytes.",
            )
            .fallbacks(&["grpc.serverMaxSendSize"])
            .empty_is_default(),
            item(
                concat!($section, ".grpc.serverMaxRecvSize"),
                "268435456",
                BYTES,
                "The largest request in bytes.",
            )
            .fallbacks(&["grpc.serverMaxRecvSize"])
            .empty_is_default(),
        ]
    };
}

macro_rules! client_limits {
    ($section:literal) => {
        [
            item(
                concat!($section, ".grpc.clientMaxSendSize"),
                "268435456",
                BYTES,
                "The largest request in bytes that others send to this role.",
            )
            .fallbacks(&["grpc.clientMaxSendSize"])
            .empty_is_default(),
            item(
                concat!($section, ".grpc.clientMaxRecvSize"),
                "536870912",
                BYTES,
                "The largest answer in bytes that others take from this role.",
            )
            .fallbacks(&["grpc.clientMaxRecvSize"])
            .empty_is_default(),
        ]
    };
}

macro_rules! coordinator {
    ($section:literal, $port:literal) => {{
        const SERVER: [Item; 2] = server_limits!($section);
        const CLIENT: [Item; 2] = client_limits!($section);
        const HOOKS: [Item; 8] = standby::hooks!($section);
        &[
            ip(concat!($section, ".ip")),
            port(concat!($section, ".port"), $port),
            enable(concat!($section, ".enableActiveStandby"))
                .aliases(&[concat!($section, ".activeStandby.enabled")]),
            standby::lease(concat!($section, ".activeStandby.leaseSeconds"))
                .fallbacks(&["common.activeStandby.leaseSeconds"]),
            standby::proof_window(concat!($section, ".activeStandby.proofWindowMs"))
                .fallbacks(&["common.activeStandby.proofWindowMs"]),
            standby::strict(concat!($section, ".activeStandby.strict"))
                .fallbacks(&["common.activeStandby.strict"]),
            standby::fast_takeover(concat!($section, ".activeStandby.fastTakeover"))
                .fallbacks(&["common.activeStandby.fastTakeover"]),
            standby::forward(concat!($section, ".activeStandby.forward"))
                .fallbacks(&["common.activeStandby.forward"]),
            standby::on_lost(concat!($section, ".activeStandby.onLost"))
                .fallbacks(&["common.activeStandby.onLost"]),
            standby::run_directory(concat!($section, ".activeStandby.runDirectory"))
                .fallbacks(&["common.activeStandby.runDirectory"]),
            standby::go_wait(concat!($section, ".activeStandby.goPredecessorWaitSeconds"))
                .fallbacks(&["common.activeStandby.goPredecessorWaitSeconds"]),
            standby::priority(concat!($section, ".activeStandby.priority"))
                .fallbacks(&["common.activeStandby.priority"]),
            standby::failback(concat!($section, ".activeStandby.failback"))
                .fallbacks(&["common.activeStandby.failback"]),
            standby::failback_after(concat!($section, ".activeStandby.failbackAfterSeconds"))
                .fallbacks(&["common.activeStandby.failbackAfterSeconds"]),
            HOOKS[0].fallbacks(&["common.activeStandby.hooks.onActive.command"]),
            HOOKS[1].fallbacks(&["common.activeStandby.hooks.onActive.timeout"]),
            HOOKS[2].fallbacks(&["common.activeStandby.hooks.onStandby.command"]),
            HOOKS[3].fallbacks(&["common.activeStandby.hooks.onStandby.timeout"]),
            HOOKS[4].fallbacks(&["common.activeStandby.hooks.onFault.command"]),
            HOOKS[5].fallbacks(&["common.activeStandby.hooks.onFault.timeout"]),
            HOOKS[6].fallbacks(&["common.activeStandby.hooks.onStop.command"]),
            HOOKS[7].fallbacks(&["common.activeStandby.hooks.onStop.timeout"]),
            SERVER[0],
            SERVER[1],
            CLIENT[0],
            CLIENT[1],
        ]
    }};
}

/// What every coordinator has, for rootcoord.
pub(super) static ROOT_COORD: &[Item] = coordinator!("rootCoord", "53100");
/// For datacoord.
pub(super) static DATA_COORD: &[Item] = coordinator!("dataCoord", "13333");
/// For querycoord.
pub(super) static QUERY_COORD: &[Item] = coordinator!("queryCoord", "19531");

/// What only rootcoord has.
pub(super) static ROOT_COORD_ONLY: &[Item] = &[
    item(
        "rootCoord.dmlChannelNum",
        "16",
        Kind::Number { least: 1, most: 65_536 },
        "How many message channels carry the data of all collections.",
    )
    .forbidden(),
    item(
        "rootCoord.maxDatabaseNum",
        "64",
        Kind::Number { least: 1, most: i64::MAX },
        "How many databases there may be.",
    ),
    item(
        "rootCoord.maxPartitionNum",
        "4096",
        Kind::Number { least: 1, most: i64::MAX },
        "How many partitions a collection may have.",
    ),
    item(
        "rootCoord.minSegmentSizeToEnableIndex",
        "1024",
        Kind::Number { least: 0, most: i64::MAX },
        "Rows from which on a segment is indexed. Only reported, in the answer to GetMetrics.",
    )
    .live(),
];

const PROXY_CLIENT: [Item; 2] = client_limits!("proxy");

/// What rootcoord reads of the proxies' section.
pub(super) static PROXY: &[Item] = &[
    item(
        "proxy.timeTickInterval",
        "200",
        Kind::Time { unit: Unit::Millis, least: 1, most: 3_600_000 },
        "The period of rootcoord's own time ticks.",
    ),
    item(
        "proxy.maxShardNum",
        "16",
        Kind::Number { least: 1, most: 65_536 },
        "How many shards a collection may have.",
    ),
    PROXY_CLIENT[0],
    PROXY_CLIENT[1],
];
