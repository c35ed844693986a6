//! Kafka, through librdkafka.
//!
//! One client serves all channels; a channel is a topic, of which only partition 0 is used.
//! The library keeps a line of messages per topic and sends from its front, so order
//! needs nothing but handing messages over in order. It connects by itself, also while this
//! process is standby: then the first message of a term waits for no handshake.
//!
//! Messages to a topic that does not exist yet wait in their line until the broker has
//! made it. Those that a term will use are better [made](Topics::ensure) at its start.

mod ears;
mod outcome;
mod properties;
mod topics;

use std::{fmt, sync::Arc, thread, time::Duration};

use parking_lot::Mutex;
use rdkafka::{
    error::KafkaError,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord, Producer as _, PurgeConfig, future_producer::DeliveryFuture},
    types::RDKafkaErrorCode as Code,
};
use tracing::warn;

use self::{
    ears::Ears,
    outcome::{message_id, queue_error, unreachable},
    properties::{Ordering, client_config, ordering, passed_over, problems},
    topics::TopicMaker,
};
use super::{MESSAGE_TIMEOUT, Message, MessageId, Queue, QueueError, Topics};
use crate::{
    clock::{BootInstant, Clock},
    config::{ConfigError, KafkaSettings, Note, Problem},
    net::BoxFuture,
};

/// All channels' partition: the only one that Milvus's consumers read.
const PARTITION: i32 = 0;

/// A client that has failed for good is replaced at most this often.
const REPLACED_AFTER: Duration = Duration::from_secs(1);

/// A cluster of Kafka brokers.
pub struct Kafka {
    settings: KafkaSettings,
    ears: Ears,
    clock: Arc<dyn Clock>,
    current: Mutex<Current>,
    topics: TopicMaker,
}

/// The client in use.
struct Current {
    producer: FutureProducer<Ears>,
    ordering: Ordering,
    since: BootInstant,
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka").field("brokers", &self.settings.brokers).finish_non_exhaustive()
    }
}

impl Kafka {
    /// Makes the client. It connects when it can, and nobody waits for that. Also says
    /// which of the options do not count.
    ///
    /// # Errors
    /// Options that librdkafka does not know or that contradict each other.
    pub fn new(settings: KafkaSettings, clock: Arc<dyn Clock>) -> Result<(Self, Vec<Note>), ConfigError> {
        let problems = problems(&settings);
        if !problems.is_empty() {
            return Err(ConfigError(problems));
        }
        let ears = Ears::new(Arc::clone(&clock));
        let ordering = ordering(&settings);
        let producer = make_producer(&settings, ordering, &ears).map_err(|error| {
            ConfigError(vec![Problem { origin: None, what: format!("kafka.*: {error}") }])
        })?;
        let notes = passed_over(&settings);
        let current = Mutex::new(Current { producer, ordering, since: clock.boot() });
        let topics = TopicMaker::new(&settings, ears.clone());
        Ok((Self { settings, ears, clock, current, topics }, notes))
    }

    /// Puts a message at the end of its channel's line.
    fn hand_over(&self, channel: &str, message: &Message) -> Result<DeliveryFuture, QueueError> {
        let mut record =
            FutureRecord::<(), [u8]>::to(channel).partition(PARTITION).payload(&message.payload[..]);
        if !message.properties.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(message.properties.len());
            record =
                record.headers(message.properties.iter().fold(headers, |headers, (key, value)| {
                    headers.insert(Header { key, value: Some(value) })
                }));
        }
        let producer = self.working_producer()?;
        producer.send_result(record).map_err(|(error, _)| self.failure(&error, channel))
    }

    /// The client in use, or a new one if that one has failed for good: it takes no
    /// messages any more, and those that it had were told so.
    fn working_producer(&self) -> Result<FutureProducer<Ears>, QueueError> {
        let mut current = self.current.lock();
        let Some((code, reason)) = current.producer.client().fatal_error() else {
            return Ok(current.producer.clone());
        };
        let now = self.clock.boot();
        if now.since(current.since) < REPLACED_AFTER {
            return Err(unreachable(&self.settings.brokers, reason));
        }
        let ordering = if forbids_idempotence(code) { Ordering::OneAtATime } else { current.ordering };
        warn!(reason, ?ordering, "kafka client has failed for good and is replaced");
        let producer = make_producer(&self.settings, ordering, &self.ears)
            .map_err(|error| unreachable(&self.settings.brokers, error.to_string()))?;
        let replaced = std::mem::replace(&mut *current, Current { producer, ordering, since: now });
        let producer = current.producer.clone();
        drop(current);
        drop_aside(replaced.producer);
        Ok(producer)
    }

    fn failure(&self, error: &KafkaError, channel: &str) -> QueueError {
        queue_error(error, &self.settings.brokers, channel, self.ears.trouble())
    }
}

impl Queue for Kafka {
    fn produce<'a>(
        &'a self,
        channel: &'a str,
        message: Message,
    ) -> BoxFuture<'a, Result<MessageId, QueueError>> {
        Box::pin(async move {
            let delivery = self.hand_over(channel, &message)?;
            // What is in the line has a copy.
            drop(message);
            let no_answer = |reason: &str| unreachable(&self.settings.brokers, reason.to_owned());
            match tokio::time::timeout(MESSAGE_TIMEOUT, delivery).await {
                Ok(Ok(Ok(delivery))) => {
                    self.ears.is_well();
                    message_id(delivery.offset).ok_or_else(|| no_answer("the broker does not say the offset"))
                }
                Ok(Ok(Err((error, _)))) => Err(self.failure(&error, channel)),
                Ok(Err(_)) => Err(no_answer("the client has ended")),
                Err(_) => Err(self.failure(&KafkaError::MessageProduction(Code::MessageTimedOut), channel)),
            }
        })
    }

    fn purge(&self) {
        // Waiting for the library's threads could take as long as they wait for a name server.
        // Each gives up what it has before it sends more. What is on its way is given up
        // too: it would be sent again when the connection breaks.
        self.current.lock().producer.purge(PurgeConfig::default().queue().inflight().non_blocking());
    }
}

impl Topics for Kafka {
    fn ensure<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, Result<(), QueueError>> {
        Box::pin(self.topics.ensure(names))
    }
}

fn make_producer(
    settings: &KafkaSettings,
    ordering: Ordering,
    ears: &Ears,
) -> Result<FutureProducer<Ears>, KafkaError> {
    client_config(settings, ordering).create_with_context(ears.clone())
}

/// Whether the broker allows or knows no idempotent producers.
fn forbids_idempotence(code: Code) -> bool {
    matches!(
        code,
        Code::ClusterAuthorizationFailed
            | Code::UnsupportedFeature
            | Code::UnsupportedVersion
            | Code::UnsupportedForMessageFormat
    )
}

/// The end of a client waits for its threads.
fn drop_aside(producer: FutureProducer<Ears>) {
    // Without a thread it is dropped here, and its end waited for.
    _ = thread::Builder::new().name("kafka-end".into()).spawn(move || drop(producer));
}

#[cfg(test)]
mod tests;
