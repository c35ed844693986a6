//! What a rootcoord is told at its start.

use std::{sync::Arc, time::Duration};

use crate::{
    mq::{NoQueue, Queue, Topics},
    rootcoord::{
        access::Defaults,
        channels::ChannelNaming,
        collections::Limits,
        peers::{Nobody, Peers},
        quota::QuotaSettings,
        tick::TickWitness,
    },
    tso::window,
};

/// How long a DDL call waits for its outcome: a busy queue and busy peers need seconds, and a
/// client that is told to ask again only waits in line once more.
const DDL_PATIENCE: Duration = Duration::from_secs(10);

/// What does not change while the process lives.
#[derive(Clone, Debug)]
pub struct RootCoordSettings {
    /// The full path of metadata, without a slash at the end.
    pub meta_root: String,
    /// The full path of the windows, without a slash at the end.
    pub kv_root: String,
    /// How much there may be of what.
    pub limits: Limits,
    /// What the channels are called. Checked by whoever makes this.
    pub naming: ChannelNaming,
    /// `proxy.timeTickInterval`
    pub tick_interval: Duration,
    /// `common.ttMsgEnabled`: whether ticks and DDL messages are sent.
    pub messages: bool,
    /// Users, roles and grants that must be there.
    pub defaults: Arc<Defaults>,
    /// `None`: proxies are told no limits.
    pub quota: Option<QuotaSettings>,
    /// The lease that is asked for. See [`RootCoord::lease_granted`].
    pub lease: Duration,
    /// How far ahead of the stored timestamp window a wall clock is believed at a campaign.
    pub most_clock_lead: Duration,
    /// How long a DDL call waits for its outcome.
    pub ddl_patience: Duration,
    /// How long an answer waits for a proof.
    pub proof_patience: Duration,
}

impl RootCoordSettings {
    /// With what Milvus ships, and the usual patience.
    pub fn new(meta_root: String, kv_root: String, lease: Duration) -> Self {
        let limits = Limits::default();
        Self {
            meta_root,
            kv_root,
            naming: ChannelNaming::numbered("by-dev-rootcoord-dml", limits.channels),
            limits,
            tick_interval: Duration::from_millis(200),
            messages: true,
            defaults: Arc::default(),
            quota: None,
            lease,
            most_clock_lead: window::MOST_LEAD,
            ddl_patience: DDL_PATIENCE,
            proof_patience: Duration::from_secs(1),
        }
    }
}

/// What rootcoord reaches the rest of the cluster by.
#[derive(Clone, Debug)]
pub struct Reach {
    /// The message queue.
    pub queue: Arc<dyn Queue>,
    /// Where its topics are made.
    pub topics: Arc<dyn Topics>,
    /// Proxies, datacoord and querycoord.
    pub peers: Arc<dyn Peers>,
    /// Hears of ticks.
    pub ticks: Arc<dyn TickWitness>,
}

impl Reach {
    /// A rootcoord by itself: no queue, no other components.
    pub fn nobody(ticks: Arc<dyn TickWitness>) -> Self {
        let queue = Arc::new(NoQueue("there is nobody else".to_owned()));
        Self { queue: Arc::clone(&queue) as _, topics: queue, peers: Arc::new(Nobody), ticks }
    }
}
