//! What follows after an answer, or after a failure: until it is done, over all terms.
//!
//! A job has its own task and its own pauses, so one that waits delays no other. What a job is
//! about stands in etcd as a state, and its steps may be repeated: a new term begins it anew.

use std::{future::Future, sync::Arc, time::Duration};

use super::{Halt, Note, Step, Tools, messages};
use crate::{
    etcd::store::Write,
    ids::{CollectionId, PartitionId},
    rootcoord::{
        catalog::{Catalog, KEPT},
        collections,
        error::{DdlError, Decision},
        failure::Failure,
        model::{Collection, Partition, State},
        partitions,
    },
    rpc::context::carried,
    tso::hybrid::Timestamp,
};

/// Between attempts of a step that fails: doubling from the first to the last.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Between questions whether the data are gone. Those of an empty collection are at once; others
/// wait for datacoord's own collection of garbage, which takes hours.
const ASK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// Between looks for what is kept of objects that are gone.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// Pauses that double.
struct Pauses {
    next: Duration,
    last: Duration,
}

impl Pauses {
    fn new((first, last): (Duration, Duration)) -> Self {
        Self { next: first, last }
    }

    async fn pause(&mut self) {
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(self.last);
    }
}

/// A collection that was not finished: undone when dropped.
pub(super) struct Abandoned<'a> {
    tools: &'a Arc<Tools>,
    collection: Option<CollectionId>,
}

impl<'a> Abandoned<'a> {
    pub(super) fn new(tools: &'a Arc<Tools>, collection: CollectionId) -> Self {
        Self { tools, collection: Some(collection) }
    }

    /// It was finished.
    pub(super) fn not(mut self) {
        self.collection = None;
    }
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if let Some(collection) = self.collection {
            self.tools.undo_creating(collection);
        }
    }
}

/// A partition that was not finished: undone when dropped.
pub(super) struct AbandonedPartition<'a> {
    tools: &'a Arc<Tools>,
    partition: Option<Partition>,
}

impl<'a> AbandonedPartition<'a> {
    pub(super) fn new(tools: &'a Arc<Tools>, partition: Partition) -> Self {
        Self { tools, partition: Some(partition) }
    }

    /// It was finished.
    pub(super) fn not(mut self) {
        self.partition = None;
    }
}

impl Drop for AbandonedPartition<'_> {
    fn drop(&mut self) {
        if let Some(partition) = self.partition.take() {
            self.tools.undo_creating_partition(partition);
        }
    }
}

/// A piece of work that may be repeated.
enum Work {
    Release(CollectionId),
    DropIndexes(CollectionId),
    SayDropped(CollectionId),
    Remove(CollectionId),
    ReleasePartition(CollectionId, PartitionId),
    SayPartitionDropped(Partition),
    RemovePartition(CollectionId, PartitionId),
}

impl Work {
    fn name(&self) -> &'static str {
        match self {
            Self::Release(_) => "release collection",
            Self::DropIndexes(_) => "drop collection index",
            Self::SayDropped(_) => "drop collection in channels",
            Self::Remove(_) => "remove collection",
            Self::ReleasePartition(..) => "release partition",
            Self::SayPartitionDropped(_) => "drop partition in channels",
            Self::RemovePartition(..) => "remove partition",
        }
    }
}

impl Tools {
    /// Runs beside everything else until it ends or the term does.
    pub(super) fn job(&self, run: impl Future<Output = Step<()>> + Send + 'static) {
        let stop = self.stop.clone();
        self.jobs.spawn(carried(async move {
            // The end of the term, which is how a job may end.
            _ = stop.run_until_cancelled(run).await;
        }));
    }

    /// Takes up what an earlier term has left half done.
    pub(super) fn resume(self: &Arc<Self>) {
        let (collections, partitions) = {
            let catalog = self.catalog.catalog.lock();
            let collections: Vec<_> = catalog.unfinished().map(|it| (it.id, it.state)).collect();
            (collections, catalog.unfinished_partitions().cloned().collect::<Vec<_>>())
        };
        for (collection, state) in collections {
            match state {
                State::Creating => self.undo_creating(collection),
                State::Dropping => self.finish_dropping(collection, false),
                State::Created | State::Dropped => {}
            }
        }
        for partition in partitions {
            match partition.state {
                State::Creating => self.undo_creating_partition(partition),
                _ => self.finish_dropping_partition(partition, false),
            }
        }
    }

    /// Removes a collection that nobody has seen.
    fn undo_creating(self: &Arc<Self>, id: CollectionId) {
        let tools = Arc::clone(self);
        self.job(async move {
            tools.persist(&Work::SayDropped(id)).await?;
            tools.release_channels(id);
            tools.persist(&Work::Remove(id)).await
        });
    }

    /// Does what has to follow after a collection was dropped, up to its removal.
    ///
    /// Whether that was replicated is not stored, as in Milvus: a term that takes it up again says it
    /// once more, which nobody minds.
    pub(super) fn finish_dropping(self: &Arc<Self>, id: CollectionId, replicated: bool) {
        let tools = Arc::clone(self);
        self.job(async move {
            tools.persist(&Work::Release(id)).await?;
            tools.persist(&Work::DropIndexes(id)).await?;
            if !replicated {
                tools.persist(&Work::SayDropped(id)).await?;
            }
            tools.release_channels(id);
            tools.data_gone(id, None).await?;
            tools.persist(&Work::Remove(id)).await
        });
    }

    fn undo_creating_partition(self: &Arc<Self>, partition: Partition) {
        let tools = Arc::clone(self);
        self.job(async move {
            let Partition { id, collection, .. } = partition;
            tools.persist(&Work::ReleasePartition(collection, id)).await?;
            tools.persist(&Work::RemovePartition(collection, id)).await
        });
    }

    pub(super) fn finish_dropping_partition(self: &Arc<Self>, partition: Partition, replicated: bool) {
        let tools = Arc::clone(self);
        self.job(async move {
            let Partition { id, collection, .. } = partition;
            if !replicated {
                tools.persist(&Work::SayPartitionDropped(partition)).await?;
            }
            tools.data_gone(collection, Some(id)).await?;
            tools.persist(&Work::RemovePartition(collection, id)).await
        });
    }

    /// Repeats a piece of work until it is done or the term is over.
    async fn persist(&self, work: &Work) -> Step<()> {
        let mut pauses = Pauses::new(RETRY);
        loop {
            match self.attempt(work).await {
                Ok(()) => return Ok(()),
                Err(Halt::Over) => return Err(Halt::Over),
                Err(Halt::Failed(failure)) => self.witness.job_waits(work.name(), &failure),
            }
            pauses.pause().await;
        }
    }

    async fn attempt(&self, work: &Work) -> Step<()> {
        match work {
            Work::Release(id) => self.call(|| self.peers.release_collection(*id)).await,
            Work::DropIndexes(id) => self.call(|| self.peers.drop_indexes(*id)).await,
            Work::SayDropped(id) => self.say_dropped(*id).await,
            Work::Remove(id) => self.remove(*id).await,
            Work::ReleasePartition(collection, id) => {
                self.call(|| self.peers.release_partitions(*collection, std::slice::from_ref(id))).await
            }
            Work::SayPartitionDropped(partition) => self.say_partition_dropped(partition).await,
            Work::RemovePartition(collection, id) => self.remove_partition(*collection, *id).await,
        }
    }

    /// A collection no longer needs its channels.
    pub(super) fn release_channels(&self, id: CollectionId) {
        let inherited: Vec<String> = {
            let catalog = self.catalog.catalog.lock();
            let shards = catalog.record(id).into_iter().flat_map(|record| &record.shards);
            shards.map(|shard| shard.physical_channel.clone()).collect()
        };
        let released = self.channels.lock().release(id, &inherited);
        if !released.is_empty() {
            self.witness.noted(&Note::ChannelsRemoved(&released));
        }
        self.channels_changed();
    }

    /// A collection that is on its way out, and the physical channels that it holds.
    fn leaving(&self, id: CollectionId) -> Option<(Collection, Vec<String>)> {
        let catalog = self.catalog.catalog.lock();
        let record = catalog.record(id)?.clone();
        let channels = self.channels.lock();
        let mut names: Vec<String> =
            record.shards.iter().map(|shard| shard.physical_channel.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| channels.is_in_use(name));
        Some((record, names))
    }

    /// Tells the channels of a collection that it is gone, and waits until everything before that
    /// has been consumed as far as ticks can tell.
    async fn say_dropped(&self, id: CollectionId) -> Step<()> {
        let Some((collection, channels)) = self.leaving(id) else { return Ok(()) };
        if !self.messages {
            return Ok(());
        }
        let held = self.ticker.hold(&channels);
        let ts = self.timestamp().await?;
        self.produce(&channels, messages::dropped(&collection, ts, self.server)).await?;
        drop(held);
        self.ticker.passed(&channels, ts).await;
        Ok(())
    }

    async fn say_partition_dropped(&self, partition: &Partition) -> Step<()> {
        let Some((_, channels)) = self.leaving(partition.collection) else { return Ok(()) };
        if !self.messages {
            return Ok(());
        }
        let held = self.ticker.hold(&channels);
        let ts = self.timestamp().await?;
        self.produce(&channels, messages::partition_dropped(partition, ts, self.server)).await?;
        drop(held);
        Ok(())
    }

    /// Waits until datacoord has removed the data.
    async fn data_gone(&self, collection: CollectionId, partition: Option<PartitionId>) -> Step<()> {
        let mut pauses = Pauses::new(ASK);
        loop {
            pauses.pause().await;
            match self.call(|| self.peers.garbage_is_gone(collection, partition)).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(Halt::Over) => return Err(Halt::Over),
                Err(Halt::Failed(failure)) => self.witness.job_waits("confirm garbage collection", &failure),
            }
        }
    }

    /// Removes what is kept of objects that are gone, until the term is over.
    pub(super) async fn sweep_garbage(&self) -> Step<()> {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            loop {
                let now = self.timestamps.newest().physical_millis();
                let kept = u64::try_from(KEPT.as_millis()).unwrap_or(u64::MAX);
                let before = Timestamp::at_milli(now.saturating_sub(kept));
                let writes = self.catalog.catalog.lock().garbage(before);
                if writes.is_empty() {
                    break;
                }
                let mut failed = false;
                for write in writes {
                    match self.write(&write).await {
                        Ok(()) => {}
                        Err(Halt::Over) => return Err(Halt::Over),
                        // Changed in the meantime, or not now: the next round looks again.
                        Err(Halt::Failed(failure)) => {
                            self.witness.job_waits("remove expired data", &failure);
                            failed = true;
                        }
                    }
                }
                if failed {
                    break;
                }
            }
        }
    }

    /// Removes what etcd holds of a collection, its own key last.
    async fn remove(&self, id: CollectionId) -> Step<()> {
        loop {
            let writes = collections::remove(&self.catalog.catalog.lock(), id).map_err(Failure::from)?;
            if writes.is_empty() {
                return Ok(());
            }
            for write in writes {
                self.write(&write).await?;
            }
            self.witness.noted(&Note::CollectionRemoved(id));
        }
    }

    async fn remove_partition(&self, collection: CollectionId, id: PartitionId) -> Step<()> {
        let decide = |catalog: &Catalog| -> Result<Decision<(Write, ())>, DdlError> {
            let write = partitions::remove(catalog, collection, id)?;
            Ok(write.map_or(Decision::Done, |write| Decision::Write((write, ()))))
        };
        if self.settle(decide).await?.is_some() {
            self.witness.noted(&Note::PartitionRemoved(collection, id));
        }
        Ok(())
    }
}
