//! The message queue, as those see it who produce: a channel takes messages in the
//! order in which they are given, and says where each one stands.
//!
//! A queue can't fence. Who produces asks the gate first, and messages that were
//! given and not sent when a term ends are [purged](Queue::purge).
//!
//! [`codec`] makes the messages, [`open()`] finds the queue that is configured.

pub mod codec;
pub mod kafka;
mod open;
pub mod pulsar;
mod trouble;

use std::{fmt, time::Duration};

use bytes::Bytes;

pub use self::open::{Opened, open};
use crate::net::BoxFuture;

/// How long a message may take until its fate is told.
pub const MESSAGE_TIMEOUT: Duration = Duration::from_secs(4);

/// What goes into a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// One serialized message of `milvus.proto.msg`, bare.
    pub payload: Bytes,
    /// Headers, such as the trace context. Consumers need none.
    pub properties: Vec<(String, String)>,
}

/// Where a message stands in its channel, in the queue's own serialized form: what
/// Milvus stores as a start position and consumers seek to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageId(pub Vec<u8>);

/// Why a message did not get into its channel, or may not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// No queue is configured, or one of a kind that is not spoken here.
    #[error("no message queue: {0}")]
    None(String),
    /// The broker could not be reached or did not confirm in time; it may still deliver the message.
    #[error("message queue {queue} at {address} does not answer: {reason}")]
    Unreachable {
        /// `kafka` or `pulsar`.
        queue: &'static str,
        /// Where it was looked for.
        address: String,
        /// In the client's words.
        reason: String,
    },
    /// The broker refused it: certainly not in the channel.
    #[error("message queue {queue} at {address} refuses messages of {channel}: {reason}")]
    Refused {
        /// `kafka` or `pulsar`.
        queue: &'static str,
        /// Who refused.
        address: String,
        /// Which channel.
        channel: String,
        /// In the broker's words.
        reason: String,
    },
    /// The term ended while the message waited: certainly not in the channel.
    #[error("purged")]
    Purged,
}

/// A message queue.
pub trait Queue: Send + Sync + fmt::Debug {
    /// Puts a message into a channel behind all that were put there before, and waits for
    /// the broker's acknowledgement. It takes its place in the order when the future is
    /// first polled, and keeps it when the future is dropped after that.
    ///
    /// # Errors
    /// [`QueueError`], within some seconds ([`MESSAGE_TIMEOUT`]). One that is given
    /// again after [`QueueError::Unreachable`] may be in the channel twice.
    fn produce<'a>(
        &'a self,
        channel: &'a str,
        message: Message,
    ) -> BoxFuture<'a, Result<MessageId, QueueError>>;

    /// Gives up every message that is not acknowledged. What is on the wire may arrive,
    /// but nothing is sent again. Waits for nothing; a message that is given in the same
    /// moment may be given up too.
    fn purge(&self);
}

/// Makes the channels of a message queue.
pub trait Topics: Send + Sync + fmt::Debug {
    /// Makes sure that all of these channels exist, each with one partition. Those that
    /// do stay as they are.
    ///
    /// # Errors
    /// [`QueueError`] of the first that may be missing, within some seconds. Some of the
    /// others may have been made; asking again does no harm.
    fn ensure<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, Result<(), QueueError>>;
}

/// A queue that takes nothing.
#[derive(Clone, Debug)]
pub struct NoQueue(
    /// Why there is none, and what to set.
    pub String,
);

impl Queue for NoQueue {
    fn produce<'a>(&'a self, _: &'a str, _: Message) -> BoxFuture<'a, Result<MessageId, QueueError>> {
        Box::pin(async { Err(QueueError::None(self.0.clone())) })
    }

    fn purge(&self) {}
}

impl Topics for NoQueue {
    fn ensure<'a>(&'a self, _: &'a [String]) -> BoxFuture<'a, Result<(), QueueError>> {
        Box::pin(async { Err(QueueError::None(self.0.clone())) })
    }
}

#[cfg(test)]
pub(crate) mod memory {
    //! A queue in memory, for tests of those who produce.

    use std::collections::{BTreeMap, VecDeque};

    use parking_lot::Mutex;

    use super::*;

    /// Keeps what it is given. Ids are Kafka's: offsets, eight bytes, little-endian.
    #[derive(Debug, Default)]
    pub(crate) struct MemoryQueue {
        channels: Mutex<BTreeMap<String, Vec<Message>>>,
        faults: Mutex<VecDeque<QueueError>>,
    }

    impl MemoryQueue {
        /// What is in a channel.
        pub(crate) fn messages(&self, channel: &str) -> Vec<Message> {
            self.channels.lock().get(channel).cloned().unwrap_or_default()
        }

        /// The next messages meet these errors.
        pub(crate) fn fail(&self, faults: impl IntoIterator<Item = QueueError>) {
            self.faults.lock().extend(faults);
        }
    }

    impl Queue for MemoryQueue {
        fn produce<'a>(
            &'a self,
            channel: &'a str,
            message: Message,
        ) -> BoxFuture<'a, Result<MessageId, QueueError>> {
            Box::pin(async move {
                if let Some(fault) = self.faults.lock().pop_front() {
                    return Err(fault);
                }
                let mut channels = self.channels.lock();
                let messages = channels.entry(channel.to_owned()).or_default();
                messages.push(message);
                let offset = i64::try_from(messages.len() - 1).expect("few messages");
                Ok(MessageId(offset.to_le_bytes().to_vec()))
            })
        }

        fn purge(&self) {}
    }
}
