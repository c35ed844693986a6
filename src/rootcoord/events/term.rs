//! What is told of a term while it is served.

use std::{collections::BTreeSet, time::Duration};

use milvus_proto::etcd::{CollectionState, PartitionState};
use tracing::{error, info, warn};

use super::{RootCoordEvents, Wall, count, seconds};
use crate::{
    clock::UnixNanos,
    etcd::store::WriteError,
    ids::{Epoch, Revision, ServerId},
    rootcoord::{
        catalog::Catalog,
        ddl::{DdlWitness, Note as DdlNote},
        failure::Failure,
        model::State,
        quota::QuotaEvents,
    },
    telemetry::log::{Chain, GoDuration},
    tso::{
        follow::ClockWitness,
        keeper::{Found, Witness},
        steps::Note,
    },
};

/// Tells what happens to rootcoord while it is active.
#[derive(Clone, Debug)]
pub struct TermEvents {
    pub(super) events: RootCoordEvents,
    pub(super) epoch: Epoch,
    pub(super) timestamp_key: String,
}

impl TermEvents {
    /// Somebody else changed the catalog.
    pub fn foreign_write(&self, key: &str, at: Revision) {
        self.events.0.foreign_write(self.epoch, key, at);
    }

    /// What the quota center tells.
    pub fn quota(&self) -> QuotaEvents {
        QuotaEvents::new(self.events.0.clone())
    }

    /// There are so many channels, and so many collections hold those that are in use.
    ///
    /// Milvus writes one line for each collection; a takeover does not wait for ten thousand lines.
    pub fn channels(&self, number: usize, collections: usize, in_use: &BTreeSet<String>) {
        self.events.metrics().dml_channel_num.set(count(in_use.len()));
        self.events.metrics().msgstream_obj_num.set(count(number));
        info!(num = number, in_use = in_use.len(), "init dml channels");
        info!(collections, "physical channels" = ?in_use, "recover physical channels");
    }

    /// These proxies hold ticks back from the beginning, until they report.
    pub fn proxies(&self, proxies: &BTreeSet<ServerId>) {
        for proxy in proxies {
            info!(serverID = proxy.0, "Init proxy sessions for timeticksync");
        }
    }
}

impl Witness for TermEvents {
    fn extended(&self, key: &str, end: UnixNanos) {
        if key == self.timestamp_key {
            self.events.metrics().timestamp_saved.set(seconds(end));
        }
    }

    fn foreign(&self, key: &str, found: &Found, at: Revision) {
        self.foreign_write(key, at);
        match found {
            Found::Nothing => warn!(key, "the window was deleted and is stored anew"),
            Found::Smaller(end) => warn!(key, end = %Wall(*end), "the window was lowered and is stored anew"),
            Found::Larger(end) => warn!(key, end = %Wall(*end), "the window was raised: going on behind it"),
            Found::Unbelievable(hex) => {
                error!(key, value = hex, "the window was replaced by what can't be one and is stored anew");
            }
        }
    }

    fn failed(&self, key: &str, error: &WriteError) {
        warn!(key, error = %Chain(error), "failed to update tso");
    }
}

impl ClockWitness for TermEvents {
    fn clock(&self, note: Note) {
        match note {
            Note::Refused(lead) => {
                self.events.metrics().clock_lead.set(lead.as_secs_f64());
                warn!(
                    ahead = %GoDuration(lead),
                    "the wall clock is too far ahead and is not followed: timestamps go on by the boot clock"
                );
            }
            Note::Trusted => {
                self.events.metrics().clock_lead.set(0.0);
                info!("the wall clock is followed again");
            }
        }
    }

    fn clock_offset(&self, lag: Duration) {
        warn!(
            "jet-lag" = %GoDuration(lag),
            "clock offset is huge, check network latency and clock skew"
        );
    }
}

impl DdlWitness for TermEvents {
    fn no_default_database(&self, failure: &Failure) {
        error!(error = %failure, "the default database could not be created");
    }

    fn changed(&self, catalog: &Catalog) {
        self.events.catalog_changed(catalog);
    }

    fn job_waits(&self, step: &str, failure: &Failure) {
        warn!(error = %failure, step, "failed to execute step, wait for reschedule");
    }

    fn unknown_channel(&self, name: &str) {
        error!(name, "a collection's channel is none of this cluster's; nobody sends ticks there");
    }

    fn noted(&self, note: &DdlNote<'_>) {
        match note {
            DdlNote::ChannelsAdded(names) => info!(channels = ?names, "add dml channels"),
            DdlNote::ChannelsRemoved(names) => info!(channels = ?names, "remove dml channels"),
            DdlNote::CollectionAdded(it) => info!(
                dbID = it.db.0,
                collection = it.name,
                id = it.id.0,
                ts = it.created.0,
                "add collection to meta table"
            ),
            DdlNote::CollectionState(id, state, ts) => info!(
                collection = id.0,
                state = collection_state(*state).as_str_name(),
                ts = ts.0,
                "change collection state"
            ),
            DdlNote::CollectionAltered(id, ts) => {
                info!(collectionID = id.0, ts = ts.0, "alter collection finished");
            }
            DdlNote::CollectionRenamed(id, ts) => {
                info!(collectionID = id.0, ts = ts.0, "rename collection finished");
            }
            DdlNote::CollectionRemoved(id) => info!(id = id.0, "remove collection"),
            DdlNote::PartitionAdded(it) => info!(
                collection = it.collection.0,
                partition = it.name,
                partitionid = it.id.0,
                ts = it.created.0,
                "add partition to meta table"
            ),
            DdlNote::PartitionState(it, state, ts) => info!(
                collection = it.collection.0,
                partition = it.id.0,
                state = partition_state(*state).as_str_name(),
                ts = ts.0,
                "change partition state"
            ),
            DdlNote::PartitionRemoved(collection, id) => {
                info!(collection = collection.0, partition = id.0, "remove partition");
            }
            DdlNote::CollectionExists(name) => warn!(collection = name, "add duplicate collection"),
            DdlNote::PartitionExists(collection, partition) => {
                warn!(collection, partition, "add duplicate partition");
            }
            DdlNote::AliasExists(alias, collection, ts) => {
                warn!(alias, collection, ts = ts.0, "add duplicate alias");
            }
            DdlNote::NoCollection(name) => warn!(collection = name, "drop non-existent collection"),
            DdlNote::NoPartition(collection, partition) => {
                warn!(collection, partition, "drop an non-existent partition");
            }
            DdlNote::Undoing(desc, error) => {
                warn!(%error, desc, "failed to execute step, trying to undo");
            }
        }
    }
}

fn collection_state(state: State) -> CollectionState {
    match state {
        State::Created => CollectionState::CollectionCreated,
        State::Creating => CollectionState::CollectionCreating,
        State::Dropping => CollectionState::CollectionDropping,
        State::Dropped => CollectionState::CollectionDropped,
    }
}

fn partition_state(state: State) -> PartitionState {
    match state {
        State::Created => PartitionState::PartitionCreated,
        State::Creating => PartitionState::PartitionCreating,
        State::Dropping => PartitionState::PartitionDropping,
        State::Dropped => PartitionState::PartitionDropped,
    }
}
