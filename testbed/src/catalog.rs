//! A catalogue of many collections, written into etcd in the form in which rootcoord
//! 2.3.5 leaves it there: every object as a plain key and as a snapshot.

use etcd_client::{Client, Txn, TxnOp};
use milvus_proto::{
    common::{KeyDataPair, KeyValuePair},
    etcd::{CollectionInfo, CollectionState, DatabaseInfo, DatabaseState, PartitionInfo, PartitionState},
    schema::{CollectionSchema, DataType, FieldSchema},
};
use prost::Message;

/// Operations of one transaction: etcd's own limit.
const BATCH: usize = 128;

/// Transactions on the way at the same time.
const AT_ONCE: usize = 16;

/// The id of the first collection; ten apart, so that partitions find room.
const FIRST_ID: i64 = 440_000_000_000_000_000;

/// What there is to be.
#[derive(Clone, Copy, Debug)]
pub struct Catalog {
    /// How many collections, all in the database `default`.
    pub collections: u32,
    /// How many fields a user gave each of them; two of the system's own come on top.
    pub fields: u32,
    /// The time at which all of it was made, as a timestamp of the cluster.
    pub created: u64,
}

impl Catalog {
    /// That many collections of that many fields, made in the year 2023.
    pub fn new(collections: u32, fields: u32) -> Self {
        Self { collections, fields, created: 1_690_000_000_000 << 18 }
    }

    /// The name of a collection: `collection_00042`.
    pub fn name(number: u32) -> String {
        format!("collection_{number:05}")
    }

    /// How many keys it makes.
    pub fn keys(&self) -> u64 {
        2 + 2 * u64::from(self.collections) * (4 + u64::from(self.fields))
    }

    /// Writes it below `root` (`etcd.rootPath`).
    ///
    /// # Errors
    /// Those of etcd.
    pub async fn write(&self, client: &Client, root: &str) -> Result<(), etcd_client::Error> {
        let mut operations = Vec::with_capacity(BATCH);
        let mut batches = tokio::task::JoinSet::new();
        let objects = std::iter::once(self.database())
            .chain((0..self.collections).flat_map(|number| self.collection(number)));
        for (key, value) in objects {
            operations.push(TxnOp::put(format!("{root}/meta/{key}"), value.clone(), None));
            operations.push(TxnOp::put(
                format!("{root}/meta/snapshots/{key}_ts{}", self.created),
                value,
                None,
            ));
            if operations.len() == BATCH {
                let batch = std::mem::replace(&mut operations, Vec::with_capacity(BATCH));
                if batches.len() == AT_ONCE
                    && let Some(done) = batches.join_next().await
                {
                    done.expect("a transaction does not panic")?;
                }
                batches.spawn(commit(client.clone(), batch));
            }
        }
        batches.spawn(commit(client.clone(), operations));
        while let Some(done) = batches.join_next().await {
            done.expect("a transaction does not panic")?;
        }
        Ok(())
    }

    fn database(&self) -> (String, Vec<u8>) {
        let database = DatabaseInfo {
            tenant_id: String::new(),
            name: "default".to_owned(),
            id: 1,
            state: DatabaseState::DatabaseCreated.into(),
            created_time: (self.created >> 18) * 1_000_000,
        };
        ("root-coord/database/db-info/1".to_owned(), database.encode_to_vec())
    }

    /// The collection, its default partition, its fields.
    fn collection(&self, number: u32) -> Vec<(String, Vec<u8>)> {
        let id = FIRST_ID + i64::from(number) * 10;
        let channel = format!("by-dev-rootcoord-dml_{}", number % 16);
        let schema = CollectionSchema { name: Self::name(number), ..CollectionSchema::default() };
        let collection = CollectionInfo {
            id,
            schema: Some(schema),
            create_time: self.created,
            virtual_channel_names: vec![format!("{channel}_{id}v0")],
            physical_channel_names: vec![channel.clone()],
            shards_num: 1,
            start_positions: vec![KeyDataPair { key: channel, data: vec![0; 8] }],
            state: CollectionState::CollectionCreated.into(),
            db_id: 1,
            ..CollectionInfo::default()
        };
        let partition = PartitionInfo {
            partition_id: id + 1,
            partition_name: "_default".to_owned(),
            partition_created_timestamp: self.created,
            collection_id: id,
            state: PartitionState::PartitionCreated.into(),
        };
        let mut objects = vec![
            (format!("root-coord/database/collection-info/1/{id}"), collection.encode_to_vec()),
            (format!("root-coord/partitions/{id}/{}", id + 1), partition.encode_to_vec()),
        ];
        let fields =
            (0..self.fields).map(user_field).chain([system_field(0, "RowID"), system_field(1, "Timestamp")]);
        objects.extend(
            fields.map(|field| (format!("root-coord/fields/{id}/{}", field.field_id), field.encode_to_vec())),
        );
        objects
    }
}

/// A key, a vector, then numbers.
fn user_field(number: u32) -> FieldSchema {
    let field = FieldSchema { field_id: 100 + i64::from(number), ..FieldSchema::default() };
    match number {
        0 => FieldSchema {
            name: "pk".to_owned(),
            is_primary_key: true,
            data_type: DataType::Int64.into(),
            auto_id: true,
            ..field
        },
        1 => FieldSchema {
            name: "vector".to_owned(),
            data_type: DataType::FloatVector.into(),
            type_params: vec![KeyValuePair { key: "dim".to_owned(), value: "128".to_owned() }],
            ..field
        },
        _ => FieldSchema { name: format!("number_{number}"), data_type: DataType::Int64.into(), ..field },
    }
}

fn system_field(id: i64, name: &str) -> FieldSchema {
    FieldSchema {
        field_id: id,
        name: name.to_owned(),
        description: if id == 0 { "row id" } else { "time stamp" }.to_owned(),
        data_type: DataType::Int64.into(),
        ..FieldSchema::default()
    }
}

async fn commit(mut client: Client, operations: Vec<TxnOp>) -> Result<(), etcd_client::Error> {
    client.txn(Txn::new().and_then(operations)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use etcd_client::GetOptions;

    use super::*;
    use crate::etcd::Etcd;

    #[tokio::test]
    async fn all_keys_are_written_twice_over() {
        let etcd = Etcd::single().await.unwrap();
        let mut client = etcd.client().await.unwrap();
        let catalog = Catalog::new(100, 5);
        catalog.write(&client, "r").await.unwrap();
        let mut counted = Vec::new();
        for prefix in ["r/meta/root-coord/", "r/meta/snapshots/root-coord/"] {
            let options = GetOptions::new().with_prefix().with_count_only();
            counted.push(client.get(prefix, Some(options)).await.unwrap().count().cast_unsigned());
        }
        assert_eq!(counted, [catalog.keys() / 2; 2]);
    }
}
