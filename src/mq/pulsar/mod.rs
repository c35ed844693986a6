//! Pulsar, through its Rust client.
//!
//! Each channel is a topic without partitions, with a [line](line) of its own, which has one
//! message on its way at a time. All share the connections of a [session](session): it is
//! made at once, also while this process is standby, and looked after, so that the first
//! message of a term waits for no handshake. A purge ends the session with everything that
//! belongs to it, down to the [tasks](executor) that write to sockets, and begins the next.
//!
//! A topic comes into being when its producer does. As Milvus does, those that a term will
//! use are [made](Topics::ensure) at its start.

mod access;
mod diagnosis;
mod executor;
mod line;
mod outcome;
mod session;

use std::{collections::HashMap, fmt, sync::Arc};

use futures::future::try_join_all;
use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::oneshot, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    access::Access,
    line::{Job, Line, Work},
    session::Session,
};
use super::{MESSAGE_TIMEOUT, Message, MessageId, Queue, QueueError, Topics};
use crate::{
    clock::Clock,
    config::{ConfigError, PulsarSettings},
    net::BoxFuture,
};

/// A cluster of Pulsar brokers. Dropping it ends all of its tasks.
pub struct Pulsar {
    access: Arc<Access>,
    runtime: Handle,
    tasks: TaskTracker,
    stop: CancellationToken,
    session: Mutex<Arc<Session>>,
    lines: Mutex<HashMap<String, Line>>,
}

impl fmt::Debug for Pulsar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pulsar").field("urls", &self.access.settings.urls).finish_non_exhaustive()
    }
}

impl Pulsar {
    /// Begins to connect in the background; nobody waits for that. Must be called within the
    /// runtime in which it is to live.
    ///
    /// # Errors
    /// Certificates that can't be used.
    pub fn new(settings: PulsarSettings, clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        let access = Arc::new(Access::new(settings, clock)?);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let session = Mutex::new(Session::begin(&access, &tasks, &stop));
        Ok(Self { access, runtime: Handle::current(), tasks, stop, session, lines: Mutex::default() })
    }

    /// Puts it at the end of its channel's line.
    fn put(&self, channel: &str, what: Work) {
        let given = self.access.clock.boot();
        let session = Arc::clone(&self.session.lock());
        let mut lines = self.lines.lock();
        if !lines.contains_key(channel) {
            lines.insert(channel.to_owned(), Line::begin(channel, &self.access, &self.tasks));
        }
        lines[channel].put(Job { what, session, given }, &self.access);
    }

    /// Waits for what became of it.
    async fn told<T>(&self, told: oneshot::Receiver<Result<T, QueueError>>) -> Result<T, QueueError> {
        match timeout(MESSAGE_TIMEOUT, told).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(self.access.unreachable("the client has ended")),
            Err(_) => Err(self.access.unreachable("no acknowledgement in time")),
        }
    }
}

impl Queue for Pulsar {
    fn produce<'a>(
        &'a self,
        channel: &'a str,
        message: Message,
    ) -> BoxFuture<'a, Result<MessageId, QueueError>> {
        Box::pin(async move {
            let (size, most) = (message.payload.len(), self.access.settings.max_message);
            if size > most {
                let reason = format!("{size} bytes are more than pulsar.maxMessageSize, {most}");
                return Err(self.access.refused(channel, reason));
            }
            let (answer, told) = oneshot::channel();
            self.put(channel, Work::Send(message, answer));
            self.told(told).await
        })
    }

    fn purge(&self) {
        let _runtime = self.runtime.enter();
        let next = Session::begin(&self.access, &self.tasks, &self.stop);
        // First the new one, so that nothing is given to the old one any more.
        std::mem::replace(&mut *self.session.lock(), next).end();
    }
}

impl Topics for Pulsar {
    fn ensure<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, Result<(), QueueError>> {
        Box::pin(async move {
            try_join_all(names.iter().map(|name| {
                let (answer, told) = oneshot::channel();
                self.put(name, Work::Open(answer));
                self.told(told)
            }))
            .await
            .map(|_| ())
        })
    }
}

impl Drop for Pulsar {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests;
