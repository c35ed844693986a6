//! Passing a call on to another instance, byte by byte.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, request::Parts};
use tonic::body::Body;

use super::kept::Kept;
use crate::{
    election::standing::Peer,
    ids::Epoch,
    net::Dial,
    rpc::{
        headers::{FORWARDED, SERVER_ID},
        link::{LinkError, LinkOwner, LinkSettings, Slot},
    },
};

/// How an attempt to pass a call on ended.
#[derive(Debug)]
pub(super) enum Passed {
    /// The other instance has answered.
    Answered(http::Response<Body>),
    /// The other instance is not, or not yet, or no longer who was meant: nothing ran.
    /// With its answer.
    NotMatched(http::Response<Body>),
    /// It could not be reached: nothing ran.
    NotTaken(Arc<LinkError>),
    /// Nobody knows whether it ran.
    Broken(LinkError),
}

/// Connections to whoever serves.
#[derive(Debug)]
pub(super) struct Forwarder {
    slot: Slot,
}

impl Forwarder {
    pub(super) fn new(dial: Arc<dyn Dial>, settings: LinkSettings, owner: LinkOwner) -> Self {
        Self { slot: Slot::new(dial, settings, owner) }
    }

    /// Sends the call to `to`, once; a second time if a connection that was open
    /// before turns out to be closing, for then it certainly wasn't processed.
    pub(super) async fn pass(&self, head: &Parts, body: &Kept, to: &Peer, epoch: Epoch) -> Option<Passed> {
        let mut may_redial = true;
        loop {
            let link = match self.slot.link(&to.address).await {
                Ok(link) => link,
                Err(error) => return Some(Passed::NotTaken(error)),
            };
            let request = request(head, body.attempt()?, to, epoch);
            let error = match link.send(request).await {
                Ok(response) if not_match(response.headers()) => {
                    return Some(Passed::NotMatched(response.map(Body::new)));
                }
                Ok(response) => {
                    body.settle();
                    return Some(Passed::Answered(response.map(Body::new)));
                }
                Err(error) if error.certainly_not_processed() => error,
                Err(error) => return Some(Passed::Broken(error)),
            };
            self.slot.forget(&link);
            if !std::mem::take(&mut may_redial) {
                return Some(Passed::NotTaken(Arc::new(error)));
            }
        }
    }
}

fn request(head: &Parts, body: Body, to: &Peer, epoch: Epoch) -> http::Request<Body> {
    let mut request = http::Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.uri.clone();
    *request.version_mut() = http::Version::HTTP_2;
    let mut headers = head.headers.clone();
    headers.insert(SERVER_ID, HeaderValue::from(to.server_id.0));
    headers.insert(FORWARDED, HeaderValue::from(epoch.0));
    *request.headers_mut() = headers;
    request
}

/// Whether an answer says that it came from the wrong instance.
fn not_match(headers: &HeaderMap) -> bool {
    let unknown = headers.get(tonic::Status::GRPC_STATUS).is_some_and(|code| code == "2");
    unknown
        && headers.get(tonic::Status::GRPC_MESSAGE).is_some_and(|message| {
            // Some servers send spaces as they are, some don't.
            let message = String::from_utf8_lossy(message.as_bytes()).replace("%20", " ");
            message.starts_with("node not match")
        })
}
