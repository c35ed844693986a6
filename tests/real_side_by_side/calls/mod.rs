//! The sequence of calls: every method that is served, with ordinary and with wrong input, and
//! each error that the real one has for it once.
//!
//! What can't be asked, since it ends the real process: a report or a question without `base`,
//! metrics of a kind that is a number, GetMetrics of a standby, a field whose default value is
//! bytes or nothing. What can't be reached: `no enough channels`, which takes a list of
//! pre-created topics that is shorter than the number of shards which is allowed, and an alias
//! that outlives its collection. Failures of etcd and of the queue have the words of the client
//! libraries.

mod aliases;
mod collections;
mod databases;
mod itself;
pub(crate) mod outage;
mod partitions;
mod peers;
mod refused;

use bytes::Bytes;
use milvus_proto::{
    common::{KeyValuePair, MsgBase, MsgType},
    milvus::{
        CreateAliasRequest, CreateCollectionRequest, CreateDatabaseRequest, CreatePartitionRequest,
        DescribeCollectionRequest, DropCollectionRequest, ShowCollectionsRequest, ShowPartitionsRequest,
    },
    schema::{CollectionSchema, DataType, FieldSchema},
};
use prost::Message;

use crate::peers::{Peers, Refusal};

/// One call.
pub(crate) struct Call {
    pub(crate) label: String,
    pub(crate) method: &'static str,
    pub(crate) request: Box<dyn Fn(&Peers) -> Bytes + Send + Sync>,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// What peers do not do while it runs.
    pub(crate) refusals: Vec<(&'static str, Refusal)>,
}

impl Call {
    pub(crate) fn with(mut self, header: &'static str, value: impl ToString) -> Self {
        self.headers.push((header, value.to_string()));
        self
    }

    pub(crate) fn refusing(mut self, method: &'static str, refusal: Refusal) -> Self {
        self.refusals.push((method, refusal));
        self
    }
}

/// A call whose request is known beforehand.
pub(crate) fn call(label: &str, method: &'static str, request: impl Message) -> Call {
    let request = Bytes::from(request.encode_to_vec());
    Call {
        label: label.to_owned(),
        method,
        request: Box::new(move |_| request.clone()),
        headers: Vec::new(),
        refusals: Vec::new(),
    }
}

/// A call whose request depends on what was created before.
fn later<M: Message>(
    label: &str,
    method: &'static str,
    request: impl Fn(&Peers) -> M + Send + Sync + 'static,
) -> Call {
    Call { request: Box::new(move |peers| request(peers).encode_to_vec().into()), ..call(label, method, ()) }
}

/// All of them, in order.
pub(crate) fn all() -> Vec<Call> {
    let mut all = Vec::new();
    all.extend(itself::calls());
    all.extend(peers::calls());
    all.extend(databases::calls());
    all.extend(collections::calls());
    all.extend(aliases::calls());
    all.extend(partitions::calls());
    all.extend(collections::changes());
    all.extend(refused::calls());
    all.extend(collections::too_many());
    all
}

/// A base of that kind, as a proxy makes it: each has a number of its own.
fn base(kind: MsgType) -> Option<MsgBase> {
    use std::sync::atomic::{AtomicI64, Ordering};
    static NEXT: AtomicI64 = AtomicI64::new(7_000);
    Some(MsgBase {
        msg_type: kind.into(),
        msg_id: NEXT.fetch_add(1, Ordering::Relaxed),
        timestamp: 440_000_000_000,
        source_id: 103,
        ..MsgBase::default()
    })
}

fn pair(key: &str, value: &str) -> KeyValuePair {
    KeyValuePair { key: key.to_owned(), value: value.to_owned() }
}

fn field(name: &str, kind: DataType) -> FieldSchema {
    FieldSchema { name: name.to_owned(), data_type: kind.into(), ..FieldSchema::default() }
}

/// A key and a vector.
fn schema(name: &str) -> CollectionSchema {
    let key = FieldSchema {
        is_primary_key: true,
        description: "the key".to_owned(),
        ..field("pk", DataType::Int64)
    };
    let vector =
        FieldSchema { type_params: vec![pair("dim", "8")], ..field("vector", DataType::FloatVector) };
    CollectionSchema { name: name.to_owned(), fields: vec![key, vector], ..CollectionSchema::default() }
}

fn create(db: &str, schema: &CollectionSchema) -> CreateCollectionRequest {
    CreateCollectionRequest {
        base: base(MsgType::CreateCollection),
        db_name: db.to_owned(),
        collection_name: schema.name.clone(),
        schema: schema.encode_to_vec(),
        shards_num: 1,
        ..CreateCollectionRequest::default()
    }
}

fn create_database(name: &str) -> CreateDatabaseRequest {
    CreateDatabaseRequest { base: base(MsgType::CreateDatabase), db_name: name.to_owned() }
}

fn drop(db: &str, name: &str) -> DropCollectionRequest {
    DropCollectionRequest {
        base: base(MsgType::DropCollection),
        db_name: db.to_owned(),
        collection_name: name.to_owned(),
    }
}

fn describe(db: &str, name: &str) -> DescribeCollectionRequest {
    DescribeCollectionRequest {
        base: base(MsgType::DescribeCollection),
        db_name: db.to_owned(),
        collection_name: name.to_owned(),
        ..DescribeCollectionRequest::default()
    }
}

fn show(db: &str) -> ShowCollectionsRequest {
    ShowCollectionsRequest {
        base: base(MsgType::ShowCollections),
        db_name: db.to_owned(),
        ..ShowCollectionsRequest::default()
    }
}

fn show_partitions(db: &str, name: &str) -> ShowPartitionsRequest {
    ShowPartitionsRequest {
        base: base(MsgType::ShowPartitions),
        db_name: db.to_owned(),
        collection_name: name.to_owned(),
        ..ShowPartitionsRequest::default()
    }
}

fn create_partition(db: &str, collection: &str, name: &str) -> CreatePartitionRequest {
    CreatePartitionRequest {
        base: base(MsgType::CreatePartition),
        db_name: db.to_owned(),
        collection_name: collection.to_owned(),
        partition_name: name.to_owned(),
    }
}

fn create_alias(db: &str, alias: &str, collection: &str) -> CreateAliasRequest {
    CreateAliasRequest {
        base: base(MsgType::CreateAlias),
        db_name: db.to_owned(),
        collection_name: collection.to_owned(),
        alias: alias.to_owned(),
    }
}
