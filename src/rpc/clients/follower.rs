//! Calls to one component, wherever its session shows it to be.

use std::{
    fmt,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use http::HeaderValue;
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::{Request, Response, Status};

use super::{
    ClientContext, ClientError,
    caller::Caller,
    messages::{Call, Reply, Stub},
    retry::{self, Attempt, Met, Next, next},
    target::Target,
};
use crate::{
    election::standing::Peer,
    rpc::{
        link::{Link, Slot},
        merr::{self, MilvusError},
    },
};

/// A client of one component. Clones share the connection.
///
/// Each attempt goes to where the session points at that moment; a change of the
/// session ends pauses at once, and ends attempts that don't answer soon after. A
/// call may therefore be carried out twice, as with Milvus's own clients.
pub struct Client<S> {
    inner: Arc<Inner>,
    stub: PhantomData<fn() -> S>,
}

struct Inner {
    target: Target,
    context: ClientContext,
    slot: Slot,
    /// Calls in a row that nobody answered in time.
    cancelled: AtomicU32,
}

impl<S> Clone for Client<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), stub: PhantomData }
    }
}

impl<S> fmt::Debug for Client<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("target", &self.inner.target.to_string()).finish()
    }
}

/// How an attempt ended without an answer.
enum Failure {
    /// Nobody to connect to, or no connection.
    NoConnection(ClientError),
    Replaced(ClientError),
    Grpc(Status),
    /// The caller's time is over.
    Late,
}

impl<S: Stub> Client<S> {
    /// A client that follows `target`. Connects with the first call.
    pub fn new(target: Target, context: ClientContext) -> Self {
        let slot = Slot::new(context.dial.clone(), context.settings.link, context.links.clone());
        let inner = Inner { target, context, slot, cancelled: AtomicU32::new(0) };
        Self { inner: Arc::new(inner), stub: PhantomData }
    }

    /// Calls, `within` that time in all. The request is stamped with sender, receiver
    /// and time if it has a base. The answer may be a failure that doesn't ask for
    /// a repetition, or still asks for one when there were no attempts left.
    ///
    /// # Errors
    /// [`ClientError`]: there is no answer.
    pub async fn call<Q, A, F, Fut>(&self, within: Duration, request: Q, send: F) -> Result<A, ClientError>
    where
        Q: Call,
        A: Reply,
        F: Fn(S, Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<A>, Status>>,
    {
        let inner = &*self.inner;
        let deadline = Instant::now() + within;
        let mut target = inner.target.clone();
        let mut number = 0;
        loop {
            number += 1;
            let peer = target.now();
            let mut used = None;
            let result = match &peer {
                None => Err(Failure::NoConnection(inner.nobody(&target))),
                Some(peer) => inner.attempt(peer, &mut target, deadline, &request, &send, &mut used).await,
            };
            if result.is_ok() {
                inner.cancelled.store(0, Ordering::Relaxed);
            }
            let cancelled = match &result {
                Err(Failure::Grpc(status)) if retry::is_cancelled(status) => inner.count_cancelled(),
                Err(Failure::Late) => inner.count_cancelled(),
                _ => inner.cancelled.load(Ordering::Relaxed),
            };
            let attempt = Attempt {
                number,
                cancelled,
                left: deadline.saturating_duration_since(Instant::now()),
                node_gone: target.is_gone(),
            };
            let late = Status::deadline_exceeded("");
            let met = match &result {
                Ok(answer) => Met::Answer {
                    retriable: merr::check(answer.status()).is_err_and(|error| error.retriable()),
                },
                Err(Failure::NoConnection(_)) => Met::NoConnection,
                Err(Failure::Replaced(_)) => Met::Replaced,
                Err(Failure::Grpc(status)) => Met::Error(status),
                Err(Failure::Late) => Met::Error(&late),
            };
            let next = next(inner.context.settings.ladder, met, attempt);
            if let Next::Again { anew: true, .. } | Next::OnlyIfReplaced { anew: true } = next
                && let Some(link) = &used
            {
                inner.slot.forget(link);
                inner.cancelled.store(0, Ordering::Relaxed);
            }
            let repeat = match next {
                Next::Done => false,
                Next::Again { pause, .. } => {
                    let end = Instant::now() + pause;
                    tokio::select! {
                        biased;
                        () = sleep_until(end) => {}
                        () = target.replaced(peer.as_ref()) => {}
                    }
                    true
                }
                Next::OnlyIfReplaced { .. } => {
                    timeout_at(deadline, target.replaced(peer.as_ref())).await.is_ok()
                }
            };
            if repeat {
                if let Err(failure) = &result {
                    tracing::debug!(target = %inner.target, attempt = number, failure = %failure.text(), "call repeated");
                }
                continue;
            }
            return result.map_err(|failure| inner.error(failure, &target, within));
        }
    }

    /// The same, and a failure in the answer is an error.
    ///
    /// # Errors
    /// What went wrong there or on the way, to be passed on.
    pub async fn ask<Q, A, F, Fut>(&self, within: Duration, request: Q, send: F) -> Result<A, MilvusError>
    where
        Q: Call,
        A: Reply,
        F: Fn(S, Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<A>, Status>>,
    {
        let answer = self.call(within, request, send).await?;
        merr::check(answer.status())?;
        Ok(answer)
    }
}

impl Inner {
    async fn attempt<S, Q, A, F, Fut>(
        &self,
        peer: &Peer,
        target: &mut Target,
        deadline: Instant,
        request: &Q,
        send: &F,
        used: &mut Option<Link>,
    ) -> Result<A, Failure>
    where
        S: Stub,
        Q: Call,
        A: Reply,
        F: Fn(S, Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<A>, Status>>,
    {
        let link = match timeout_at(deadline, self.slot.link(&peer.address)).await {
            Ok(Ok(link)) => link,
            Ok(Err(source)) => {
                let address = peer.address.clone();
                return Err(Failure::NoConnection(ClientError::Connect { address, source }));
            }
            Err(_) => return Err(Failure::Late),
        };
        *used = Some(link.clone());
        let mut request = request.clone();
        self.stamp(&mut request, peer);
        let mut request = Request::new(request);
        request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        // What is no header value is no cluster's name either; the peer will say so.
        let cluster =
            HeaderValue::from_str(self.context.identity.cluster()).unwrap_or(HeaderValue::from_static("?"));
        let stub = S::over(Caller::new(link, cluster, peer.server_id), &self.context.settings);
        tokio::select! {
            biased;
            result = send(stub, request) => match result {
                Ok(response) => Ok(response.into_inner()),
                Err(status) => Err(Failure::Grpc(status)),
            },
            () = sleep_until(deadline) => Err(Failure::Late),
            () = target.replaced_for(peer, self.context.settings.grace) => {
                Err(Failure::Replaced(self.nobody(target)))
            }
        }
    }

    fn stamp(&self, request: &mut impl Call, to: &Peer) {
        let Some(base) = request.base() else { return };
        if base.timestamp == 0 {
            base.timestamp = self.context.clock.wall().millis() / 1000;
        }
        if base.source_id == 0 {
            base.source_id = self.context.identity.server_id().0;
        }
        base.target_id = to.server_id.0;
    }

    fn count_cancelled(&self) -> u32 {
        self.cancelled.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// The error for lack of a session.
    fn nobody(&self, target: &Target) -> ClientError {
        match target {
            Target::Coordinator(role, _) => ClientError::NoCoordinator(*role),
            Target::Node { id, .. } => ClientError::NoNode { session: target.to_string(), id: *id },
        }
    }

    fn error(&self, failure: Failure, target: &Target, within: Duration) -> ClientError {
        // A node without a session explains everything else.
        if target.is_gone() && !matches!(failure, Failure::Late) {
            return self.nobody(target);
        }
        match failure {
            Failure::NoConnection(error) | Failure::Replaced(error) => error,
            Failure::Grpc(status) => ClientError::Grpc(Box::new(status)),
            Failure::Late => ClientError::Late { whom: target.to_string(), within },
        }
    }
}

impl Failure {
    fn text(&self) -> String {
        match self {
            Self::NoConnection(error) | Self::Replaced(error) => error.to_string(),
            Self::Grpc(status) => status.to_string(),
            Self::Late => "no answer in time".to_owned(),
        }
    }
}
