//! The keys of the pair itself. Each stands under a role, or under `common` for all.

use super::{
    super::kind::{Kind, Unit, Value},
    Item, item,
};

fn absolute(value: &Value) -> Result<(), &'static str> {
    match value {
        Value::Text(path) if !path.starts_with('/') => Err("must be an absolute path"),
        _ => Ok(()),
    }
}

pub(super) const fn lease(key: &'static str) -> Item {
    item(
        key,
        "5",
        Kind::Number { least: 2, most: 3600 },
        "Seconds after which a silent ACTIVE process (frozen, cut off, host lost) loses its role. A shorter \
         lease means a faster takeover and less patience with a slow etcd. common.session.ttl does not change it.",
    )
}

pub(super) const fn proof_window(key: &'static str) -> Item {
    item(
        key,
        "100",
        Kind::Time { unit: Unit::Millis, least: 10, most: 60_000 },
        "How old the last confirmation by etcd may be for the ACTIVE process to answer. A standby on another \
         machine waits as long before it answers. Must be shorter than leaseSeconds.",
    )
}

pub(super) const fn strict(key: &'static str) -> Item {
    item(
        key,
        "false",
        Kind::Flag,
        "Whether every answer needs a confirmation by etcd that was asked for after the call arrived. Excludes \
         stale answers after a pause of the virtual machine, at the price of one read of etcd per batch of calls.",
    )
}

pub(super) const fn fast_takeover(key: &'static str) -> Item {
    item(
        key,
        "true",
        Kind::Flag,
        "Whether a standby takes over as soon as it knows that the ACTIVE process is gone. If false, it always \
         waits for the lease to end.",
    )
}

pub(super) const fn forward(key: &'static str) -> Item {
    item(
        key,
        "true",
        Kind::Flag,
        "Whether a standby hands calls that name no server on to the ACTIVE process (load balancers, virtual IPs).",
    )
}

pub(super) const fn on_lost(key: &'static str) -> Item {
    item(
        key,
        "standby",
        Kind::Choice(&["standby", "exit"]),
        "What a process does that lost its role: go on as standby, or exit with code 4.",
    )
}

pub(super) const fn run_directory(key: &'static str) -> Item {
    item(
        key,
        "/run/milvus",
        Kind::Name,
        "The folder for the files by which processes of one machine see each other die. If this default cannot \
         be used, /tmp/milvus is; a folder that is set here must be usable.",
    )
    .check(absolute)
}

pub(super) const fn go_wait(key: &'static str) -> Item {
    item(
        key,
        "0",
        Kind::Time { unit: Unit::Seconds, least: 0, most: 3600 },
        "How long to wait, after taking over from a coordinator of the original kind, before serving: it checks \
         its role only now and then, and until its process ends it may still write.",
    )
}

/// Under `common`.
pub(super) static COMMON: &[Item] = &[
    lease("common.activeStandby.leaseSeconds"),
    proof_window("common.activeStandby.proofWindowMs"),
    strict("common.activeStandby.strict"),
    fast_takeover("common.activeStandby.fastTakeover"),
    forward("common.activeStandby.forward"),
    on_lost("common.activeStandby.onLost"),
    run_directory("common.activeStandby.runDirectory"),
    go_wait("common.activeStandby.goPredecessorWaitSeconds"),
];
