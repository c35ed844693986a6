//! [`Peers`] that do nothing but remember, for tests of those who call them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use crate::{
    ids::{CollectionId, PartitionId, ServerId},
    net::BoxFuture,
    rootcoord::{
        model::{Collection, Partition},
        peers::{Called, Invalidation, Peers, PerProxy, PolicyChange},
        quota::Rates,
    },
    rpc::merr::MilvusError,
};

/// A call, as it was made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Call {
    Invalidate(Invalidation),
    RefreshPolicy(PolicyChange),
    WatchChannels(CollectionId),
    DropIndexes(CollectionId),
    CollectionAltered(CollectionId, BTreeMap<String, String>, Vec<PartitionId>),
    GarbageIsGone(CollectionId, Option<PartitionId>),
    ReleaseCollection(CollectionId),
    ReleasePartitions(CollectionId, Vec<PartitionId>),
    PartitionCreated(CollectionId, PartitionId),
    QueryMetrics,
    DataMetrics,
    ProxyMetrics,
    SetRates(Rates),
}

/// A call without what it was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CallKind {
    Invalidate,
    RefreshPolicy,
    WatchChannels,
    DropIndexes,
    CollectionAltered,
    GarbageIsGone,
    ReleaseCollection,
    ReleasePartitions,
    PartitionCreated,
    QueryMetrics,
    DataMetrics,
    ProxyMetrics,
    SetRates,
}

impl Call {
    pub(crate) fn kind(&self) -> CallKind {
        match self {
            Self::Invalidate(_) => CallKind::Invalidate,
            Self::RefreshPolicy(_) => CallKind::RefreshPolicy,
            Self::WatchChannels(_) => CallKind::WatchChannels,
            Self::DropIndexes(_) => CallKind::DropIndexes,
            Self::CollectionAltered(..) => CallKind::CollectionAltered,
            Self::GarbageIsGone(..) => CallKind::GarbageIsGone,
            Self::ReleaseCollection(_) => CallKind::ReleaseCollection,
            Self::ReleasePartitions(..) => CallKind::ReleasePartitions,
            Self::PartitionCreated(..) => CallKind::PartitionCreated,
            Self::QueryMetrics => CallKind::QueryMetrics,
            Self::DataMetrics => CallKind::DataMetrics,
            Self::ProxyMetrics => CallKind::ProxyMetrics,
            Self::SetRates(_) => CallKind::SetRates,
        }
    }
}

#[derive(Debug)]
enum Act {
    Fail(MilvusError),
    Hang(oneshot::Receiver<()>),
}

/// Answers every call with success at once, unless it was told otherwise. A call is
/// remembered when it begins.
#[derive(Debug)]
pub(crate) struct MemoryPeers {
    calls: Mutex<Vec<Call>>,
    acts: Mutex<BTreeMap<CallKind, VecDeque<Act>>>,
    garbage_is_gone: AtomicBool,
    /// What querycoord, datacoord and the only proxy tell of themselves.
    metrics: Mutex<[String; 3]>,
    /// How often it was called.
    called: watch::Sender<usize>,
    ended: AtomicBool,
}

impl Default for MemoryPeers {
    fn default() -> Self {
        Self {
            calls: Mutex::default(),
            acts: Mutex::default(),
            garbage_is_gone: AtomicBool::new(true),
            metrics: Mutex::new(["{}"; 3].map(str::to_owned)),
            called: watch::Sender::default(),
            ended: AtomicBool::new(false),
        }
    }
}

impl MemoryPeers {
    /// All calls so far, in order.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().clone()
    }

    /// The same, and forgets them.
    pub(crate) fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock())
    }

    /// The next call of that kind that nothing was planned for yet fails.
    pub(crate) fn fail(&self, kind: CallKind, error: MilvusError) {
        self.acts.lock().entry(kind).or_default().push_back(Act::Fail(error));
    }

    /// The next call of that kind that nothing was planned for yet hangs until the sender
    /// is used or dropped, and succeeds then.
    pub(crate) fn hang(&self, kind: CallKind) -> oneshot::Sender<()> {
        let (resume, hanging) = oneshot::channel();
        self.acts.lock().entry(kind).or_default().push_back(Act::Hang(hanging));
        resume
    }

    /// What datacoord says of all garbage from now on. At first all of it is gone.
    pub(crate) fn set_garbage_is_gone(&self, gone: bool) {
        self.garbage_is_gone.store(gone, Ordering::SeqCst);
    }

    /// What querycoord, datacoord and the only proxy, which is 5, tell of themselves from now on.
    pub(crate) fn set_metrics(&self, of: CallKind, json: &str) {
        let place = match of {
            CallKind::QueryMetrics => 0,
            CallKind::DataMetrics => 1,
            CallKind::ProxyMetrics => 2,
            other => panic!("{other:?} asks for none"),
        };
        self.metrics.lock()[place] = json.to_owned();
    }

    /// Waits until a call is so that was not [taken](Self::take_calls) yet.
    pub(crate) async fn heard(&self, is_it: impl Fn(&Call) -> bool) {
        let mut called = self.called.subscribe();
        while !self.calls.lock().iter().any(&is_it) {
            called.changed().await.expect("they live");
        }
    }

    /// The rates that proxies were told, time after time.
    pub(crate) fn take_rates(&self) -> Vec<Rates> {
        let rates = |call| if let Call::SetRates(rates) = call { Some(rates) } else { None };
        self.take_calls().into_iter().filter_map(rates).collect()
    }

    /// Whether the term was ended.
    pub(crate) fn ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn call(&self, call: Call) -> Called<'_> {
        Box::pin(async move {
            let kind = call.kind();
            self.calls.lock().push(call);
            self.called.send_modify(|number| *number += 1);
            let act = self.acts.lock().get_mut(&kind).and_then(VecDeque::pop_front);
            match act {
                None => Ok(()),
                Some(Act::Fail(error)) => Err(error),
                Some(Act::Hang(hanging)) => {
                    _ = hanging.await;
                    Ok(())
                }
            }
        })
    }
}

impl Peers for MemoryPeers {
    fn invalidate(&self, notice: Invalidation) -> Called<'_> {
        self.call(Call::Invalidate(notice))
    }

    fn refresh_policy(&self, change: PolicyChange) -> Called<'_> {
        self.call(Call::RefreshPolicy(change))
    }

    fn watch_channels<'a>(&'a self, collection: &'a Collection) -> Called<'a> {
        self.call(Call::WatchChannels(collection.id))
    }

    fn drop_indexes(&self, collection: CollectionId) -> Called<'_> {
        self.call(Call::DropIndexes(collection))
    }

    fn collection_altered<'a>(
        &'a self,
        collection: &'a Collection,
        partitions: &'a [PartitionId],
    ) -> Called<'a> {
        let properties = collection.properties.clone();
        self.call(Call::CollectionAltered(collection.id, properties, partitions.to_vec()))
    }

    fn garbage_is_gone(&self, collection: CollectionId, partition: Option<PartitionId>) -> Called<'_, bool> {
        let called = self.call(Call::GarbageIsGone(collection, partition));
        Box::pin(async move {
            called.await?;
            Ok(self.garbage_is_gone.load(Ordering::SeqCst))
        })
    }

    fn release_collection(&self, collection: CollectionId) -> Called<'_> {
        self.call(Call::ReleaseCollection(collection))
    }

    fn release_partitions<'a>(
        &'a self,
        collection: CollectionId,
        partitions: &'a [PartitionId],
    ) -> Called<'a> {
        self.call(Call::ReleasePartitions(collection, partitions.to_vec()))
    }

    fn partition_created<'a>(&'a self, partition: &'a Partition) -> Called<'a> {
        self.call(Call::PartitionCreated(partition.collection, partition.id))
    }

    fn query_metrics(&self) -> Called<'_, String> {
        let called = self.call(Call::QueryMetrics);
        Box::pin(async move { called.await.map(|()| self.metrics.lock()[0].clone()) })
    }

    fn data_metrics(&self) -> Called<'_, String> {
        let called = self.call(Call::DataMetrics);
        Box::pin(async move { called.await.map(|()| self.metrics.lock()[1].clone()) })
    }

    fn proxy_metrics(&self) -> BoxFuture<'_, PerProxy<String>> {
        let called = self.call(Call::ProxyMetrics);
        Box::pin(async move {
            let told = called.await.map(|()| self.metrics.lock()[2].clone());
            vec![(ServerId(5), told)]
        })
    }

    fn set_rates<'a>(&'a self, rates: &'a Rates) -> BoxFuture<'a, PerProxy<()>> {
        let called = self.call(Call::SetRates(rates.clone()));
        Box::pin(async move { vec![(ServerId(5), called.await)] })
    }

    fn end(&self) -> BoxFuture<'_, ()> {
        self.ended.store(true, Ordering::SeqCst);
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn it_remembers_and_does_as_it_was_told() {
    let peers = MemoryPeers::default();
    let id = CollectionId(7);
    peers.fail(CallKind::DropIndexes, MilvusError::plain("no"));
    let resume = peers.hang(CallKind::DropIndexes);
    assert_eq!(peers.drop_indexes(id).await, Err(MilvusError::plain("no")));
    let mut hanging = peers.drop_indexes(id);
    assert!(futures::poll!(&mut hanging).is_pending());
    assert_eq!(peers.garbage_is_gone(id, None).await, Ok(true));
    assert_eq!(resume.send(()), Ok(()));
    assert_eq!(hanging.await, Ok(()));
    peers.set_garbage_is_gone(false);
    assert_eq!(peers.garbage_is_gone(id, Some(PartitionId(8))).await, Ok(false));
    let expected = [
        Call::DropIndexes(id),
        Call::DropIndexes(id),
        Call::GarbageIsGone(id, None),
        Call::GarbageIsGone(id, Some(PartitionId(8))),
    ];
    assert_eq!(peers.take_calls(), expected);
    assert_eq!(peers.calls(), []);
    assert!(!peers.ended());
    peers.end().await;
    assert!(peers.ended());
}
