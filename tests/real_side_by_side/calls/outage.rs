//! What is asked while the message queue is away, and before and after that.

use milvus_proto::{
    common::MsgType,
    milvus::DropPartitionRequest,
    rootcoord::{AllocIdRequest, AllocTimestampRequest},
};

use super::{
    Call, base, call,
    collections::{alter, has, rename},
    create, create_alias, create_database, create_partition, describe, drop, schema, show, show_partitions,
};

/// The collections `books`, `halves` with a partition, and `doomed`.
pub(crate) fn before() -> Vec<Call> {
    vec![
        creation("books"),
        creation("halves"),
        creation("doomed"),
        call("create a half", "CreatePartition", create_partition("default", "halves", "half")),
    ]
}

/// What no message is needed for, or none before the answer.
pub(crate) fn meanwhile() -> Vec<Call> {
    let half = DropPartitionRequest {
        base: base(MsgType::DropPartition),
        db_name: "default".to_owned(),
        collection_name: "halves".to_owned(),
        partition_name: "half".to_owned(),
    };
    vec![
        call("a timestamp", "AllocTimestamp", AllocTimestampRequest { base: None, count: 1 }),
        call("an id", "AllocID", AllocIdRequest { base: None, count: 1 }),
        call("books", "HasCollection", has("default", "books")),
        call("create a database", "CreateDatabase", create_database("db1")),
        call("create an alias", "CreateAlias", create_alias("default", "paper", "books")),
        call("alter books", "AlterCollection", alter("default", "books", &[("shelf", "4")])),
        call("rename books", "RenameCollection", rename("default", "books", "default", "volumes")),
        call("create a third", "CreatePartition", create_partition("default", "halves", "third")),
        call("drop the half", "DropPartition", half),
        call("partitions", "ShowPartitions", show_partitions("default", "halves")),
        call("drop doomed", "DropCollection", drop("default", "doomed")),
        call("doomed", "DescribeCollection", describe("default", "doomed")),
        collections(),
    ]
}

/// What a message must be acknowledged for before the answer.
pub(crate) fn creation(name: &str) -> Call {
    call(&format!("create {name}"), "CreateCollection", create("default", &schema(name)))
}

/// Everything that is there.
pub(crate) fn collections() -> Call {
    call("collections", "ShowCollections", show("default"))
}

/// From its creation to its end.
pub(crate) fn short_life(name: &str) -> Vec<Call> {
    vec![
        creation(name),
        call(name, "HasCollection", has("default", name)),
        call(&format!("drop {name}"), "DropCollection", drop("default", name)),
    ]
}
