//! What became of a message, from what the client says.

use pulsar::{
    CommandSendReceipt, Error,
    error::{ConnectionError, ProducerError, ServiceDiscoveryError},
    proto::ServerError,
};

use crate::mq::{MessageId, QueueError};

/// Longer words are cut: some errors hold a whole message of the protocol.
const MAX_WORDS: usize = 300;

/// The position as Milvus writes it: `MessageIdData` with ledger, entry, partition 0 and
/// place 0 in its batch. `None`: the broker did not say, which it does not either when it
/// sorts out a repetition.
pub(super) fn message_id(receipt: &CommandSendReceipt) -> Option<MessageId> {
    let id = receipt.message_id.as_ref()?;
    if id.ledger_id == u64::MAX || id.entry_id == u64::MAX {
        return None;
    }
    let mut bytes = Vec::with_capacity(24);
    for (tag, value) in [(0x08, id.ledger_id), (0x10, id.entry_id), (0x18, 0), (0x20, 0)] {
        bytes.push(tag);
        prost::encoding::encode_varint(value, &mut bytes);
    }
    Some(MessageId(bytes))
}

/// The error of a message to `channel`, or of its topic.
///
/// `trouble`: what was last heard of the connection, which explains more than a time-out.
pub(super) fn queue_error(
    error: &Error,
    address: &str,
    channel: &str,
    trouble: Option<String>,
) -> QueueError {
    if is_refusal(error) {
        return refused(address, channel, words(error));
    }
    let reason = words(error);
    unreachable(address, trouble.map_or_else(|| reason.clone(), |why| format!("{reason} ({why})")))
}

/// No answer in time, or one that does not say what became of the message.
pub(super) fn unreachable(address: &str, reason: String) -> QueueError {
    QueueError::Unreachable { queue: "pulsar", address: address.into(), reason }
}

/// Certainly not in its channel.
pub(super) fn refused(address: &str, channel: &str, reason: String) -> QueueError {
    QueueError::Refused { queue: "pulsar", address: address.into(), channel: channel.into(), reason }
}

/// In the client's words.
pub(super) fn words(error: &Error) -> String {
    let words = match connection_error(error) {
        Some(ConnectionError::PulsarError(Some(kind), Some(words))) => {
            format!("{}: {}", kind.as_str_name(), first_line(words))
        }
        Some(ConnectionError::UnexpectedResponse(answer)) => {
            // All fields of a command, of which one is there.
            answer.find("CommandSendError").map_or(answer.as_str(), |at| &answer[at..]).to_owned()
        }
        _ => match error {
            Error::ServiceDiscovery(ServiceDiscoveryError::Query(Some(kind), words)) => {
                format!("{}: {}", kind.as_str_name(), first_line(words.as_deref().unwrap_or_default()))
            }
            Error::Custom(words) => words.clone(),
            _ => error.to_string(),
        },
    };
    match words.char_indices().nth(MAX_WORDS) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

/// Brokers send a trace of their calls below it.
fn first_line(words: &str) -> &str {
    words.lines().next().unwrap_or_default()
}

/// What kind of error the broker answered with, if it answered with one.
pub(super) fn server_error(error: &Error) -> Option<ServerError> {
    match (connection_error(error), error) {
        (Some(ConnectionError::PulsarError(kind, _)), _)
        | (_, Error::ServiceDiscovery(ServiceDiscoveryError::Query(kind, _))) => *kind,
        _ => None,
    }
}

fn connection_error(error: &Error) -> Option<&ConnectionError> {
    match error {
        Error::Connection(error)
        | Error::Producer(ProducerError::Connection(error))
        | Error::ServiceDiscovery(ServiceDiscoveryError::Connection(error)) => Some(error),
        _ => None,
    }
}

/// Whether the message is certainly not in its channel, and would be refused again.
fn is_refusal(error: &Error) -> bool {
    match connection_error(error) {
        // The answer to a message itself, of which the client keeps only the text.
        Some(ConnectionError::UnexpectedResponse(answer)) => {
            ["NotAllowedError", "TopicTerminatedError", "ChecksumError"]
                .iter()
                .any(|kind| answer.contains(kind))
        }
        _ => server_error(error).is_some_and(|kind| {
            matches!(
                kind,
                ServerError::TopicNotFound
                    | ServerError::TopicTerminatedError
                    | ServerError::AuthorizationError
                    | ServerError::InvalidTopicName
                    | ServerError::IncompatibleSchema
                    | ServerError::NotAllowedError
                    | ServerError::ProducerFenced
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use pulsar::proto::MessageIdData;

    use super::*;

    fn receipt(ledger_id: u64, entry_id: u64) -> CommandSendReceipt {
        let message_id = MessageIdData { ledger_id, entry_id, ..MessageIdData::default() };
        CommandSendReceipt { message_id: Some(message_id), ..CommandSendReceipt::default() }
    }

    #[test]
    fn an_id_has_the_bytes_that_milvus_stores() {
        let id = |ledger, entry| message_id(&receipt(ledger, entry)).map(|id| id.0);
        assert_eq!(id(0, 0), Some(vec![0x08, 0, 0x10, 0, 0x18, 0, 0x20, 0]));
        assert_eq!(id(300, 7), Some(vec![0x08, 0xac, 0x02, 0x10, 7, 0x18, 0, 0x20, 0]));
        assert_eq!(id(u64::MAX, u64::MAX), None);
        assert_eq!(message_id(&CommandSendReceipt::default()), None);
    }

    #[test]
    fn errors_say_whether_the_message_may_arrive() {
        let server = |kind, words: &str| ConnectionError::PulsarError(Some(kind), Some(words.to_owned()));
        let error = |error: Error| queue_error(&error, "a:1", "dml_0", Some("refused".into())).to_string();
        assert_eq!(
            error(
                ProducerError::Connection(server(ServerError::NotAllowedError, "too large\n\tat x")).into()
            ),
            "message queue pulsar at a:1 refuses messages of dml_0: NotAllowedError: too large"
        );
        assert_eq!(
            error(Error::ServiceDiscovery(ServiceDiscoveryError::Query(
                Some(ServerError::AuthorizationError),
                None
            ))),
            "message queue pulsar at a:1 refuses messages of dml_0: AuthorizationError: "
        );
        assert_eq!(
            error(server(ServerError::ServiceNotReady, "soon").into()),
            "message queue pulsar at a:1 does not answer: ServiceNotReady: soon (refused)"
        );
        let long = ConnectionError::UnexpectedResponse(format!(
            "BaseCommand {{ send_error: Some(CommandSendError {{ error: NotAllowedError {} }})",
            "x".repeat(1000)
        ));
        let told = error(ProducerError::Connection(long).into());
        assert!(told.contains("refuses") && told.contains(": CommandSendError { error") && told.len() < 400);
        assert!(error(Error::Executor).contains("does not answer"));
    }
}
