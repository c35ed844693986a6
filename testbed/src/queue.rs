//! Which message queue a real Milvus runs on.

use std::time::Instant;

use crate::{
    kafka::Kafka,
    oracle::Oracle,
    process::{Process, Usage},
    pulsar::Pulsar,
};

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

    /// `host:port` of it.
    pub fn address(&self) -> String {
        match self {
            Self::Kafka(kafka) => kafka.brokers(),
            Self::Pulsar(pulsar) => pulsar.url().replace("pulsar://", ""),
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

    /// See [`Kafka::kill`] and [`Pulsar::kill`].
    ///
    /// # Panics
    /// As those.
    pub async fn kill(&mut self) -> Instant {
        match self {
            Self::Kafka(kafka) => kafka.kill().await,
            Self::Pulsar(pulsar) => pulsar.kill().await,
        }
    }

    /// See [`Kafka::run`] and [`Pulsar::run`].
    ///
    /// # Panics
    /// As those.
    pub async fn run(&mut self) {
        match self {
            Self::Kafka(kafka) => kafka.run().await,
            Self::Pulsar(pulsar) => pulsar.run().await,
        }
    }

    /// The process, while it runs.
    pub fn process(&self) -> Option<&Process> {
        match self {
            Self::Kafka(kafka) => kafka.process(),
            Self::Pulsar(pulsar) => pulsar.process(),
        }
    }

    /// The bytes of everything in that topic, in its order. Nothing, if there is no such topic.
    ///
    /// # Panics
    /// When it can't be read.
    pub async fn payloads(&self, topic: &str) -> Vec<Vec<u8>> {
        // Pulsar makes a topic for whoever reads it.
        if !self.has(topic).await {
            return Vec::new();
        }
        match self {
            Self::Kafka(kafka) => {
                kafka.messages(topic).await.into_iter().map(|stored| stored.payload).collect()
            }
            Self::Pulsar(pulsar) => {
                pulsar.messages(topic).await.into_iter().map(|stored| stored.payload).collect()
            }
        }
    }

    async fn has(&self, topic: &str) -> bool {
        match self {
            Self::Kafka(kafka) => kafka.topics().await.iter().any(|(name, _)| name == topic),
            Self::Pulsar(pulsar) => pulsar.topics().await.iter().any(|name| name == topic),
        }
    }

    /// Deletes a topic, whoever uses it.
    ///
    /// # Panics
    /// When it is not deleted.
    pub async fn delete(&self, topic: &str) {
        match self {
            Self::Kafka(kafka) => kafka.delete(topic).await,
            Self::Pulsar(pulsar) => pulsar.delete(topic).await,
        }
    }
}
