//! The queue that is configured.

use std::sync::Arc;

use tracing::warn;

use super::{NoQueue, Queue, Topics, kafka::Kafka, pulsar::Pulsar};
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
/// waits for nothing. Must be called within a runtime. Without an address it is a queue that
/// takes nothing, with a reason.
///
/// # Errors
/// Settings below `kafka.producer` that can't be; certificates for Pulsar that can't be used.
pub fn open(settings: Option<&QueueSettings>, clock: Arc<dyn Clock>) -> Result<Opened, ConfigError> {
    match settings {
        Some(QueueSettings::Kafka(settings)) => {
            let (kafka, notes) = Kafka::new(settings.clone(), clock)?;
            notes.iter().for_each(|note| warn!("{}", note.text));
            Ok(both(kafka))
        }
        Some(QueueSettings::Pulsar(settings)) => Ok(both(Pulsar::new(settings.clone(), clock)?)),
        None => Ok(both(NoQueue("none is configured; set pulsar.address or kafka.brokerList".into()))),
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
        config::{KafkaSettings, PulsarSettings},
        mq::{Message, QueueError},
        telemetry::testing::Stopped,
    };

    fn opened(settings: Option<QueueSettings>) -> Opened {
        open(settings.as_ref(), Arc::new(Stopped)).unwrap()
    }

    #[tokio::test]
    async fn without_a_queue_messages_meet_the_reason() {
        let opened = opened(None);
        let error = opened.queue.produce("dml_0", Message::default()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "no message queue: none is configured; set pulsar.address or kafka.brokerList"
        );
        assert!(matches!(opened.topics.ensure(&["dml_0".into()]).await, Err(QueueError::None(_))));
    }

    #[tokio::test]
    async fn the_queue_that_is_configured_is_opened() {
        let kafka = KafkaSettings { brokers: "127.0.0.1:1".into(), ..KafkaSettings::default() };
        assert!(format!("{:?}", opened(Some(QueueSettings::Kafka(kafka))).queue).starts_with("Kafka"));
        let pulsar = QueueSettings::Pulsar(PulsarSettings::default());
        assert!(format!("{:?}", opened(Some(pulsar)).queue).starts_with("Pulsar"));
    }
}
