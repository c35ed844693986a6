//! Which message queue a real Milvus runs on.

use crate::{kafka::Kafka, oracle::Oracle, process::Usage, pulsar::Pulsar};

/// The kinds of message queues that a cluster can use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Queue {
    /// Kafka.
    #[default]
    Kafka,
    /// Pulsar.
    Pulsar,
}

/// A running one.
#[derive(Debug)]
pub enum Broker {
    /// Kafka.
    Kafka(Box<Kafka>),
    /// Pulsar.
    Pulsar(Box<Pulsar>),
}

impl Queue {
    /// Starts one.
    ///
    /// # Panics
    /// When it doesn't serve, or was not fetched.
    pub async fn start(self, oracle: &Oracle) -> Broker {
        match self {
            Self::Kafka => Broker::Kafka(Box::new(Kafka::start(oracle).await)),
            Self::Pulsar => Broker::Pulsar(Box::new(Pulsar::start(oracle).await)),
        }
    }
}

impl Broker {
    /// Its name in messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kafka(_) => "kafka",
            Self::Pulsar(_) => "pulsar",
        }
    }

    /// The keys of `milvus.yaml` with which it is used.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let kind = ("mq.type", self.name().to_owned());
        match self {
            Self::Kafka(kafka) => vec![kind, ("kafka.brokerList", kafka.brokers())],
            Self::Pulsar(pulsar) => vec![
                kind,
                ("pulsar.address", pulsar.url()),
                ("pulsar.webport", pulsar.web_port().to_string()),
            ],
        }
    }

    /// What its process has used so far.
    pub fn usage(&self) -> Usage {
        match self {
            Self::Kafka(kafka) => kafka.usage(),
            Self::Pulsar(pulsar) => pulsar.usage(),
        }
    }
}
