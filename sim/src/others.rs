//! The rest of the cluster as rootcoord reaches it: a broker that keeps what it is given, and
//! components that do what they are asked, refuse it, or take their time.

use std::{fmt, sync::Arc, time::Duration};

use milvus_coord::{
    ids::{CollectionId, PartitionId},
    mq::{Message, MessageId, Queue, QueueError, Topics},
    net::BoxFuture,
    rootcoord::{
        model::{Collection, Partition},
        peers::{Called, Invalidation, Peers, PerProxy, PolicyChange},
        quota::Rates,
    },
    rpc::merr::MilvusError,
};
use milvus_proto::{
    common::{MsgHeader, MsgType},
    msg::DropCollectionRequest,
};
use parking_lot::Mutex;
use prost::Message as _;
use rand::{Rng, SeedableRng, rngs::SmallRng};

/// How long an answer takes at most, in milliseconds.
const QUICK: u64 = 15;
/// And that of somebody who hangs.
const SLOW: Duration = Duration::from_secs(3);

/// What proxies say who refuse: the change is done already.
pub const PROXIES_REFUSE: &str = "the proxies refuse";
/// What datacoord says when it is told of an altered collection: the change is done already.
pub const REFUSED_AFTERWARDS: &str = "datacoord refuses to hear of it";
/// What datacoord and querycoord say before a change is done.
pub const REFUSED: &str = "another coordinator refuses";

/// How likely trouble is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trouble {
    /// A call is refused.
    pub refused: f64,
    /// A call hangs for some seconds.
    pub slow: f64,
    /// A message is not acknowledged, whether it arrived or not.
    pub lost: f64,
}

impl Trouble {
    /// Some of it.
    pub const SOME: Self = Self { refused: 0.03, slow: 0.01, lost: 0.02 };
}

/// A message in a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// By which process.
    pub by: String,
    /// Into which channel.
    pub channel: String,
    /// Of which type.
    pub kind: MsgType,
    /// Of which time.
    pub ts: u64,
    /// Which collection is said to be gone.
    pub dropped: Option<CollectionId>,
}

/// All channels; in one order, as the messages came.
#[derive(Clone, Debug, Default)]
pub struct Broker(Arc<Mutex<Vec<Sent>>>);

impl Broker {
    /// What has come since there were `known` of them.
    pub fn since(&self, known: usize) -> Vec<Sent> {
        self.0.lock()[known..].to_vec()
    }

    fn take(&self, by: &str, channel: &str, payload: &[u8]) -> MessageId {
        let base = MsgHeader::decode(payload).ok().and_then(|header| header.base).unwrap_or_default();
        let dropped = (base.msg_type() == MsgType::DropCollection)
            .then(|| DropCollectionRequest::decode(payload).unwrap_or_default())
            .map(|request| CollectionId(request.collection_id));
        let mut sent = self.0.lock();
        sent.push(Sent {
            by: by.to_owned(),
            channel: channel.to_owned(),
            kind: base.msg_type(),
            ts: base.timestamp,
            dropped,
        });
        MessageId(sent.len().to_le_bytes().to_vec())
    }
}

/// The rest of the cluster, for one process.
pub struct Others {
    process: String,
    broker: Broker,
    trouble: Trouble,
    rng: Mutex<SmallRng>,
}

impl fmt::Debug for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Others").field("process", &self.process).finish_non_exhaustive()
    }
}

impl Others {
    /// For that process.
    pub fn new(process: &str, broker: Broker, trouble: Trouble, seed: u64) -> Self {
        Self { process: process.to_owned(), broker, trouble, rng: Mutex::new(SmallRng::seed_from_u64(seed)) }
    }

    fn is(&self, odds: f64) -> bool {
        odds > 0.0 && self.rng.lock().random_bool(odds)
    }

    fn takes(&self) -> Duration {
        let quick = Duration::from_millis(self.rng.lock().random_range(0..=QUICK));
        if self.is(self.trouble.slow) { SLOW } else { quick }
    }

    /// Whoever refuses does nothing.
    fn call(&self, refusal: &'static str) -> Called<'_> {
        let (refused, takes) = (self.is(self.trouble.refused), self.takes());
        Box::pin(async move {
            tokio::time::sleep(takes).await;
            if refused { Err(MilvusError::plain(refusal)) } else { Ok(()) }
        })
    }

    /// There are no nodes.
    fn without_figures(&self) -> Called<'_, String> {
        let called = self.call(REFUSED);
        Box::pin(async move { called.await.map(|()| "{}".to_owned()) })
    }
}

impl Queue for Others {
    fn produce<'a>(
        &'a self,
        channel: &'a str,
        message: Message,
    ) -> BoxFuture<'a, Result<MessageId, QueueError>> {
        Box::pin(async move {
            // A deposed one may be frozen after this, but not between the gate and this.
            let unheard = self.is(self.trouble.lost);
            let stored = (!unheard || self.is(0.5))
                .then(|| self.broker.take(&self.process, channel, &message.payload));
            tokio::time::sleep(self.takes()).await;
            stored.filter(|_| !unheard).ok_or_else(|| QueueError::Unreachable {
                queue: "simulated",
                address: "broker".to_owned(),
                reason: "no acknowledgement".to_owned(),
            })
        })
    }

    fn purge(&self) {}
}

impl Topics for Others {
    fn ensure<'a>(&'a self, _: &'a [String]) -> BoxFuture<'a, Result<(), QueueError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Peers for Others {
    fn invalidate(&self, _: Invalidation) -> Called<'_> {
        self.call(PROXIES_REFUSE)
    }

    fn refresh_policy(&self, _: PolicyChange) -> Called<'_> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn watch_channels<'a>(&'a self, _: &'a Collection) -> Called<'a> {
        self.call(REFUSED)
    }

    fn drop_indexes(&self, _: CollectionId) -> Called<'_> {
        self.call(REFUSED)
    }

    fn collection_altered<'a>(&'a self, _: &'a Collection, _: &'a [PartitionId]) -> Called<'a> {
        self.call(REFUSED_AFTERWARDS)
    }

    fn garbage_is_gone(&self, _: CollectionId, _: Option<PartitionId>) -> Called<'_, bool> {
        let (gone, called) = (self.is(0.5), self.call(REFUSED));
        Box::pin(async move {
            called.await?;
            Ok(gone)
        })
    }

    fn release_collection(&self, _: CollectionId) -> Called<'_> {
        self.call(REFUSED)
    }

    fn release_partitions<'a>(&'a self, _: CollectionId, _: &'a [PartitionId]) -> Called<'a> {
        self.call(REFUSED)
    }

    fn partition_created<'a>(&'a self, _: &'a Partition) -> Called<'a> {
        self.call(REFUSED)
    }

    fn query_metrics(&self) -> Called<'_, String> {
        self.without_figures()
    }

    fn data_metrics(&self) -> Called<'_, String> {
        self.without_figures()
    }

    fn proxy_metrics(&self) -> BoxFuture<'_, PerProxy<String>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    fn set_rates<'a>(&'a self, _: &'a Rates) -> BoxFuture<'a, PerProxy<()>> {
        Box::pin(std::future::ready(Vec::new()))
    }
}
