//! [`Peers`] that do nothing but remember, for tests of those who call them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    ids::{CollectionId, PartitionId},
    net::BoxFuture,
    rootcoord::{
        model::{Collection, Partition},
        peers::{Called, Invalidation, Peers, PolicyChange},
    },
    rpc::merr::MilvusError,
};

/// A call, as it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    ended: AtomicBool,
}

impl Default for MemoryPeers {
    fn default() -> Self {
        Self {
            calls: Mutex::default(),
            acts: Mutex::default(),
            garbage_is_gone: AtomicBool::new(true),
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

    /// Whether the term was ended.
    pub(crate) fn ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn call(&self, call: Call) -> Called<'_> {
        Box::pin(async move {
            let kind = call.kind();
            self.calls.lock().push(call);
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
