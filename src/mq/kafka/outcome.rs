//! What became of a message, from what librdkafka says.

use rdkafka::{error::KafkaError, types::RDKafkaErrorCode as Code};

use crate::mq::{MessageId, QueueError};

/// The position as Milvus writes it: eight bytes, little-endian. `None` for a message that
/// is in its channel at an offset that the broker did not say.
pub(super) fn message_id(offset: i64) -> Option<MessageId> {
    (offset >= 0).then(|| MessageId(offset.to_le_bytes().to_vec()))
}

/// The error of a message to `channel`.
///
/// `trouble`: what was last heard of the connection. A message whose time is over says only
/// that; why it could not be sent stands there.
pub(super) fn queue_error(
    error: &KafkaError,
    address: &str,
    channel: &str,
    trouble: Option<String>,
) -> QueueError {
    let code = error.rdkafka_error_code();
    match code {
        Some(Code::PurgeQueue) => QueueError::Purged,
        Some(code) if is_refusal(code) => QueueError::Refused {
            queue: "kafka",
            address: address.into(),
            channel: channel.into(),
            reason: code.to_string(),
        },
        _ => {
            let reason = code.map_or_else(|| error.to_string(), |code| code.to_string());
            unreachable(address, trouble.map_or_else(|| reason.clone(), |why| format!("{reason} ({why})")))
        }
    }
}

/// No answer in time, or one that does not say what became of the message.
pub(super) fn unreachable(address: &str, reason: String) -> QueueError {
    QueueError::Unreachable { queue: "kafka", address: address.into(), reason }
}

/// Whether the message is certainly not in its channel, and would be refused again.
fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::MessageBatchTooLarge
            | Code::InvalidTopic
            | Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::UnknownPartition
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::InvalidRequiredAcks
            | Code::InvalidTimestamp
            | Code::InvalidRecord
            | Code::UnsupportedCompressionType
            | Code::UnsupportedForMessageFormat
            | Code::PolicyViolation
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_the_bytes_that_milvus_stores() {
        assert_eq!(message_id(0), Some(MessageId(vec![0; 8])));
        assert_eq!(message_id(0x0102), Some(MessageId(vec![2, 1, 0, 0, 0, 0, 0, 0])));
        assert_eq!(message_id(-1), None);
    }

    #[test]
    fn errors_say_whether_the_message_may_arrive() {
        let error = |code, trouble: Option<&str>| {
            let trouble = trouble.map(str::to_owned);
            queue_error(&KafkaError::MessageProduction(code), "a:1", "dml_0", trouble).to_string()
        };
        for (code, trouble, expected) in [
            (Code::PurgeQueue, None, "purged"),
            (
                Code::MessageSizeTooLarge,
                None,
                "message queue kafka at a:1 refuses messages of dml_0: MessageSizeTooLarge (Broker: Message size too large)",
            ),
            (
                Code::MessageTimedOut,
                Some("connection refused"),
                "message queue kafka at a:1 does not answer: MessageTimedOut (Local: Message timed out) (connection refused)",
            ),
            (
                Code::PurgeInflight,
                None,
                "message queue kafka at a:1 does not answer: PurgeInflight (Local: Purged in flight)",
            ),
            (
                Code::NotEnoughReplicasAfterAppend,
                None,
                "message queue kafka at a:1 does not answer: NotEnoughReplicasAfterAppend (Broker: Message(s) written to insufficient number of in-sync replicas)",
            ),
        ] {
            assert_eq!(error(code, trouble), expected);
        }
    }
}
