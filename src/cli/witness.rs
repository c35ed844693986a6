//! First version: what happens to an instance, told as it is.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::{BootInstant, Clock},
    election::{
        instance::Handles,
        notes::{Note, Witness},
        standing::Peer,
    },
    etcd::keys::Keys,
    ids::Role,
    rpc::gatehouse::{Hooks, PushAway},
    telemetry::{
        events::Events,
        http::{Health, HealthSource},
        log::LogHandle,
        metrics::{LiveFigures, Metrics},
    },
};

#[derive(Debug)]
pub(super) struct Telling;

impl Telling {
    pub(super) fn new(_: Role, _: Events, _: &Keys, _: String, _: LogHandle) -> Self {
        Self
    }
}

impl Witness for Telling {
    fn note(&self, _: BootInstant, note: &Note) {
        tracing::info!("{note:?}");
    }
}

#[derive(Debug)]
pub(super) struct CallCounter;

impl CallCounter {
    pub(super) fn new(_: Arc<Metrics>) -> Self {
        Self
    }
}

impl Hooks for CallCounter {
    fn waited(&self, _: &str, _: Duration, _: bool) {}
    fn forwarded(&self, _: &str, _: bool) {}
    fn pushed_away(&self, _: &str, _: PushAway) {}
    fn panicked(&self, _: &str) {}
}

#[derive(Debug)]
pub(super) struct InstanceHealth {
    role: Role,
    address: String,
    handles: Handles,
}

impl InstanceHealth {
    pub(super) fn new(role: Role, address: String, handles: Handles, _: Arc<dyn Clock>) -> Self {
        Self { role, address, handles }
    }
}

impl HealthSource for InstanceHealth {
    fn health(&self) -> Health {
        let own = *self.handles.own.borrow();
        let peer = Peer { server_id: own, address: self.address.clone() };
        Health::of(self.role, (own.0 != 0).then_some(&peer), &self.handles.standing.borrow())
    }

    fn live(&self) -> LiveFigures {
        LiveFigures::default()
    }
}
