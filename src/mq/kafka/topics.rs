//! Topics, made before they are used.
//!
//! A topic that the broker makes at the first message costs that message a quarter of a
//! second, and a broker may be told not to make any.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    error::KafkaError,
    types::RDKafkaErrorCode as Code,
};

use super::{
    ears::Ears,
    outcome::unreachable,
    properties::{Ordering, client_config},
};
use crate::{config::KafkaSettings, mq::QueueError};

/// How long the broker may take.
const BROKER_TIMEOUT: Duration = Duration::from_secs(3);

/// How long all of it may take, connecting included.
const TIMEOUT: Duration = Duration::from_secs(4);

/// As many copies as the broker's configuration says.
const REPLICATION: TopicReplication<'_> = TopicReplication::Fixed(-1);

/// Makes topics.
pub(super) struct TopicMaker {
    config: ClientConfig,
    brokers: String,
    ears: Ears,
    /// Made at the first use: a standby needs none.
    client: Mutex<Option<Arc<AdminClient<Ears>>>>,
}

impl TopicMaker {
    pub(super) fn new(settings: &KafkaSettings, ears: Ears) -> Self {
        // It sends no messages: one connection, and no producer's id.
        let config = client_config(settings, Ordering::OneAtATime);
        Self { config, brokers: settings.brokers.clone(), ears, client: Mutex::default() }
    }

    /// Makes those that do not exist, all in one request.
    ///
    /// # Errors
    /// [`QueueError`] of the first that can't be made, after four seconds at most.
    pub(super) async fn ensure(&self, names: &[String]) -> Result<(), QueueError> {
        if names.is_empty() {
            return Ok(());
        }
        let client = self.client().map_err(|error| self.unreachable(&error))?;
        let topics: Vec<_> = names.iter().map(|name| NewTopic::new(name, 1, REPLICATION)).collect();
        let options =
            AdminOptions::new().request_timeout(Some(BROKER_TIMEOUT)).operation_timeout(Some(BROKER_TIMEOUT));
        let made = tokio::time::timeout(TIMEOUT, client.create_topics(&topics, &options))
            .await
            .map_err(|_| unreachable(&self.brokers, format!("no topics were made within {TIMEOUT:?}")))?
            .map_err(|error| self.unreachable(&error))?;
        for result in made {
            let Err((name, code)) = result else { continue };
            match judge(code) {
                Verdict::There => {}
                // Who may write need not be allowed to make topics.
                Verdict::Forbidden if exists(Arc::clone(&client), name.clone()).await => {}
                Verdict::Forbidden | Verdict::Refused => {
                    return Err(QueueError::Refused {
                        queue: "kafka",
                        address: self.brokers.clone(),
                        channel: name,
                        reason: format!("the topic can't be made: {code}"),
                    });
                }
                Verdict::Unknown => return Err(unreachable(&self.brokers, code.to_string())),
            }
        }
        Ok(())
    }

    fn client(&self) -> Result<Arc<AdminClient<Ears>>, KafkaError> {
        let mut client = self.client.lock();
        if let Some(client) = &*client {
            return Ok(Arc::clone(client));
        }
        let made = Arc::new(self.config.create_with_context(self.ears.clone())?);
        *client = Some(Arc::clone(&made));
        Ok(made)
    }

    fn unreachable(&self, error: &KafkaError) -> QueueError {
        let trouble = self.ears.trouble().map_or_else(String::new, |why| format!(" ({why})"));
        unreachable(&self.brokers, format!("{error}{trouble}"))
    }
}

/// What the broker's answer says of a topic.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    There,
    Forbidden,
    Refused,
    Unknown,
}

fn judge(code: Code) -> Verdict {
    match code {
        Code::TopicAlreadyExists => Verdict::There,
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => Verdict::Forbidden,
        Code::InvalidTopic
        | Code::InvalidReplicationFactor
        | Code::InvalidConfig
        | Code::PolicyViolation
        | Code::UnsupportedVersion => Verdict::Refused,
        _ => Verdict::Unknown,
    }
}

/// Whether the topic is there, as far as this client may know.
async fn exists(client: Arc<AdminClient<Ears>>, name: String) -> bool {
    // The library has no other way to ask than one that waits.
    let asked =
        tokio::task::spawn_blocking(move || client.inner().fetch_metadata(Some(&name), BROKER_TIMEOUT));
    match asked.await {
        Ok(Ok(metadata)) => metadata.topics().iter().any(|topic| !topic.partitions().is_empty()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_exists_is_as_good_as_made() {
        assert_eq!(judge(Code::TopicAlreadyExists), Verdict::There);
        assert_eq!(judge(Code::TopicAuthorizationFailed), Verdict::Forbidden);
        assert_eq!(judge(Code::InvalidTopic), Verdict::Refused);
        assert_eq!(judge(Code::RequestTimedOut), Verdict::Unknown);
    }
}
