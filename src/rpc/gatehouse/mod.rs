//! Stands before the roles' handlers: lets calls in, makes them wait, passes them
//! on to the instance that serves, or pushes them away.
//!
//! A call that goes straight to its handler costs a look at two headers and at the
//! standing. Everything else is a detour:
//!
//! ```text
//!            ┌───────────── the standing changes ─────────────┐
//!            ▼                                                │
//!  call ─▶ decide ─▶ serve | not ready | push away            │
//!            │                                                │
//!            ├─▶ wait (all waits of a call together: 1 s) ────┤
//!            └─▶ forward ─▶ answer                            │
//!                     └─▶ surely not processed: wait ─────────┘
//! ```
//!
//! A forwarded call is repeated only if it surely wasn't processed. It is looked up
//! again at most once after the other side said that it isn't who was meant.

mod decide;
mod detour;
mod forward;
mod hooks;
mod in_flight;
mod kept;

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::body::Body;

pub use self::{
    decide::{Decision, InTheEnd, PushAway, decide},
    hooks::{Hooks, NoHooks},
};
pub(crate) use self::{detour::Detour, in_flight::Admitted};
use self::{forward::Forwarder, in_flight::InFlight, kept::Memory};
use crate::{
    election::standing::Standing,
    net::Dial,
    rpc::{
        Identity,
        headers::Address,
        link::{LinkOwner, LinkSettings},
        server::{Handle, Inbound},
    },
};

/// How the gatehouse treats calls that it can't let in.
#[derive(Clone, Copy, Debug)]
pub struct GatehouseSettings {
    /// `activeStandby.forward`: whether a standby passes calls without a server id on.
    pub forward: bool,
    /// How long a call may wait in all.
    pub patience: Duration,
    /// How many may wait at once; one more is treated as if it had waited.
    pub most_waiting: usize,
    /// How many may be under way to another instance at once; one more is pushed away.
    pub most_forwarded: usize,
    /// Connections to other instances.
    pub link: LinkSettings,
}

impl Default for GatehouseSettings {
    fn default() -> Self {
        Self {
            forward: true,
            patience: Duration::from_secs(1),
            most_waiting: 10_000,
            most_forwarded: 10_000,
            link: LinkSettings::default(),
        }
    }
}

/// Put among a request's extensions when its handler shall answer that it isn't
/// ready, in its own shape, whatever it thinks of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotReady;

impl NotReady {
    /// Whether the gatehouse wants this request answered so.
    pub fn asked<T>(request: &tonic::Request<T>) -> bool {
        request.extensions().get::<Self>().is_some()
    }
}

/// The gatehouse of one process.
pub struct Gatehouse {
    identity: Arc<Identity>,
    standing: watch::Receiver<Standing>,
    settings: GatehouseSettings,
    in_flight: InFlight,
    waiting: Semaphore,
    under_way: Semaphore,
    forwarder: Forwarder,
    links: LinkOwner,
    memory: Arc<Memory>,
    hooks: Arc<dyn Hooks>,
}

impl fmt::Debug for Gatehouse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gatehouse")
            .field("identity", &self.identity)
            .field("standing", &*self.standing.borrow())
            .field("in_flight", &self.in_flight())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

impl Gatehouse {
    /// Guards by what `standing` shows. Connections to other instances run on `tasks`,
    /// until the server is stopped.
    pub fn new(
        identity: Arc<Identity>,
        standing: watch::Receiver<Standing>,
        settings: GatehouseSettings,
        dial: Arc<dyn Dial>,
        tasks: TaskTracker,
        hooks: Arc<dyn Hooks>,
    ) -> Self {
        let links = LinkOwner::new(tasks, CancellationToken::new());
        Self {
            identity,
            standing,
            settings,
            in_flight: InFlight::new(),
            waiting: Semaphore::new(settings.most_waiting),
            under_way: Semaphore::new(settings.most_forwarded),
            forwarder: Forwarder::new(dial, settings.link, links.clone()),
            links,
            memory: Arc::default(),
            hooks,
        }
    }

    /// How many calls are with the handlers that were let in since the last drain.
    pub fn in_flight(&self) -> usize {
        self.in_flight.count()
    }

    /// How many calls wait for the standing to change.
    pub fn waiting(&self) -> usize {
        self.settings.most_waiting.saturating_sub(self.waiting.available_permits())
    }

    /// Waits until every call is done that was let in by a standing that had been
    /// replaced before this was called, `within` at most. Tells whether they are.
    pub async fn drain(&self, within: Duration) -> bool {
        self.in_flight.drain(within).await
    }

    /// Ends the connections to other instances; nothing is forwarded any more.
    pub fn close(&self) {
        self.links.stop();
    }

    pub(crate) fn hooks(&self) -> &dyn Hooks {
        &*self.hooks
    }

    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    fn decide(&self, standing: &Standing, address: &Address, path: &str) -> Decision {
        decide(standing, self.identity.server_id(), address, path, self.settings.forward)
    }

    /// What happens to a call: it goes straight in, or on a [`Detour`].
    pub(crate) fn look(&self, request: &http::Request<Inbound>) -> Look {
        let address = Address::read(request.headers(), self.identity.cluster());
        let admitted = self.in_flight.enter();
        match self.decide(&self.standing.borrow(), &address, request.uri().path()) {
            Decision::Serve => Look::Serve(admitted),
            _ => Look::Detour(address),
        }
    }
}

/// See [`Gatehouse::look`].
pub(crate) enum Look {
    /// To be held until there is an answer.
    Serve(Admitted),
    Detour(Address),
}

impl Drop for Gatehouse {
    fn drop(&mut self) {
        self.close();
    }
}

async fn answer(handler: &dyn Handle, request: http::Request<Inbound>) -> http::Response<Body> {
    let Ok(response) = handler.handle(request).await;
    response
}

#[cfg(test)]
mod tests;
