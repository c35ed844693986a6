//! When a call to another component is tried again: the ladder of Milvus's own
//! clients, as a function of what the last attempt met.
//!
//! | met | again? |
//! |---|---|
//! | no connection | yes; to a node only while it has a session |
//! | `node not match` | yes, on a new connection; to a node only while it has a session |
//! | Canceled, DeadlineExceeded | yes; on a new connection after 32 of them in a row |
//! | Unimplemented | no |
//! | any other gRPC error, `cross cluster routing` too | yes, on a new connection |
//! | an answer whose status asks for it | yes |
//! | any other answer | no |
//!
//! At most ten attempts, with pauses of 0.2, 0.4, 0.8 … 10 seconds between them, if
//! the configuration doesn't say otherwise. A pause ends at once when the session shows that another instance serves now.

use std::time::Duration;

use tonic::{Code, Status};

const MOST_CANCELLED: u32 = 32;

/// How often a call is tried, and with which pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// `grpc.client.maxMaxAttempts`
    pub most_attempts: u32,
    /// `grpc.client.initialBackoff`; doubles with each attempt.
    pub first_pause: Duration,
    /// `grpc.client.maxBackoff`
    pub longest_pause: Duration,
}

impl Default for Ladder {
    fn default() -> Self {
        Self {
            most_attempts: 10,
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(10),
        }
    }
}

/// What an attempt met.
#[derive(Clone, Copy, Debug)]
pub(super) enum Met<'a> {
    /// Nobody to connect to, or no connection.
    NoConnection,
    /// The instance was replaced in its session while it did not answer.
    Replaced,
    /// A gRPC error.
    Error(&'a Status),
    /// An answer; whether its status asks for a repetition.
    Answer {
        /// `status.retriable` of a failure.
        retriable: bool,
    },
}

/// What is known besides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    /// From 1.
    pub(super) number: u32,
    /// Canceled and DeadlineExceeded since the last answer, this attempt's included.
    pub(super) cancelled: u32,
    /// How long the caller still waits.
    pub(super) left: Duration,
    /// Whether the peer is a node whose session is gone: it won't come back under its id.
    pub(super) node_gone: bool,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Hand out what there is.
    Done,
    /// Try again after that pause.
    Again {
        /// Cut short by a change of the session.
        pause: Duration,
        /// On a new connection.
        anew: bool,
    },
    /// The next pause would outlast the caller: try again only if the session changes before.
    OnlyIfReplaced {
        /// On a new connection.
        anew: bool,
    },
}

/// Decides.
pub(super) fn next(ladder: Ladder, met: Met<'_>, attempt: Attempt) -> Next {
    let anew = match met {
        Met::Answer { retriable: false } => return Next::Done,
        Met::Answer { retriable: true } => false,
        Met::NoConnection if attempt.node_gone => return Next::Done,
        Met::Replaced if attempt.node_gone => return Next::Done,
        Met::NoConnection => false,
        Met::Replaced => return Next::Again { pause: Duration::ZERO, anew: true },
        Met::Error(status) => match status.code() {
            Code::Unimplemented => return Next::Done,
            Code::Cancelled | Code::DeadlineExceeded => attempt.cancelled > MOST_CANCELLED,
            _ if attempt.node_gone && is_node_not_match(status) => return Next::Done,
            _ => true,
        },
    };
    if attempt.number >= ladder.most_attempts {
        return Next::Done;
    }
    let doublings = attempt.number.saturating_sub(1).min(16);
    let pause = ladder.first_pause.saturating_mul(1 << doublings).min(ladder.longest_pause);
    if attempt.left < pause { Next::OnlyIfReplaced { anew } } else { Next::Again { pause, anew } }
}

/// Whether an error says that the call has come to the wrong instance.
pub(super) fn is_node_not_match(status: &Status) -> bool {
    status.message().contains("node not match")
}

/// Whether an error says that the call has come to the wrong cluster.
pub(super) fn is_cross_cluster(status: &Status) -> bool {
    status.message().contains("cross cluster routing")
}

/// Whether an error counts for [`Attempt::cancelled`].
pub(super) fn is_cancelled(status: &Status) -> bool {
    matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(met: Met<'_>, attempt: Attempt) -> Next {
        super::next(Ladder::default(), met, attempt)
    }

    const HOUR: Duration = Duration::from_secs(3600);
    const MS: Duration = Duration::from_millis(1);

    fn attempt() -> Attempt {
        Attempt { number: 1, cancelled: 0, left: HOUR, node_gone: false }
    }

    fn again(millis: u32, anew: bool) -> Next {
        Next::Again { pause: MS * millis, anew }
    }

    #[test]
    fn what_is_tried_again_and_where() {
        let error = Status::new;
        let table = [
            (Met::NoConnection, false, again(200, false)),
            (Met::NoConnection, true, Next::Done),
            (Met::Replaced, false, again(0, true)),
            (Met::Replaced, true, Next::Done),
            (Met::Answer { retriable: false }, false, Next::Done),
            (Met::Answer { retriable: true }, false, again(200, false)),
            (Met::Answer { retriable: true }, true, again(200, false)),
            (Met::Error(&error(Code::Unimplemented, "")), false, Next::Done),
            (Met::Error(&error(Code::Cancelled, "")), false, again(200, false)),
            (Met::Error(&error(Code::DeadlineExceeded, "")), true, again(200, false)),
            (Met::Error(&error(Code::Unavailable, "")), false, again(200, true)),
            (Met::Error(&error(Code::Unknown, "x")), true, again(200, true)),
            (Met::Error(&error(Code::Internal, "")), false, again(200, true)),
            (Met::Error(&error(Code::ResourceExhausted, "")), false, again(200, true)),
            (Met::Error(&error(Code::Unknown, "node not match[…]")), false, again(200, true)),
            (Met::Error(&error(Code::Unknown, "node not match[…]")), true, Next::Done),
            (Met::Error(&error(Code::Unknown, "cross cluster routing[…]")), false, again(200, true)),
        ];
        for (met, node_gone, expected) in table {
            assert_eq!(next(met, Attempt { node_gone, ..attempt() }), expected, "{met:?} {node_gone}");
        }
    }

    #[test]
    fn the_ladder() {
        let pauses: Vec<_> = (1..=11)
            .map(|number| next(Met::NoConnection, Attempt { number, ..attempt() }))
            .map(|next| match next {
                Next::Again { pause, .. } => pause.as_millis(),
                Next::Done => 0,
                Next::OnlyIfReplaced { .. } => panic!("there is time"),
            })
            .collect();
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000, 0, 0]);
    }

    #[test]
    fn who_has_no_time_for_a_pause_waits_for_a_new_session_only() {
        let met = Met::Answer { retriable: true };
        let left = |left| next(met, Attempt { left, ..attempt() });
        assert_eq!(left(MS * 200), again(200, false));
        assert_eq!(left(MS * 199), Next::OnlyIfReplaced { anew: false });
        assert_eq!(next(Met::Replaced, Attempt { left: MS, ..attempt() }), again(0, true));
    }

    #[test]
    fn a_connection_on_which_nothing_is_ever_answered_is_given_up() {
        let status = Status::deadline_exceeded("");
        let after = |cancelled| next(Met::Error(&status), Attempt { cancelled, ..attempt() });
        assert_eq!(after(32), again(200, false));
        assert_eq!(after(33), again(200, true));
    }
}
