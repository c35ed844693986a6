use std::fmt;

use super::pulsar::PulsarSettings;
use crate::config::{origin::Origin, reader::Reader, secret::Secret};

/// Which message queue the cluster uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueSettings {
    /// Pulsar.
    Pulsar(PulsarSettings),
    /// Kafka.
    Kafka(KafkaSettings),
}

/// How Kafka is reached and written to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// How to log in; `None`: without a login, unencrypted unless `producer` says otherwise.
    pub login: Option<KafkaLogin>,
    /// What stands below `kafka.producer`: options of librdkafka.
    pub producer: Vec<KafkaProperty>,
}

/// A login at Kafka, by SASL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaLogin {
    /// As whom.
    pub user: String,
    /// The password.
    pub password: Secret,
    /// `PLAIN` and so on.
    pub mechanism: String,
    /// `SASL_SSL` or `SASL_PLAINTEXT`.
    pub protocol: String,
}

/// One option of librdkafka.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaProperty {
    /// Its name there: `client.id`.
    pub name: String,
    /// Its value, which may be a key or a password.
    pub value: Secret,
    /// Where it stands.
    pub origin: Origin,
}

impl fmt::Debug for KafkaProperty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kafka.producer.{} ({})", self.name, self.origin)
    }
}

impl QueueSettings {
    /// `None`: no queue is configured, which is no reason not to start.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let kind = reader.text("mq.type");
        let pulsar = PulsarSettings::read(reader, kind != "kafka");
        let brokers = reader.text("kafka.brokerList");
        let login =
            ["kafka.saslUsername", "kafka.saslPassword", "kafka.saslMechanisms", "kafka.securityProtocol"]
                .map(|key| reader.text(key));

        // As in Milvus, which looks for Pulsar first.
        if let Some(pulsar) = pulsar {
            Some(Self::Pulsar(pulsar))
        } else if !brokers.is_empty() && kind != "pulsar" {
            let login = KafkaLogin::read(reader, login);
            Some(Self::Kafka(KafkaSettings { brokers, login, producer: producer(reader) }))
        } else {
            None
        }
    }
}

impl KafkaLogin {
    /// Only both together are a login, as in Milvus.
    fn read(reader: &mut Reader<'_>, [user, password, mechanism, protocol]: [String; 4]) -> Option<Self> {
        match (user.is_empty(), password.is_empty()) {
            (true, true) => None,
            (false, false) => Some(Self { user, password: Secret::new(password), mechanism, protocol }),
            (false, true) => {
                reader.refuse("kafka.saslUsername", "is set without kafka.saslPassword");
                None
            }
            (true, false) => {
                reader.refuse("kafka.saslPassword", "is set without kafka.saslUsername");
                None
            }
        }
    }
}

fn producer(reader: &Reader<'_>) -> Vec<KafkaProperty> {
    let property = |(name, value, origin)| KafkaProperty { name, value: Secret::new(value), origin };
    reader.group("kafka.producer.").into_iter().map(property).collect()
}
