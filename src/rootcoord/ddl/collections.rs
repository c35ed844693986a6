//! Collections: created, dropped, altered, renamed.

use std::sync::Arc;

use milvus_proto::milvus::CreateCollectionRequest;

use super::{Halt, Note, Step, Tools, jobs::Abandoned, messages};
use crate::{
    ids::{CollectionId, DbId},
    rootcoord::{
        collections::{self, Draft, Rename},
        error::{DdlError, Decision, NoCollection},
        failure::Failure,
        model::{Collection, State},
        partitions::parent,
        peers::{Forget, Invalidation},
    },
    tso::hybrid::Timestamp,
};

/// Channels that were chosen for a collection that is not yet in etcd. Given back when dropped.
struct Chosen<'a> {
    tools: &'a Tools,
    collection: CollectionId,
    channels: Vec<String>,
    kept: bool,
}

impl Chosen<'_> {
    /// Etcd knows of the collection now: it holds them until it is removed.
    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Chosen<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.tools.release_channels(self.collection);
        }
    }
}

/// A collection that is being made, and counts as if it were. Ends when dropped.
struct Making<'a> {
    tools: &'a Tools,
    key: (DbId, String),
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.tools.under_way.lock().remove(&self.key);
    }
}

impl Tools {
    /// What is to be made, if anything; from here on it counts.
    fn draft(&self, request: &CreateCollectionRequest) -> Result<Decision<(Draft, Making<'_>)>, DdlError> {
        let (catalog, mut under_way) = (self.catalog.catalog.lock(), self.under_way.lock());
        Ok(match collections::draft(&catalog, &under_way, request, &self.limits)? {
            Decision::Done => Decision::Done,
            Decision::Write(draft) => {
                let key = (draft.db, draft.name.clone());
                under_way.insert(key.clone());
                Decision::Write((draft, Making { tools: self, key }))
            }
        })
    }

    fn choose(&self, collection: CollectionId, count: usize) -> Result<Chosen<'_>, DdlError> {
        let channels = {
            let mut pool = self.channels.lock();
            let channels = pool.choose(count)?;
            pool.hold(collection, &channels);
            channels
        };
        self.witness.noted(&Note::ChannelsAdded(&channels));
        self.channels_changed();
        Ok(Chosen { tools: self, collection, channels, kept: false })
    }

    /// The message comes first: its place in each channel is where the collection's data begin.
    /// Then what is half made, then datacoord, then the state that everybody sees.
    pub(super) async fn create_collection(
        self: &Arc<Self>,
        request: &CreateCollectionRequest,
    ) -> Step<Timestamp> {
        let (draft, _making) = match self.draft(request).map_err(Failure::from)? {
            Decision::Write(drafted) => drafted,
            Decision::Done => {
                self.witness.noted(&Note::CollectionExists(&request.collection_name));
                // Its first execution may not have come so far.
                let ts = self.timestamp().await?;
                self.forget(ts, &request.db_name, Forget::Names(vec![request.collection_name.clone()]))
                    .await?;
                return Ok(ts);
            }
        };
        let ids = self.ids.alloc(draft.ids()).await.map_err(Failure::from)?;
        let chosen = self.choose(CollectionId(ids), draft.shards).map_err(Failure::from)?;
        let held = self.ticker.hold(&chosen.channels);
        // Also for a backup, which takes its original's: ticks stay before what follows.
        let now = self.timestamp().await?;
        let ts = draft.created.unwrap_or(now);
        let (mut collection, partitions) = draft.build(ids, &chosen.channels, Vec::new(), ts);
        let message = messages::created(&collection, &partitions, ts);
        collection.start_positions = self.produce(&chosen.channels, message).await?;
        drop(held);

        let writes = collections::create(&self.catalog.catalog.lock(), &collection, &partitions);
        let mut writes = writes.map_err(Failure::from)?.into_iter();
        if let Some(first) = writes.next() {
            self.write(&first).await?;
        }
        chosen.keep();
        self.witness.noted(&Note::CollectionAdded(&collection));
        // From here on, whatever fails is undone.
        let abandoned = Abandoned::new(self, collection.id);
        for write in writes {
            self.write(&write).await?;
        }
        let watched = self.call(|| self.peers.watch_channels(&collection)).await;
        watched.inspect_err(|halt| self.undoing("watch channels", halt))?;
        self.settle(|catalog| {
            let write = collections::change_state(catalog, collection.id, State::Created, ts)?;
            Ok(Decision::Write((write, ())))
        })
        .await?;
        abandoned.not();
        self.witness.noted(&Note::CollectionState(collection.id, State::Created, ts));
        self.forget(ts, &request.db_name, Forget::Names(vec![collection.name])).await?;
        Ok(ts)
    }

    /// Brings a collection that an old release wrote into the form of today, before anything of
    /// it is changed. A failure in the middle leaves what counted before.
    pub(super) async fn modernize(&self, id: CollectionId) -> Step<()> {
        if self.catalog.catalog.lock().inline_partitions(id).is_none() {
            return Ok(());
        }
        let ts = self.timestamp().await?;
        let writes = collections::modernize(&self.catalog.catalog.lock(), id, ts).map_err(Failure::from)?;
        for write in writes {
            self.write(&write).await?;
        }
        Ok(())
    }

    pub(super) async fn drop_collection(
        self: &Arc<Self>,
        db: &str,
        name: &str,
        replicated: bool,
    ) -> Step<Timestamp> {
        let (ts, dropped) = self
            .change(|catalog, task| {
                // Where there is no database, there is no collection, and it is gone already.
                let Some(database) = catalog.named(db) else { return Ok(Decision::Done) };
                if catalog.alias(database.id, name).is_some() {
                    return Err(DdlError::DropByAlias(name.to_owned()));
                }
                let Some(record) = catalog.own_name(database.id, name) else { return Ok(Decision::Done) };
                let write = collections::change_state(catalog, record.id, State::Dropping, task.ts)?;
                Ok(Decision::Write((write, record.id)))
            })
            .await?;
        let Some(id) = dropped else {
            self.witness.noted(&Note::NoCollection(name));
            return Ok(ts);
        };
        self.witness.noted(&Note::CollectionState(id, State::Dropping, ts));
        self.finish_dropping(id, replicated);
        self.forget(ts, db, Forget::Dropped(id)).await?;
        Ok(ts)
    }

    pub(super) async fn alter_collection(
        &self,
        db: &str,
        name: &str,
        properties: &[(String, String)],
    ) -> Step<Timestamp> {
        if name.is_empty() {
            return Err(Failure::from(DdlError::AlterNoName).into());
        }
        if properties.is_empty() {
            return Err(Failure::from(DdlError::AlterNothing).into());
        }
        let (ts, altered) = self
            .change(|catalog, task| {
                let record = parent(catalog, db, name, task.ts)?;
                let (write, altered) =
                    collections::alter(catalog, record, properties.iter().cloned(), task.ts)?;
                Ok(Decision::Write((write, altered.id)))
            })
            .await?;
        let Some(id) = altered else { return Ok(ts) };
        self.witness.noted(&Note::CollectionAltered(id, ts));
        self.forget(ts, db, Forget::Collection(id)).await?;
        let (collection, partitions) = {
            let catalog = self.catalog.catalog.lock();
            let record = catalog.visible(id).ok_or(NoCollection::Id(id)).map_err(DdlError::from);
            let collection: Collection =
                record.and_then(|record| catalog.complete(record)).map_err(Failure::from)?;
            let partitions: Vec<_> = catalog.visible_partitions(id).map(|partition| partition.id).collect();
            (collection, partitions)
        };
        self.call(|| self.peers.collection_altered(&collection, &partitions)).await?;
        Ok(ts)
    }

    pub(super) async fn rename_collection(&self, rename: &Rename) -> Step<Timestamp> {
        let (ts, renamed) = self.change(|catalog, task| collections::rename(catalog, rename, task)).await?;
        let id = match renamed {
            Some(id) => {
                self.witness.noted(&Note::CollectionRenamed(id, ts));
                Some(id)
            }
            // A repetition: nobody may have told the proxies.
            None => collections::renamed(&self.catalog.catalog.lock(), rename),
        };
        let Some(id) = id else { return Ok(ts) };
        // Under which name or alias ever a proxy knows it.
        self.forget(ts, &rename.db, Forget::Collection(id)).await?;
        self.forget(ts, &rename.db, Forget::Names(vec![rename.old.clone()])).await?;
        Ok(ts)
    }

    pub(super) fn undoing(&self, step: &'static str, halt: &Halt) {
        if let Halt::Failed(failure) = halt {
            self.witness.noted(&Note::Undoing(step, failure));
        }
    }

    /// Has all proxies forget.
    pub(super) async fn forget(&self, ts: Timestamp, db: &str, what: Forget) -> Step<()> {
        let notice = Invalidation { ts, database: db.to_owned(), what };
        self.call(|| self.peers.invalidate(notice)).await
    }
}
