//! What an error of an etcd call means: the one place that knows etcd's texts.
//!
//! The question behind it: may a write have been applied? Etcd's refusals are
//! definite; its time-outs and leader changes are not, and neither is a connection
//! that ended after the call was sent.

use std::error::Error as StdError;

use etcd_client::Error;
use tonic::{Code, Status};

use crate::etcd::call::{CallError, Refusal};

/// An error of some other layer.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// What became of one attempt.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It never left this process.
    NotSent(BoxError),
    /// Etcd does not accept the login (any more): not applied, and a new login may help.
    StaleLogin(BoxError),
    /// A definite no.
    Refused(Refusal),
    /// The answer is larger than this process decodes.
    AnswerTooLarge(String),
    /// Sent, and no answer that settles it.
    Lost(BoxError),
}

impl Failure {
    /// As the end of a write.
    pub(crate) fn of_write(self, what: &'static str, endpoints: &str) -> CallError {
        match self {
            Self::NotSent(source) => CallError::Unreachable { endpoints: endpoints.to_owned(), source },
            Self::StaleLogin(source) => {
                CallError::Refused { what, refusal: Refusal::Denied(source.to_string()) }
            }
            Self::Refused(refusal) => CallError::Refused { what, refusal },
            Self::AnswerTooLarge(text) => CallError::Unknown { what, source: text.into() },
            Self::Lost(source) => CallError::Unknown { what, source },
        }
    }

    /// As the end of a read, of which there is nothing to be unsure about but the answer.
    pub(crate) fn of_read(self, what: &'static str, endpoints: &str) -> CallError {
        match self {
            Self::AnswerTooLarge(text) => CallError::Refused { what, refusal: Refusal::TooLarge(text) },
            other => other.of_write(what, endpoints),
        }
    }
}

/// What `error` means.
pub(crate) fn classify(error: Error) -> Failure {
    match error {
        Error::GRpcStatus(status) => status_means(status),
        // The client library's text for a keep-alive that was answered with TTL 0.
        Error::LeaseKeepAliveError(text) if text.contains("lease not found") => {
            Failure::Refused(Refusal::LeaseNotFound)
        }
        Error::InvalidArgs(text) => Failure::Refused(Refusal::Other(text)),
        other => Failure::Lost(Box::new(other)),
    }
}

fn status_means(status: Status) -> Failure {
    if was_never_sent(&status) {
        return Failure::NotSent(Box::new(status));
    }
    let text = status.message();
    let has = |part: &str| text.contains(part);
    let refused = |refusal| Failure::Refused(refusal);
    if has("requested lease not found") {
        refused(Refusal::LeaseNotFound)
    } else if has("database space exceeded") {
        refused(Refusal::NoSpace)
    } else if has("revision has been compacted") {
        refused(Refusal::Compacted)
    } else if has("is a future revision") {
        refused(Refusal::FutureRevision)
    } else if has("too many operations")
        || has("request is too large")
        || has("received message larger than max")
    {
        refused(Refusal::TooLarge(text.to_owned()))
    } else if has("message length too large") {
        Failure::AnswerTooLarge(text.to_owned())
    } else if has("invalid auth token")
        || has("revision of auth store is old")
        || has("revision in header is old")
    {
        Failure::StaleLogin(Box::new(status))
    } else if has("permission denied")
        || has("authentication failed")
        || has("user name is empty")
        || has("authentication is not enabled")
    {
        refused(Refusal::Denied(text.to_owned()))
    } else {
        match status.code() {
            Code::Unauthenticated => Failure::StaleLogin(Box::new(status)),
            Code::PermissionDenied => refused(Refusal::Denied(text.to_owned())),
            // Etcd's own, and of the kinds that it gives before it does anything.
            Code::InvalidArgument | Code::FailedPrecondition | Code::NotFound | Code::AlreadyExists
                if text.starts_with("etcdserver:") && !has("not leader") =>
            {
                refused(Refusal::Other(text.to_owned()))
            }
            Code::Unimplemented => refused(Refusal::Other(text.to_owned())),
            _ => Failure::Lost(Box::new(status)),
        }
    }
}

/// The connection was over before the request was handed to it.
fn was_never_sent(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(failure: &Failure) -> String {
        match failure {
            Failure::NotSent(_) => "not sent".to_owned(),
            Failure::StaleLogin(_) => "stale login".to_owned(),
            Failure::Refused(Refusal::TooLarge(_)) => "refused: TooLarge".to_owned(),
            Failure::Refused(Refusal::Denied(_)) => "refused: Denied".to_owned(),
            Failure::Refused(Refusal::Other(_)) => "refused: Other".to_owned(),
            Failure::Refused(refusal) => format!("refused: {refusal:?}"),
            Failure::AnswerTooLarge(_) => "answer too large".to_owned(),
            Failure::Lost(_) => "lost".to_owned(),
        }
    }

    /// Codes and texts as etcd 3.4 to 3.6 and its gRPC library give them.
    #[test]
    fn every_text_of_etcd_has_its_meaning() {
        for (code, text, meaning) in [
            (Code::NotFound, "etcdserver: requested lease not found", "refused: LeaseNotFound"),
            (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded", "refused: NoSpace"),
            (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted",
                "refused: Compacted",
            ),
            (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision is a future revision",
                "refused: FutureRevision",
            ),
            (Code::InvalidArgument, "etcdserver: too many operations in txn request", "refused: TooLarge"),
            (Code::InvalidArgument, "etcdserver: request is too large", "refused: TooLarge"),
            (
                Code::ResourceExhausted,
                "grpc: received message larger than max (3000000 vs. 2097152)",
                "refused: TooLarge",
            ),
            (Code::InvalidArgument, "etcdserver: duplicate key given in txn request", "refused: Other"),
            (Code::InvalidArgument, "etcdserver: key is not provided", "refused: Other"),
            (Code::FailedPrecondition, "etcdserver: lease already exists", "refused: Other"),
            (Code::PermissionDenied, "etcdserver: permission denied", "refused: Denied"),
            (
                Code::InvalidArgument,
                "etcdserver: authentication failed, invalid user ID or password",
                "refused: Denied",
            ),
            (Code::InvalidArgument, "etcdserver: user name is empty", "refused: Denied"),
            (Code::FailedPrecondition, "etcdserver: authentication is not enabled", "refused: Denied"),
            (Code::Unauthenticated, "etcdserver: invalid auth token", "stale login"),
            (Code::Unknown, "etcdserver: invalid auth token", "stale login"),
            (Code::InvalidArgument, "etcdserver: revision of auth store is old", "stale login"),
            (Code::Unknown, "auth: revision in header is old", "stale login"),
            (Code::Unavailable, "etcdserver: leader changed", "lost"),
            (Code::Unavailable, "etcdserver: no leader", "lost"),
            (Code::FailedPrecondition, "etcdserver: not leader", "lost"),
            (Code::Unavailable, "etcdserver: request timed out", "lost"),
            (
                Code::Unavailable,
                "etcdserver: request timed out, possibly due to previous leader failure",
                "lost",
            ),
            (Code::ResourceExhausted, "etcdserver: too many requests", "lost"),
            (Code::Unavailable, "etcdserver: server stopped", "lost"),
            (Code::DataLoss, "etcdserver: corrupt cluster", "lost"),
            (Code::Unknown, "raft proposal dropped", "lost"),
            (Code::Unavailable, "transport is closing", "lost"),
            (Code::Internal, "h2 protocol error: http2 error", "lost"),
            (Code::Cancelled, "operation was canceled", "lost"),
            (Code::DeadlineExceeded, "context deadline exceeded", "lost"),
            (
                Code::OutOfRange,
                "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes",
                "answer too large",
            ),
            (Code::Unimplemented, "unknown service etcdserverpb.KV", "refused: Other"),
        ] {
            let failure = classify(Error::GRpcStatus(Status::new(code, text)));
            assert_eq!(short(&failure), meaning, "{code:?} {text}");
        }
    }

    #[test]
    fn a_keep_alive_for_a_lost_lease_is_a_definite_no() {
        let failure = classify(Error::LeaseKeepAliveError("lease not found".to_owned()));
        assert_eq!(short(&failure), "refused: LeaseNotFound");
    }

    #[test]
    fn only_a_failed_connect_counts_as_not_sent() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let connect = tonic::ConnectError(Box::new(refused));
        let failure = classify(Error::GRpcStatus(Status::from_error(Box::new(connect))));
        assert_eq!(short(&failure), "not sent");
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let failure = classify(Error::GRpcStatus(Status::from_error(Box::new(reset))));
        assert_eq!(short(&failure), "lost");
    }

    #[test]
    fn what_may_be_applied_is_never_called_certain() {
        let of_write = |code, text: &str| {
            classify(Error::GRpcStatus(Status::new(code, text)))
                .of_write("txn", "a:1")
                .certainly_not_applied()
        };
        assert!(!of_write(Code::Unavailable, "etcdserver: leader changed"));
        assert!(!of_write(Code::OutOfRange, "Error, decoded message length too large: found 5 bytes"));
        assert!(of_write(Code::InvalidArgument, "etcdserver: request is too large"));
        assert!(of_write(Code::Unauthenticated, "etcdserver: invalid auth token"));
    }
}
