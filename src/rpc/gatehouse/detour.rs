//! The way of a call that doesn't go straight to its handler.

use http::request::Parts;
use tokio::{
    sync::{SemaphorePermit, watch},
    time::Instant,
};
use tonic::{Status, body::Body};

use super::{
    Gatehouse, NotReady, answer,
    decide::{Decision, InTheEnd, PushAway},
    forward::Passed,
    kept::Kept,
};
use crate::{
    election::standing::{Peer, Standing},
    ids::Epoch,
    rpc::{
        headers::{self, Address},
        merr::MilvusError,
        server::{Handle, Inbound},
    },
};

type Response = http::Response<Body>;

/// One call.
pub(crate) struct Detour<'a> {
    house: &'a Gatehouse,
    handler: &'a dyn Handle,
    address: Address,
    head: Parts,
    body: Cargo,
    /// The end of its patience.
    until: Instant,
    /// Whether the other side has said once that it isn't who was meant.
    looked_again: bool,
}

enum Cargo {
    Untouched(Inbound),
    /// Has been sent, and may be sent again.
    Kept(Kept),
}

/// What becomes of a call if the standing doesn't change in time.
enum Otherwise {
    Decided(InTheEnd),
    /// The answer that it got elsewhere.
    Answer(Response),
}

/// A place among the waiting.
struct Place<'a> {
    since: Instant,
    _permit: SemaphorePermit<'a>,
}

impl<'a> Detour<'a> {
    pub(crate) fn new(
        house: &'a Gatehouse,
        handler: &'a dyn Handle,
        address: Address,
        request: http::Request<Inbound>,
    ) -> Self {
        let (head, body) = request.into_parts();
        let patience = house.settings.patience;
        let patience = headers::timeout(&head.headers).map_or(patience, |theirs| theirs.min(patience));
        let until = Instant::now() + patience;
        Self { house, handler, address, head, body: Cargo::Untouched(body), until, looked_again: false }
    }

    /// Goes it.
    pub(crate) async fn take(mut self) -> Response {
        let house = self.house;
        let mut standing = house.standing.clone();
        let mut place = None;
        loop {
            // Entered before the look, see there.
            let admitted = house.in_flight.enter();
            let decision = house.decide(&standing.borrow_and_update(), &self.address, self.head.uri.path());
            let admitted = (decision == Decision::Serve).then_some(admitted);
            if !matches!(decision, Decision::Wait(_)) {
                self.leave(&mut place, false);
            }
            let otherwise = match decision {
                Decision::Serve => {
                    let handler = self.handler;
                    let Some(request) = self.into_request() else { return gone() };
                    let response = answer(handler, request).await;
                    drop(admitted);
                    return response;
                }
                Decision::NotReady => return self.say_not_ready().await,
                Decision::PushAway(why) => return self.push_away(why),
                Decision::Wait(in_the_end) => Otherwise::Decided(in_the_end),
                Decision::Forward { to, epoch } => match self.forward(&standing, &to, epoch).await {
                    Ok(response) => return response,
                    Err(otherwise) => otherwise,
                },
            };
            let Err(end) = wait(house, self.until, &mut standing, &mut place).await else { continue };
            self.leave(&mut place, true);
            return match (end, otherwise) {
                (_, Otherwise::Answer(response)) => response,
                (End::Patience, Otherwise::Decided(InTheEnd::NotReady)) => self.say_not_ready().await,
                (End::Patience, Otherwise::Decided(InTheEnd::PushAway)) | (End::Process, _) => {
                    self.push_away(PushAway::NodeNotMatch)
                }
            };
        }
    }

    fn leave(&self, place: &mut Option<Place<'a>>, in_vain: bool) {
        if let Some(place) = place.take() {
            self.house.hooks.waited(self.head.uri.path(), place.since.elapsed(), in_vain);
        }
    }

    /// `Err`: nothing ran, and the standing may show soon where to go instead.
    async fn forward(
        &mut self,
        standing: &watch::Receiver<Standing>,
        to: &Peer,
        epoch: Epoch,
    ) -> Result<Response, Otherwise> {
        let house = self.house;
        let Ok(_permit) = house.under_way.try_acquire() else {
            return Ok(self.push_away(PushAway::NodeNotMatch));
        };
        self.keep_body();
        let Cargo::Kept(body) = &self.body else { return Ok(gone()) };
        let passed = house.forwarder.pass(&self.head, body, to, epoch).await;
        let path = self.head.uri.path();
        house.hooks.forwarded(path, matches!(passed, Some(Passed::Answered(_))));
        match passed {
            Some(Passed::Answered(response)) => Ok(response),
            Some(Passed::NotMatched(response)) if std::mem::replace(&mut self.looked_again, true) => {
                Ok(response)
            }
            Some(Passed::NotMatched(response)) => Err(Otherwise::Answer(response)),
            Some(Passed::NotTaken(error)) => {
                tracing::debug!(
                    path,
                    to = to.server_id.0,
                    error = &*error as &dyn std::error::Error,
                    "forwarding not possible"
                );
                Err(Otherwise::Decided(match &*standing.borrow() {
                    // On its way out: nobody shall ask here again.
                    Standing::Forwarding { .. } | Standing::Leaving { .. } => InTheEnd::PushAway,
                    _ => InTheEnd::NotReady,
                }))
            }
            Some(Passed::Broken(error)) => {
                tracing::warn!(
                    path,
                    to = to.server_id.0,
                    error = &error as &dyn std::error::Error,
                    "forwarded call broken"
                );
                let text = format!("forwarded to server {}, which has not answered: {error}", to.server_id);
                Ok(Status::unavailable(text).into_http())
            }
            None => Ok(gone()),
        }
    }

    fn keep_body(&mut self) {
        if let Cargo::Untouched(body) = &mut self.body {
            let body = std::mem::replace(body, Inbound::made(Body::empty()));
            self.body = Cargo::Kept(Kept::new(body, self.house.memory.clone()));
        }
    }

    fn push_away(&self, why: PushAway) -> Response {
        self.house.hooks.pushed_away(self.head.uri.path(), why);
        let error = match why {
            PushAway::CrossCluster => {
                let theirs = self.address.foreign_cluster.as_deref().unwrap_or_default();
                MilvusError::cross_cluster(self.house.identity.cluster(), theirs)
            }
            PushAway::NodeNotMatch => MilvusError::node_not_match(
                self.address.server_id.unwrap_or_default(),
                self.house.identity.server_id(),
            ),
        };
        error.to_grpc().into_http()
    }

    async fn say_not_ready(self) -> Response {
        let handler = self.handler;
        let Some(mut request) = self.into_request() else { return gone() };
        request.extensions_mut().insert(NotReady);
        answer(handler, request).await
    }

    fn into_request(self) -> Option<http::Request<Inbound>> {
        let body = match self.body {
            Cargo::Untouched(body) => body,
            Cargo::Kept(kept) => Inbound::made(kept.attempt()?),
        };
        Some(http::Request::from_parts(self.head, body))
    }
}

/// What came instead of the next standing.
enum End {
    Patience,
    /// Nobody keeps the standing any more.
    Process,
}

/// Waits for the next standing. Not a method: a future that borrows a body can't move between threads.
async fn wait<'a>(
    house: &'a Gatehouse,
    until: Instant,
    standing: &mut watch::Receiver<Standing>,
    place: &mut Option<Place<'a>>,
) -> Result<(), End> {
    if place.is_none() {
        let permit = house.waiting.try_acquire().map_err(|_| End::Patience)?;
        *place = Some(Place { since: Instant::now(), _permit: permit });
    }
    match tokio::time::timeout_at(until, standing.changed()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Process),
        Err(_) => Err(End::Patience),
    }
}

/// The first attempt has read the body, and it was too large to be remembered.
fn gone() -> Response {
    Status::unavailable("not processed; too large to be sent once more from here").into_http()
}
