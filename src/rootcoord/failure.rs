//! Why a call brought no result, and how Milvus's clients are told.

use crate::{
    election::gate::NotServing,
    etcd::store::WriteError,
    mq::QueueError,
    rootcoord::error::DdlError,
    rpc::merr::{Kind, MilvusError},
    tso::{ids::NoIds, timestamps::NoTimestamp},
};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The request can't be carried out on the schema as it is.
    #[error(transparent)]
    Ddl(#[from] DdlError),
    /// A message did not get into its channel, or may not have.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// Another component did not do its part, in Milvus's words.
    #[error("{0}")]
    Peer(MilvusError),
    /// There is no timestamp.
    #[error(transparent)]
    Timestamp(#[from] NoTimestamp),
    /// There are no ids.
    #[error(transparent)]
    Ids(#[from] NoIds),
    /// Etcd does not take the write now: certainly not carried out. May be repeated.
    #[error("etcd does not take writes now: {0}")]
    NotWritten(String),
    /// Etcd did not answer in time: perhaps carried out. May be repeated.
    #[error("no answer from etcd in time")]
    NoAnswer,
    /// Etcd does not tell what has to be known first: certainly not carried out. May be repeated.
    #[error("etcd does not answer now: {0}")]
    NotRead(String),
    /// Somebody else keeps changing the same keys: certainly not carried out. May be repeated.
    #[error("{0} was changed by somebody else")]
    Disturbed(String),
    /// Too many requests wait: certainly not carried out. May be repeated.
    #[error("{0} requests wait already")]
    Full(usize),
    /// The answer must not go out, whatever it is.
    #[error(transparent)]
    NotServing(#[from] NotServing),
    /// There is no term here, or it just ended: certainly not carried out by this instance.
    #[error("not the active rootcoord")]
    NoTerm,
}

/// What becomes of a call that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// An error in the answer.
    Status(MilvusError),
    /// "Not ready", in the shape of the method.
    NotReady,
    /// A gRPC error upon which the client looks the ACTIVE key up again.
    PushAway,
}

impl Failure {
    /// The failure of a write that can be told to a client.
    pub fn of_write(error: &WriteError) -> Self {
        match error {
            WriteError::Deposed(_) => Self::NoTerm,
            WriteError::Conflict { keys, .. } => Self::Disturbed(keys.join(", ")),
            WriteError::Refused(refusal) => Self::NotWritten(refusal.to_string()),
            WriteError::NotSent(cause) => Self::NotWritten(cause.to_string()),
            WriteError::Unknown(_) => Self::NoAnswer,
        }
    }

    /// How the client is told.
    pub fn reply(&self) -> Reply {
        match self {
            Self::NoTerm | Self::NotServing(NotServing::Ended(_)) => Reply::PushAway,
            Self::NotServing(NotServing::Unproven(_)) => Reply::NotReady,
            Self::Ddl(error) => Reply::Status(error.told()),
            Self::Peer(error) => Reply::Status(error.clone()),
            Self::Queue(error) => of_queue(error),
            // As in Milvus a plain error, but one that is worth repeating.
            Self::Timestamp(NoTimestamp::UsedUp) | Self::Ids(NoIds::UsedUp) => {
                Reply::Status(MilvusError::plain(self.to_string()).retry())
            }
            Self::Timestamp(NoTimestamp::CountZero | NoTimestamp::TooMany) | Self::Ids(NoIds::CountZero) => {
                Reply::Status(MilvusError::plain(self.to_string()))
            }
            Self::NotWritten(_) | Self::NotRead(_) | Self::NoAnswer | Self::Disturbed(_) => {
                Reply::Status(MilvusError::new(Kind::ServiceUnavailable).saying(&self.to_string()))
            }
            Self::Full(limit) => {
                Reply::Status(MilvusError::new(Kind::RequestLimitExceeded).with("limit", limit))
            }
        }
    }
}

/// Milvus passes its client's errors on as they are, after minutes in which the call waits. Here the
/// call ends within seconds, and proxies repeat by themselves what is told to be worth it: for their
/// users it waits all the same.
fn of_queue(error: &QueueError) -> Reply {
    let told = MilvusError::plain(error.to_string());
    match error {
        QueueError::Unreachable { .. } => Reply::Status(told.retry()),
        QueueError::None(_) | QueueError::Refused { .. } => Reply::Status(told),
        QueueError::Purged => Reply::PushAway,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::Epoch, tso::hybrid::Timestamp};

    #[track_caller]
    fn check(failure: impl Into<Failure>, code: i32, text: &str, retriable: bool) {
        let Reply::Status(error) = failure.into().reply() else { panic!("no status") };
        assert_eq!((error.code(), error.to_string().as_str(), error.retriable()), (code, text, retriable));
    }

    #[test]
    fn each_failure_has_its_code_and_words() {
        use DdlError::*;
        check(TooManyDatabases { limit: 64 }, 801, "exceeded the limit number of database[limit=64]", false);
        check(DatabaseExists("books".to_owned()), 65535, "database already exist: books", false);
        check(IsDefaultDatabase, 65535, "can not drop default database", false);
        let not_empty = "database:books not empty, must drop all collections before drop database";
        check(DatabaseNotEmpty("books".to_owned()), 65535, not_empty, false);
        let no_name = "the database name must not be empty: invalid database name[database=]";
        check(NoDatabaseName, 802, no_name, false);
        let undecodable = "service internal error: the value of k can't be decoded, nothing was changed";
        check(Undecodable { key: "k".to_owned() }, 5, undecodable, false);
        let behind = Behind { key: "k".to_owned(), stored: Timestamp(9), task: Timestamp(8) };
        check(behind, 2, "service unavailable: k is of timestamp 9, later than 8", true);
        check(NoTimestamp::CountZero, 65535, "tso count should be positive", false);
        check(NoTimestamp::TooMany, 65535, "can not get timestamp", false);
        check(NoTimestamp::UsedUp, 65535, "can not get timestamp", true);
        check(NoIds::UsedUp, 65535, "can not get timestamp", true);
        check(NoIds::CountZero, 65535, "tso count should be positive", false);
        check(Failure::NoAnswer, 2, "service unavailable: no answer from etcd in time", true);
        let address = || "here:9092".to_owned();
        let (queue, reason) = ("kafka", "no route".to_owned());
        let away = QueueError::Unreachable { queue, address: address(), reason };
        check(away, 65535, "message queue kafka at here:9092 does not answer: no route", true);
        let (channel, reason) = ("dml".to_owned(), "too large".to_owned());
        let refused = QueueError::Refused { queue, address: address(), channel, reason };
        let words = "message queue kafka at here:9092 refuses messages of dml: too large";
        check(refused, 65535, words, false);
        check(QueueError::None("none".to_owned()), 65535, "no message queue: none", false);
        check(Failure::Full(10_240), 4, "request limit exceeded[limit=10240]", true);
    }

    #[test]
    fn whoever_asks_a_deposed_one_is_sent_away_and_never_told_to_stay() {
        assert_eq!(Failure::NoTerm.reply(), Reply::PushAway);
        assert_eq!(Failure::Queue(QueueError::Purged).reply(), Reply::PushAway);
        assert_eq!(Failure::NotServing(NotServing::Ended(Epoch(5))).reply(), Reply::PushAway);
        assert_eq!(Failure::of_write(&WriteError::Deposed(Epoch(5))).reply(), Reply::PushAway);
        assert_eq!(Failure::NotServing(NotServing::Unproven(Epoch(5))).reply(), Reply::NotReady);
    }
}
