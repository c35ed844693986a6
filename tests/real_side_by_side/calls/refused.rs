//! Changes in which another component does not do its part.

use milvus_proto::{
    common::{ErrorCode, KeyValuePair, MsgType, Status},
    data::WatchChannelsResponse,
    milvus::AlterCollectionRequest,
};
use prost::Message as _;

use super::{
    Call, base, call, create, create_alias, create_partition, describe, drop, schema, show_partitions,
};
use crate::peers::Refusal;

/// An error that nobody asks to repeat.
pub(super) fn sick() -> Status {
    Status {
        #[expect(deprecated, reason = "2.3 components still read the old code")]
        error_code: ErrorCode::UnexpectedError.into(),
        code: 5,
        reason: "service internal error: sick".to_owned(),
        ..Status::default()
    }
}

pub(super) fn calls() -> Vec<Call> {
    let status = || Refusal::Message(sick().encode_to_vec().into());
    let watched = || {
        let answer = WatchChannelsResponse { status: Some(sick()) };
        Refusal::Message(answer.encode_to_vec().into())
    };
    let altered = |shelf: &str| AlterCollectionRequest {
        base: base(MsgType::AlterCollection),
        db_name: "default".to_owned(),
        collection_name: "books".to_owned(),
        collection_id: 0,
        properties: vec![KeyValuePair { key: "shelf".to_owned(), value: shelf.to_owned() }],
    };
    let forget = "InvalidateCollectionMetaCache";
    vec![
        call(
            "create unwatched, which datacoord refuses",
            "CreateCollection",
            create("default", &schema("unwatched")),
        )
        .refusing("WatchChannels", watched()),
        call("describe what datacoord refused", "DescribeCollection", describe("default", "unwatched")),
        call(
            "create a partition that querycoord refuses",
            "CreatePartition",
            create_partition("default", "books", "unsynced"),
        )
        .refusing("SyncNewCreatedPartition", status()),
        call(
            "partitions without what querycoord refused",
            "ShowPartitions",
            show_partitions("default", "books"),
        ),
        call("alter books, which datacoord refuses", "AlterCollection", altered("6"))
            .refusing("BroadcastAlteredCollection", status()),
        call("describe books as datacoord refused it", "DescribeCollection", describe("default", "books")),
        call(
            "create an alias that a proxy refuses",
            "CreateAlias",
            create_alias("default", "untold", "books"),
        )
        .refusing(forget, status()),
        call(
            "create an alias that a proxy refused",
            "CreateAlias",
            create_alias("default", "untold", "books"),
        ),
        call("drop keyed, which a proxy refuses", "DropCollection", drop("default", "keyed"))
            .refusing(forget, status()),
        call("drop keyed, which a proxy refused", "DropCollection", drop("default", "keyed")),
    ]
}
