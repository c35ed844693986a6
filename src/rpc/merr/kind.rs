//! Every kind of error that Milvus 2.3.5 knows, in one table.

use milvus_proto::common::ErrorCode;

macro_rules! kinds {
    ($($name:ident $code:literal $retriable:ident $legacy:ident $text:literal,)*) => {
        /// What went wrong, by Milvus's own classification.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $(#[doc = concat!("`", $text, "`")] $name,)*
        }

        impl Kind {
            /// All of them, by rising code.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The number that clients look at.
            pub const fn code(self) -> i32 {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// Whether Milvus's own clients repeat the call at the same server on seeing it.
            pub const fn retriable(self) -> bool {
                match self {
                    $(Self::$name => kinds!(@ $retriable),)*
                }
            }

            /// What clients older than 2.3 look at.
            pub const fn legacy(self) -> ErrorCode {
                match self {
                    $(Self::$name => ErrorCode::$legacy,)*
                }
            }

            /// How the text begins.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The kind with that code; newer releases have more of them.
            pub const fn from_code(code: i32) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
    (@ repeat) => { true };
    (@ final) => { false };
}

kinds! {
    ServiceNotReady              1     repeat NotReadyServe            "service not ready",
    ServiceUnavailable           2     repeat UnexpectedError          "service unavailable",
    MemoryLimitExceeded          3     final  InsufficientMemoryToLoad "memory limit exceeded",
    RequestLimitExceeded         4     repeat UnexpectedError          "request limit exceeded",
    ServiceInternal              5     final  UnexpectedError          "service internal error",
    CrossClusterRouting          6     final  UnexpectedError          "cross cluster routing",
    DiskLimitExceeded            7     final  DiskQuotaExhausted       "disk limit exceeded",
    RateLimitExceeded            8     repeat RateLimit                "rate limit exceeded",
    QuotaExceeded                9     final  ForceDeny                "quota exceeded",
    ServiceUnimplemented         10    final  UnexpectedError          "service unimplemented",
    TimeTickLongDelay            11    final  TimeTickLongDelay        "time tick long delay",
    CollectionNotFound           100   final  CollectionNotExists      "collection not found",
    CollectionNotLoaded          101   final  UnexpectedError          "collection not loaded",
    CollectionLimitExceeded      102   final  UnexpectedError          "exceeded the limit number of collections",
    CollectionNotFullyLoaded     103   repeat UnexpectedError          "collection not fully loaded",
    PartitionNotFound            200   final  MetaFailed               "partition not found",
    PartitionNotLoaded           201   final  UnexpectedError          "partition not loaded",
    PartitionNotFullyLoaded      202   repeat UnexpectedError          "partition not fully loaded",
    ResourceGroupNotFound        300   final  UnexpectedError          "resource group not found",
    ReplicaNotFound              400   final  MetaFailed               "replica not found",
    ReplicaNotAvailable          401   final  NoReplicaAvailable       "replica not available",
    ChannelNotFound              500   final  UnexpectedError          "channel not found",
    ChannelLack                  501   final  MetaFailed               "channel lacks",
    ChannelReduplicate           502   final  UnexpectedError          "channel reduplicates",
    ChannelNotAvailable          503   final  NoReplicaAvailable       "channel not available",
    SegmentNotFound              600   final  SegmentNotFound          "segment not found",
    SegmentNotLoaded             601   final  UnexpectedError          "segment not loaded",
    SegmentLack                  602   final  UnexpectedError          "segment lacks",
    SegmentReduplicate           603   final  UnexpectedError          "segment reduplicates",
    IndexNotFound                700   final  IndexNotExist            "index not found",
    IndexNotSupported            701   final  UnexpectedError          "index type not supported",
    IndexDuplicate               702   final  UnexpectedError          "index duplicates",
    DatabaseNotFound             800   final  UnexpectedError          "database not found",
    DatabaseLimitExceeded        801   final  UnexpectedError          "exceeded the limit number of database",
    DatabaseNameInvalid          802   final  UnexpectedError          "invalid database name",
    NodeNotFound                 901   final  UnexpectedError          "node not found",
    NodeOffline                  902   final  UnexpectedError          "node offline",
    NodeLack                     903   final  UnexpectedError          "node lacks",
    NodeNotMatch                 904   final  NodeIdNotMatch           "node not match",
    NodeNotAvailable             905   final  NoReplicaAvailable       "node not available",
    IoKeyNotFound                1000  final  UnexpectedError          "key not found",
    IoFailed                     1001  final  UnexpectedError          "IO failed",
    ParameterInvalid             1100  final  IllegalArgument          "invalid parameter",
    ParameterMissing             1101  final  UnexpectedError          "missing parameter",
    MetricNotFound               1200  final  UnexpectedError          "metric not found",
    MqTopicNotFound              1300  final  UnexpectedError          "topic not found",
    MqTopicNotEmpty              1301  final  UnexpectedError          "topic not empty",
    MqInternal                   1302  final  UnexpectedError          "message queue internal error",
    MqProduceDenied              1303  final  UnexpectedError          "deny to write the message to mq",
    NotAuthenticated             1400  final  UnexpectedError          "not authenticated",
    PrivilegeNotPermitted        1401  final  UnexpectedError          "privilege not permitted",
    AliasNotFound                1600  final  UnexpectedError          "alias not found",
    AliasCollectionNameConflict  1601  final  UnexpectedError          "alias and collection name conflict",
    AliasAlreadyExists           1602  final  UnexpectedError          "alias already exist",
    CollectionIdOfAliasNotFound  1603  final  UnexpectedError          "collection id of alias not found",
    FieldNotFound                1700  final  UnexpectedError          "field not found",
    FieldNameInvalid             1701  final  UnexpectedError          "field name invalid",
    RestNeedAuthenticate         1800  final  UnexpectedError          "user hasn't authenticated",
    RestParameterFormat          1801  final  UnexpectedError          "can only accept json format request",
    RestParameterMissing         1802  final  UnexpectedError          "missing required parameters",
    RestMarshalSchema            1803  final  UnexpectedError          "fail to marshal collection schema",
    RestInsertDataInvalid        1804  final  UnexpectedError          "fail to deal the insert data",
    RestSearchResultInvalid      1805  final  UnexpectedError          "fail to parse search result",
    RestPrimaryKeyInvalid        1806  final  UnexpectedError          "please check the primary key and its' type can only in [int, string]",
    ReplicateDenied              1900  final  UnexpectedError          "deny to use the replicate message in the normal instance",
    ReplicateBytesInvalid        1901  final  UnexpectedError          "invalid replicate msg bytes",
    ReplicateNoSegmentId         1902  final  UnexpectedError          "no assign segment id",
    ReplicateStreamInvalid       1903  final  UnexpectedError          "invalid stream object",
    Segcore                      2000  final  UnexpectedError          "segcore error",
    ImportFailed                 2100  final  UnexpectedError          "importing data failed",
    Canceled                     10000 final  UnexpectedError          "context canceled",
    DeadlineExceeded             10001 final  UnexpectedError          "context deadline exceeded",
    Unexpected                   65535 final  UnexpectedError          "unexpected error",
}

impl Kind {
    /// What a status means that carries only the legacy code, as old nodes send it.
    /// Not the inverse of [`legacy`](Self::legacy): several kinds share one.
    pub const fn from_legacy(legacy: ErrorCode) -> Self {
        match legacy {
            ErrorCode::NotReadyServe => Self::ServiceNotReady,
            ErrorCode::CollectionNotExists => Self::CollectionNotFound,
            ErrorCode::IllegalArgument => Self::ParameterInvalid,
            ErrorCode::NodeIdNotMatch => Self::NodeNotMatch,
            ErrorCode::InsufficientMemoryToLoad | ErrorCode::MemoryQuotaExhausted => {
                Self::MemoryLimitExceeded
            }
            ErrorCode::DiskQuotaExhausted => Self::DiskLimitExceeded,
            ErrorCode::TimeTickLongDelay => Self::TimeTickLongDelay,
            ErrorCode::RateLimit => Self::RateLimitExceeded,
            ErrorCode::ForceDeny => Self::QuotaExceeded,
            ErrorCode::IndexNotExist => Self::IndexNotFound,
            ErrorCode::SegmentNotFound => Self::SegmentNotFound,
            ErrorCode::MetaFailed => Self::ChannelNotFound,
            _ => Self::Unexpected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code, retriable, legacy code: written down a second time on purpose, from
    /// what the original puts on the wire.
    const WIRE: &[(i32, bool, i32)] = &[
        (1, true, 56),
        (2, true, 1),
        (3, false, 52),
        (4, true, 1),
        (5, false, 1),
        (6, false, 1),
        (7, false, 54),
        (8, true, 49),
        (9, false, 48),
        (10, false, 1),
        (11, false, 55),
        (100, false, 4),
        (101, false, 1),
        (102, false, 1),
        (103, true, 1),
        (200, false, 15),
        (201, false, 1),
        (202, true, 1),
        (300, false, 1),
        (400, false, 15),
        (401, false, 46),
        (500, false, 1),
        (501, false, 15),
        (502, false, 1),
        (503, false, 46),
        (600, false, 47),
        (601, false, 1),
        (602, false, 1),
        (603, false, 1),
        (700, false, 25),
        (701, false, 1),
        (702, false, 1),
        (800, false, 1),
        (801, false, 1),
        (802, false, 1),
        (901, false, 1),
        (902, false, 1),
        (903, false, 1),
        (904, false, 50),
        (905, false, 46),
        (1000, false, 1),
        (1001, false, 1),
        (1100, false, 5),
        (1101, false, 1),
        (1200, false, 1),
        (1300, false, 1),
        (1301, false, 1),
        (1302, false, 1),
        (1303, false, 1),
        (1400, false, 1),
        (1401, false, 1),
        (1600, false, 1),
        (1601, false, 1),
        (1602, false, 1),
        (1603, false, 1),
        (1700, false, 1),
        (1701, false, 1),
        (1800, false, 1),
        (1801, false, 1),
        (1802, false, 1),
        (1803, false, 1),
        (1804, false, 1),
        (1805, false, 1),
        (1806, false, 1),
        (1900, false, 1),
        (1901, false, 1),
        (1902, false, 1),
        (1903, false, 1),
        (2000, false, 1),
        (2100, false, 1),
        (10000, false, 1),
        (10001, false, 1),
        (65535, false, 1),
    ];

    #[test]
    fn kinds_have_the_codes_of_the_wire() {
        let ours: Vec<_> =
            Kind::ALL.iter().map(|kind| (kind.code(), kind.retriable(), kind.legacy() as i32)).collect();
        assert_eq!(ours, WIRE);
    }

    #[test]
    fn codes_lead_back_to_their_kind() {
        for &kind in Kind::ALL {
            assert_eq!(Kind::from_code(kind.code()), Some(kind));
        }
        assert_eq!(Kind::from_code(0), None);
        assert_eq!(Kind::from_code(424_242), None);
    }

    #[test]
    fn a_legacy_code_alone_is_understood() {
        let known = [
            (56, 1),
            (4, 100),
            (5, 1100),
            (50, 904),
            (52, 3),
            (53, 3),
            (54, 7),
            (55, 11),
            (49, 8),
            (48, 9),
            (25, 700),
            (47, 600),
            (15, 500),
        ];
        for legacy in 1..=1000 {
            let Ok(code) = ErrorCode::try_from(legacy) else { continue };
            let expected = known.iter().find(|(old, _)| *old == legacy).map_or(65535, |(_, new)| *new);
            assert_eq!(Kind::from_legacy(code).code(), expected, "{}", code.as_str_name());
        }
    }
}
