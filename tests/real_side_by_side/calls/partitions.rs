//! Partitions of `films`. The sequence leaves `early` there, and `late` on its way out.

use milvus_proto::{
    common::MsgType,
    milvus::{CreatePartitionRequest, DropPartitionRequest, HasPartitionRequest, ShowPartitionsRequest},
};

use super::{Call, base, call, create_partition, describe, later, show_partitions};

fn drop(db: &str, collection: &str, name: &str) -> DropPartitionRequest {
    DropPartitionRequest {
        base: base(MsgType::DropPartition),
        db_name: db.to_owned(),
        collection_name: collection.to_owned(),
        partition_name: name.to_owned(),
    }
}

fn has(db: &str, collection: &str, name: &str) -> HasPartitionRequest {
    HasPartitionRequest {
        base: base(MsgType::HasPartition),
        db_name: db.to_owned(),
        collection_name: collection.to_owned(),
        partition_name: name.to_owned(),
    }
}

pub(super) fn calls() -> Vec<Call> {
    let mut calls = created();
    calls.extend(told());
    calls.extend(dropped());
    calls
}

fn created() -> Vec<Call> {
    let create_call = |label: &str, db: &str, collection: &str, name: &str| {
        call(label, "CreatePartition", create_partition(db, collection, name))
    };
    vec![
        create_call("create early", "default", "films", "early"),
        create_call("create early again", "default", "films", "early"),
        create_call("create late by alias", "", "al2", "late"),
        create_call("create the last partition that fits", "default", "films", "last"),
        create_call("create a partition too many", "default", "films", "more"),
        create_call("create a partition of nothing", "default", "nothing", "more"),
        create_call("create a partition in no database", "nowhere", "films", "more"),
        call(
            "create a partition with another kind of request",
            "CreatePartition",
            CreatePartitionRequest {
                base: base(MsgType::Insert),
                ..create_partition("default", "films", "more")
            },
        ),
    ]
}

fn told() -> Vec<Call> {
    let has_call = |label: &str, db: &str, collection: &str, name: &str| {
        call(label, "HasPartition", has(db, collection, name))
    };
    let show_call = |label: &str, db: &str, collection: &str| {
        call(label, "ShowPartitions", show_partitions(db, collection))
    };
    let by_id = |label: &str, method: &'static str, name: &'static str| {
        later(label, method, move |peers| ShowPartitionsRequest {
            collection_id: peers.collection(name).id,
            ..show_partitions("", "")
        })
    };
    vec![
        has_call("has early", "default", "films", "early"),
        has_call("has early by alias", "", "al2", "early"),
        has_call("has no such partition", "default", "films", "nothing"),
        has_call("has a partition of nothing", "default", "nothing", "early"),
        has_call("has a partition in no database", "nowhere", "films", "early"),
        call(
            "has a partition, with another kind of request",
            "HasPartition",
            HasPartitionRequest { base: base(MsgType::Insert), ..has("default", "films", "early") },
        ),
        show_call("partitions of films", "default", "films"),
        show_call("partitions of keyed", "", "keyed"),
        show_call("partitions of nothing", "default", "nothing"),
        show_call("partitions of nothing without a database", "", "nothing"),
        show_call("partitions in no database", "nowhere", "films"),
        by_id("partitions by id", "ShowPartitions", "films"),
        by_id("partitions by id for other coordinators", "ShowPartitionsInternal", "keyed"),
        call(
            "partitions for other coordinators",
            "ShowPartitionsInternal",
            show_partitions("default", "films"),
        ),
        call(
            "partitions of an id that is none",
            "ShowPartitions",
            ShowPartitionsRequest { collection_id: 5, ..show_partitions("", "") },
        ),
        call(
            "partitions, with another kind of request",
            "ShowPartitions",
            ShowPartitionsRequest { base: base(MsgType::Insert), ..show_partitions("default", "films") },
        ),
        call(
            "partitions for other coordinators, with another kind of request",
            "ShowPartitionsInternal",
            ShowPartitionsRequest { base: base(MsgType::Insert), ..show_partitions("default", "films") },
        ),
        call("describe films with partitions", "DescribeCollection", describe("default", "films")),
    ]
}

fn dropped() -> Vec<Call> {
    let drop_call = |label: &str, db: &str, collection: &str, name: &str| {
        call(label, "DropPartition", drop(db, collection, name))
    };
    vec![
        drop_call("drop late", "default", "films", "late"),
        drop_call("drop late again", "default", "films", "late"),
        drop_call("drop the default partition", "default", "films", "_default"),
        drop_call("drop no such partition", "default", "films", "nothing"),
        drop_call("drop a partition of nothing", "default", "nothing", "early"),
        drop_call("drop the default partition of nothing", "default", "nothing", "_default"),
        drop_call("drop a partition in no database", "nowhere", "films", "early"),
        call(
            "drop a partition with another kind of request",
            "DropPartition",
            DropPartitionRequest { base: base(MsgType::Insert), ..drop("default", "films", "early") },
        ),
        call("partitions after a drop", "ShowPartitions", show_partitions("default", "films")),
        later("partitions after a drop for other coordinators", "ShowPartitionsInternal", |peers| {
            ShowPartitionsRequest { collection_id: peers.collection("films").id, ..show_partitions("", "") }
        }),
        later("describe after a drop for other coordinators", "DescribeCollectionInternal", |peers| {
            milvus_proto::milvus::DescribeCollectionRequest {
                collection_id: peers.collection("films").id,
                ..describe("", "")
            }
        }),
    ]
}
