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

pub(super) const fn priority(key: &'static str) -> Item {
    item(
        key,
        "0",
        Kind::Number { least: -1000, most: 1000 },
        "Who should be ACTIVE: the instance with the highest number. One that leaves hands over to it, and after \
         a failure the others give it a head start of some milliseconds. See failback.",
    )
}

pub(super) const fn failback(key: &'static str) -> Item {
    item(
        key,
        "false",
        Kind::Flag,
        "Whether this instance, as a standby, asks an ACTIVE one of lower priority for the role. It hands over \
         without a failed call.",
    )
}

pub(super) const fn failback_after(key: &'static str) -> Item {
    item(
        key,
        "30",
        Kind::Time { unit: Unit::Seconds, least: 1, most: 3600 },
        "How long this instance must have been ready to serve before it asks (failback). Doubles with each time \
         within an hour.",
    )
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

fn command(value: &Value) -> Result<(), &'static str> {
    match value {
        Value::Text(command) if command.contains('\0') => Err("must not contain a NUL character"),
        _ => Ok(()),
    }
}

const fn hook(key: &'static str, doc: &'static str) -> Item {
    item(key, "", Kind::Text, doc).local().live().check(command)
}

pub(super) const fn on_active(key: &'static str) -> Item {
    hook(
        key,
        "A command to run when this process has become ACTIVE, by /bin/sh -c. It finds in its environment \
         MILVUS_COORD_ROLE (rootcoord), MILVUS_COORD_SERVER_ID, MILVUS_COORD_ADDRESS (host:port), \
         MILVUS_COORD_STATE (active, standby, fault, stop), MILVUS_COORD_EPOCH (the term that began or ended; \
         empty without one) and MILVUS_COORD_REASON (here: certain, hint, silence, handover, vacant). Nothing \
         waits for it. Hooks run one after the other; one that is outdated before it has begun is left out.",
    )
}

pub(super) const fn on_standby(key: &'static str) -> Item {
    hook(
        key,
        "The same when it has become STANDBY. The reason is registered, or handed_over after a switchover.",
    )
}

pub(super) const fn on_fault(key: &'static str) -> Item {
    hook(
        key,
        "The same when it has lost its term or its lease; as soon as it is of use again, onStandby or onActive \
         follows. The reason is deposed, lease_lost, activation_failed, foreign_write, etcd_replaced or \
         hand_over_failed.",
    )
}

pub(super) const fn on_stop(key: &'static str) -> Item {
    hook(
        key,
        "The same when it ends, once it is ACTIVE no longer. A hook that still runs then gets one second more. \
         The end of the process waits for this one. The reason is stopped, handed_over, hand_over_failed, \
         key_held or term_lost.",
    )
}

pub(super) const fn hook_timeout(key: &'static str) -> Item {
    item(
        key,
        "10",
        Kind::Time { unit: Unit::Seconds, least: 1, most: 600 },
        "When the command is killed, with everything that it has started. What it leaves running in the \
         background is killed when it ends.",
    )
    .local()
    .live()
}

/// All of a section's hooks.
macro_rules! hooks {
    ($section:literal) => {
        [
            standby::on_active(concat!($section, ".activeStandby.hooks.onActive.command")),
            standby::hook_timeout(concat!($section, ".activeStandby.hooks.onActive.timeout")),
            standby::on_standby(concat!($section, ".activeStandby.hooks.onStandby.command")),
            standby::hook_timeout(concat!($section, ".activeStandby.hooks.onStandby.timeout")),
            standby::on_fault(concat!($section, ".activeStandby.hooks.onFault.command")),
            standby::hook_timeout(concat!($section, ".activeStandby.hooks.onFault.timeout")),
            standby::on_stop(concat!($section, ".activeStandby.hooks.onStop.command")),
            standby::hook_timeout(concat!($section, ".activeStandby.hooks.onStop.timeout")),
        ]
    };
}
pub(super) use hooks;

const COMMON_HOOKS: [Item; 8] = {
    use super::standby;
    hooks!("common")
};

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
    priority("common.activeStandby.priority"),
    failback("common.activeStandby.failback"),
    failback_after("common.activeStandby.failbackAfterSeconds"),
    COMMON_HOOKS[0],
    COMMON_HOOKS[1],
    COMMON_HOOKS[2],
    COMMON_HOOKS[3],
    COMMON_HOOKS[4],
    COMMON_HOOKS[5],
    COMMON_HOOKS[6],
    COMMON_HOOKS[7],
];
