use std::time::Duration;

use crate::{
    config::{quota, reader::Reader},
    rootcoord::{access::BuiltinRoles, channels::ChannelNaming},
};

/// What only rootcoord reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootCoordSettings {
    /// Message channels for the data of all collections.
    pub dml_channel_num: u32,
    /// What they are called.
    pub channels: ChannelNaming,
    /// How many databases there may be.
    pub max_database_num: u64,
    /// How many collections there may be.
    pub max_collections: u64,
    /// How many of them in one database.
    pub max_collections_per_database: u64,
    /// How many shards a collection may have.
    pub max_shard_num: u64,
    /// How many partitions a collection may have.
    pub max_partition_num: u64,
    /// The partition that every collection has.
    pub default_partition: String,
    /// How far ticks are apart.
    pub time_tick_interval: Duration,
    /// Whether time ticks and the messages of drops are sent.
    pub messages: bool,
    /// How often proxies are told their limits; `None`: never.
    pub quota_interval: Option<Duration>,
    /// Roles that can not be dropped.
    pub builtin_roles: BuiltinRoles,
}

impl RootCoordSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        reader.check("rootCoord.minSegmentSizeToEnableIndex");
        // Looked up again in each round.
        let _ = quota::limits(|key| reader.value(key));
        let dml_channel_num: u32 = reader.number("rootCoord.dmlChannelNum");
        Self {
            dml_channel_num,
            channels: channels(reader, dml_channel_num),
            max_database_num: reader.number("rootCoord.maxDatabaseNum"),
            max_collections: reader.number("quotaAndLimits.limits.maxCollectionNum"),
            max_collections_per_database: reader.number("quotaAndLimits.limits.maxCollectionNumPerDB"),
            max_shard_num: reader.number("proxy.maxShardNum"),
            max_partition_num: reader.number("rootCoord.maxPartitionNum"),
            default_partition: reader.text("common.defaultPartitionName"),
            time_tick_interval: reader.time("proxy.timeTickInterval"),
            messages: reader.flag("common.ttMsgEnabled"),
            quota_interval: quota_interval(reader),
            builtin_roles: builtin_roles(reader),
        }
    }
}

fn quota_interval(reader: &mut Reader<'_>) -> Option<Duration> {
    let interval = reader.time("quotaAndLimits.quotaCenterCollectInterval");
    reader.flag("quotaAndLimits.enabled").then_some(interval)
}

fn channels(reader: &mut Reader<'_>, number: u32) -> ChannelNaming {
    let cluster = reader.text("msgChannel.chanNamePrefix.cluster");
    let rest = reader.text("msgChannel.chanNamePrefix.rootCoordDml");
    let numbered = ChannelNaming::numbered(format!("{cluster}-{rest}"), number as usize);
    let names = reader.list("common.preCreatedTopic.names");
    if !reader.flag("common.preCreatedTopic.enabled") {
        return numbered;
    }
    ChannelNaming::pre_created(names).unwrap_or_else(|error| {
        reader.refuse("common.preCreatedTopic.names", &format!("can not be used: {error}"));
        numbered
    })
}

fn builtin_roles(reader: &mut Reader<'_>) -> BuiltinRoles {
    let json = reader.text("builtinRoles.roles");
    if !reader.flag("builtinRoles.enable") || json.is_empty() {
        return BuiltinRoles::default();
    }
    BuiltinRoles::parse(&json).unwrap_or_else(|error| {
        reader.refuse("builtinRoles.roles", &format!("can not be used: {error}"));
        BuiltinRoles::default()
    })
}
