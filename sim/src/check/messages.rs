//! The messages of rootcoord: ticks that pass nothing, and no end of what is there.

use std::collections::{BTreeMap, BTreeSet};

use milvus_coord::ids::CollectionId;
use milvus_proto::{
    common::MsgType,
    etcd::{CollectionInfo, CollectionState},
};
use prost::Message as _;

use super::Violation;
use crate::{fake_etcd::store::Store, others::Sent};

/// Looks at messages as they come.
#[derive(Debug, Default)]
pub struct MessageChecker {
    /// The latest tick of each channel.
    ticks: BTreeMap<String, u64>,
    /// What was said to be gone.
    dropped: BTreeSet<CollectionId>,
}

impl MessageChecker {
    /// A message came while etcd held that.
    ///
    /// # Errors
    /// * It is as old as a tick that came before it: consumers are past it.
    /// * It tells of the end of a collection that everybody sees: datanodes let go of its data.
    pub fn look(&mut self, sent: &Sent, store: &Store) -> Result<(), Violation> {
        let Sent { by, channel, kind, ts, dropped } = sent;
        let tick = self.ticks.entry(channel.clone()).or_default();
        if *kind == MsgType::TimeTick {
            // One that is not later than another is skipped.
            *tick = (*tick).max(*ts);
            return Ok(());
        }
        if ts <= tick {
            return Err(Violation(format!("{kind:?} of {by} in {channel}: {ts} after the tick {tick}")));
        }
        if let Some(id) = dropped {
            self.dropped.insert(*id);
            if is_created(*id, store) {
                return Err(Violation(format!("{by} says that collection {id} is dropped, but it is not")));
            }
        }
        Ok(())
    }

    /// Nothing came back after it was said to be gone.
    ///
    /// # Errors
    /// It did.
    pub fn end(&self, store: &Store) -> Result<(), Violation> {
        match self.dropped.iter().find(|id| is_created(**id, store)) {
            Some(id) => Err(Violation(format!("collection {id} is there, but was said to be dropped"))),
            None => Ok(()),
        }
    }
}

fn is_created(id: CollectionId, store: &Store) -> bool {
    let key = format!("by-dev/meta/root-coord/database/collection-info/1/{id}");
    let info = store.get(key.as_bytes()).and_then(|kv| CollectionInfo::decode(&*kv.value).ok());
    info.is_some_and(|info| info.id == id.0 && info.state() == CollectionState::CollectionCreated)
}
