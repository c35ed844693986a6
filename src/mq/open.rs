//! The queue that is configured.

use std::sync::Arc;

use tracing::warn;

use super::{NoQueue, Queue, Topics, kafka::Kafka};
use crate::{
    clock::Clock,
    config::{ConfigError, QueueSettings},
};

/// A queue, by what can be done with it.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Takes messages.
    pub queue: Arc<dyn Queue>,
    /// Makes topics.
    pub topics: Arc<dyn Topics>,
}

/// Opens the queue that `mq.type` and the addresses say. Connects in the background, and
/// waits for nothing. A queue that can't be used is one that takes nothing, with a reason.
///
/// # Errors
/// Settings below `kafka.producer` that can't be.
pub fn open(settings: Option<&QueueSettings>, clock: Arc<dyn Clock>) -> Result<Opened, ConfigError> {
    match settings {
        Some(QueueSettings::Kafka(settings)) => {
            let (kafka, notes) = Kafka::new(settings.clone(), clock)?;
            notes.iter().for_each(|note| warn!("{}", note.text));
            Ok(both(kafka))
        }
        Some(QueueSettings::Pulsar { .. }) => {
            let reason = "pulsar is not spoken yet; set mq.type to kafka, and kafka.brokerList";
            warn!(reason, "collections can't be created: there is no message queue");
            Ok(both(NoQueue(reason.into())))
        }
        None => Ok(both(NoQueue("none is configured; set kafka.brokerList".into()))),
    }
}

fn both<Q: Queue + Topics + 'static>(queue: Q) -> Opened {
    let queue = Arc::new(queue);
    Opened { queue: Arc::clone(&queue) as Arc<dyn Queue>, topics: queue }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::KafkaSettings,
        mq::{Message, QueueError},
        telemetry::{
            log::LogLevel,
            testing::{Stopped, lines_of},
        },
    };

    fn opened(settings: Option<QueueSettings>) -> Opened {
        open(settings.as_ref(), Arc::new(Stopped)).unwrap()
    }

    #[tokio::test]
    async fn without_a_queue_messages_meet_the_reason() {
        let pulsar = QueueSettings::Pulsar { url: "pulsar://u:hunter2@h:6650".into() };
        for (settings, expected) in [
            (None, "no message queue: none is configured; set kafka.brokerList"),
            (
                Some(pulsar),
                "no message queue: pulsar is not spoken yet; set mq.type to kafka, and kafka.brokerList",
            ),
        ] {
            let opened = opened(settings);
            let error = opened.queue.produce("dml_0", Message::default()).await.unwrap_err();
            assert_eq!(error.to_string(), expected);
            assert!(matches!(opened.topics.ensure(&["dml_0".into()]).await, Err(QueueError::None(_))));
        }
    }

    #[test]
    fn pulsar_is_warned_of_once_and_kafka_is_opened_silently() {
        let lines = lines_of(LogLevel::Info, || {
            opened(Some(QueueSettings::Pulsar { url: "pulsar://h:6650".into() }));
            opened(None);
            let kafka = KafkaSettings { brokers: "127.0.0.1:1".into(), ..KafkaSettings::default() };
            assert!(format!("{:?}", opened(Some(QueueSettings::Kafka(kafka))).queue).starts_with("Kafka"));
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("[WARN]"), "{lines:?}");
    }
}
