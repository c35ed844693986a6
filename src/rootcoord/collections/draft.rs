//! From the request to create a collection to what is to be made.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use milvus_proto::{
    milvus::CreateCollectionRequest,
    schema::{CollectionSchema, DataType, FieldSchema, value_field::Data},
};
use prost::Message as _;

use crate::{
    ids::{CollectionId, DbId, PartitionId},
    rootcoord::{
        catalog::{Catalog, FIRST_USER_FIELD},
        error::{DdlError, Decision, Invalid, TooManyCollections},
        model::{Collection, Field, Partition, Shard, State},
    },
    tso::hybrid::Timestamp,
};

/// Milvus's own fields.
const ROW_ID: (i64, &str, &str) = (0, "RowID", "row id");
const TIMESTAMP: (i64, &str, &str) = (1, "Timestamp", "time stamp");
const DYNAMIC: (&str, &str) = ("$meta", "dynamic schema");

/// How much there may be of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `rootCoord.maxDatabaseNum`
    pub databases: usize,
    /// `rootCoord.dmlChannelNum`
    pub channels: usize,
    /// `proxy.maxShardNum`
    pub shards: usize,
    /// `quotaAndLimits.limits.maxCollectionNumPerDB`
    pub collections_per_database: usize,
    /// `quotaAndLimits.limits.maxCollectionNum`
    pub collections: usize,
    /// `rootCoord.maxPartitionNum`
    pub partitions: usize,
    /// `common.defaultPartitionName`
    pub default_partition: String,
}

impl Default for Limits {
    /// Those of the `milvus.yaml` that 2.3.5 ships.
    fn default() -> Self {
        Self {
            databases: 64,
            channels: 16,
            shards: 16,
            collections_per_database: 65_536,
            collections: 65_536,
            partitions: 4_096,
            default_partition: "_default".to_owned(),
        }
    }
}

/// A collection that is to be made: everything but ids, channels and time.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Its database.
    pub db: DbId,
    /// Its name.
    pub name: String,
    description: String,
    auto_id: bool,
    enable_dynamic_field: bool,
    fields: Arc<[Field]>,
    /// How many shards it gets.
    pub shards: usize,
    consistency_level: i32,
    properties: BTreeMap<String, String>,
    /// The names of its partitions.
    pub partitions: Vec<String>,
    /// When it was made in the cluster that this one is a backup of.
    pub created: Option<Timestamp>,
}

impl Draft {
    /// The collection and its partitions, half made. `ids`: that of the collection, then one for
    /// each partition, one after the other.
    pub fn build(
        &self,
        ids: i64,
        channels: &[String],
        start_positions: Vec<(String, Vec<u8>)>,
        ts: Timestamp,
    ) -> (Collection, Vec<Partition>) {
        let id = CollectionId(ids);
        let shard = |(number, channel): (usize, &String)| Shard {
            virtual_channel: format!("{channel}_{id}v{number}"),
            physical_channel: channel.clone(),
        };
        let collection = Collection {
            id,
            db: self.db,
            name: self.name.clone(),
            description: self.description.clone(),
            auto_id: self.auto_id,
            enable_dynamic_field: self.enable_dynamic_field,
            fields: self.fields.clone(),
            shards: channels.iter().enumerate().map(shard).collect(),
            shards_num: i32::try_from(self.shards).unwrap_or(i32::MAX),
            start_positions,
            consistency_level: self.consistency_level,
            properties: self.properties.clone(),
            created: ts,
            state: State::Creating,
        };
        let partition = |(number, name): (i64, &String)| Partition {
            id: PartitionId(ids + number),
            collection: id,
            name: name.clone(),
            created: ts,
            state: State::Created,
        };
        (collection, (1..).zip(&self.partitions).map(partition).collect())
    }

    /// How many ids it takes.
    pub fn ids(&self) -> u32 {
        u32::try_from(self.partitions.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Whether a collection is what this would make: by value, in whatever order it is stored.
    fn describes(&self, collection: &Collection, partitions: &[&str]) -> bool {
        let mut own: Vec<&str> = self.partitions.iter().map(String::as_str).collect();
        let mut theirs = partitions.to_vec();
        own.sort_unstable();
        theirs.sort_unstable();
        self.db == collection.db
            && own == theirs
            && self.name == collection.name
            && self.description == collection.description
            && self.auto_id == collection.auto_id
            && self.enable_dynamic_field == collection.enable_dynamic_field
            && i32::try_from(self.shards) == Ok(collection.shards_num)
            && self.consistency_level == collection.consistency_level
            && self.properties == collection.properties
            && sorted(&self.fields) == sorted(&collection.fields)
    }
}

fn sorted(fields: &[Field]) -> Vec<Field> {
    let mut fields: Vec<Field> = fields.iter().map(|field| Field { state: 0, ..field.clone() }).collect();
    fields.sort_by_key(|field| field.field_id);
    fields
}

/// The collections that are being made: they count, too, or of several at a time each would be
/// the last one that fits. By database and name, which whoever makes one has locked.
pub type UnderWay = BTreeSet<(DbId, String)>;

/// What a request asks to be made, or nothing if there is exactly that already.
///
/// # Errors
/// [`DdlError`], the first in Milvus's order of checks.
pub fn draft(
    catalog: &Catalog,
    under_way: &UnderWay,
    request: &CreateCollectionRequest,
    limits: &Limits,
) -> Result<Decision<Draft>, DdlError> {
    let db = catalog.named(&request.db_name).ok_or_else(|| DdlError::NoDatabase(request.db_name.clone()))?;
    let asked = usize::try_from(request.shards_num).unwrap_or_default();
    if asked > limits.channels {
        return Err(DdlError::TooManyShards { shards: request.shards_num, limit: limits.channels });
    }
    if asked > limits.shards {
        return Err(DdlError::ShardsBeyondLimit { shards: request.shards_num, limit: limits.shards });
    }
    // Only if one is added: the repetition of the last creation that fits is a success.
    let made = |(db, name): &&(DbId, String)| catalog.own_name(*db, name).is_none();
    let being_made = || under_way.iter().filter(made);
    let here = catalog.created_in(db.id) + being_made().filter(|(other, _)| *other == db.id).count();
    let full = if here >= limits.collections_per_database {
        Some(TooManyCollections::InDatabase(limits.collections_per_database))
    } else if catalog.created_collections() + being_made().count() >= limits.collections {
        Some(TooManyCollections::Everywhere(limits.collections))
    } else {
        None
    };
    let existing = catalog.own_name(db.id, &request.collection_name);
    if let (Some(limit), None) = (full, existing) {
        return Err(DdlError::TooManyCollections(limit));
    }

    let schema = CollectionSchema::decode(&*request.schema);
    let schema = schema.map_err(|error| DdlError::BadSchema(error.to_string()))?;
    if schema.name != request.collection_name {
        return Err(DdlError::Invalid(Invalid::Expected {
            what: format!("collection name = {}, schema.Name={}", request.collection_name, schema.name),
            expected: "collection name matches schema name".to_owned(),
            actual: "don't match".to_owned(),
        }));
    }
    schema.fields.iter().try_for_each(check_default)?;
    let own = [ROW_ID.1, TIMESTAMP.1, DYNAMIC.0];
    if schema.fields.iter().any(|field| own.contains(&field.name.as_str())) {
        return Err(DdlError::SystemField);
    }
    let has_partition_key = schema.fields.iter().any(|field| field.is_partition_key);
    #[expect(deprecated, reason = "Milvus 2.3 still stores it there")]
    let auto_id = schema.auto_id;
    let draft = Draft {
        db: db.id,
        name: schema.name,
        description: schema.description,
        auto_id,
        enable_dynamic_field: schema.enable_dynamic_field,
        fields: complete(schema.fields, schema.enable_dynamic_field).into(),
        shards: asked.max(1),
        consistency_level: request.consistency_level,
        properties: request.properties.iter().map(|pair| (pair.key.clone(), pair.value.clone())).collect(),
        partitions: partitions(request, has_partition_key, limits)?,
        created: replicated(request)?,
    };
    if catalog.alias(draft.db, &draft.name).is_some() {
        return Err(DdlError::DuplicateCollection(draft.name));
    }
    let Some(existing) = existing else { return Ok(Decision::Write(draft)) };
    let existing_partitions: Vec<&str> =
        catalog.visible_partitions(existing.id).map(|partition| partition.name.as_str()).collect();
    if draft.describes(&catalog.complete(existing)?, &existing_partitions) {
        Ok(Decision::Done)
    } else {
        Err(DdlError::DuplicateCollection(draft.name))
    }
}

/// The user's fields with their ids, and Milvus's own behind them.
fn complete(mut fields: Vec<FieldSchema>, dynamic: bool) -> Vec<FieldSchema> {
    if dynamic {
        fields.push(FieldSchema {
            name: DYNAMIC.0.to_owned(),
            description: DYNAMIC.1.to_owned(),
            data_type: DataType::Json.into(),
            is_dynamic: true,
            ..FieldSchema::default()
        });
    }
    for (field, id) in fields.iter_mut().zip(FIRST_USER_FIELD.0..) {
        field.field_id = id;
        field.state = 0;
    }
    fields.extend([ROW_ID, TIMESTAMP].map(|(field_id, name, description)| FieldSchema {
        field_id,
        name: name.to_owned(),
        description: description.to_owned(),
        data_type: DataType::Int64.into(),
        ..FieldSchema::default()
    }));
    fields
}

/// The time that a backup takes from its original.
fn replicated(request: &CreateCollectionRequest) -> Result<Option<Timestamp>, DdlError> {
    let info = request.base.as_ref().and_then(|base| base.replicate_info.as_ref());
    match info.filter(|info| info.is_replicate).map(|info| info.msg_timestamp) {
        Some(0) => {
            Err(invalid("the cdc timestamp is not set in the request for the backup instance".to_owned()))
        }
        given => Ok(given.map(Timestamp)),
    }
}

fn partitions(
    request: &CreateCollectionRequest,
    has_partition_key: bool,
    limits: &Limits,
) -> Result<Vec<String>, DdlError> {
    let default = &limits.default_partition;
    if !has_partition_key {
        return Ok(vec![default.clone()]);
    }
    let number = request.num_partitions;
    if number <= 0 {
        return Err(DdlError::NoPartitions);
    }
    if usize::try_from(number).is_ok_and(|number| number > limits.partitions) {
        return Err(DdlError::TooManyPartitions {
            number,
            limit: limits.partitions,
            collection: request.collection_name.clone(),
        });
    }
    Ok((0..number).map(|index| format!("{default}_{index}")).collect())
}

/// A field's default value must be one of its type.
fn check_default(field: &FieldSchema) -> Result<(), DdlError> {
    let Some(data) = field.default_value.as_ref().and_then(|value| value.data.as_ref()) else {
        return Ok(());
    };
    let kind = field.data_type();
    let (fits, expected) = match data {
        Data::BoolData(_) => (kind == DataType::Bool, "DataType_Bool"),
        Data::IntData(_) => {
            (matches!(kind, DataType::Int8 | DataType::Int16 | DataType::Int32), "DataType_Int")
        }
        Data::LongData(_) => (kind == DataType::Int64, "DataType_Int64"),
        Data::FloatData(_) => (kind == DataType::Float, "DataType_Float"),
        Data::DoubleData(_) => (kind == DataType::Double, "DataType_Double"),
        Data::StringData(_) => (kind == DataType::VarChar, "DataType_VarChar"),
        Data::BytesData(_) => return Err(invalid("default value unsupport data type".to_owned())),
    };
    if !fits {
        return Err(DdlError::Invalid(Invalid::Expected {
            what: "default value type mismatches field schema type".to_owned(),
            expected: expected.to_owned(),
            actual: "not match".to_owned(),
        }));
    }
    match data {
        Data::IntData(value) => {
            let (low, high) = match kind {
                DataType::Int8 => (i64::from(i8::MIN), i64::from(i8::MAX)),
                DataType::Int16 => (i64::from(i16::MIN), i64::from(i16::MAX)),
                _ => return Ok(()),
            };
            let value = i64::from(*value);
            if (low..=high).contains(&value) {
                return Ok(());
            }
            let what = "default value out of range".to_owned();
            Err(DdlError::Invalid(Invalid::Range { what, value, low, high }))
        }
        Data::StringData(text) => {
            let longest = field.type_params.iter().find(|pair| pair.key == "max_length");
            let Some(longest) = longest else { return Ok(()) };
            let longest: usize = longest.value.parse().map_err(|_| no_length(&longest.value))?;
            if text.len() <= longest {
                return Ok(());
            }
            Err(DdlError::Invalid(Invalid::Expected {
                what: format!("the length ({}) of string exceeds max length ({longest})", text.len()),
                expected: "valid length string".to_owned(),
                actual: "string length exceeds max length".to_owned(),
            }))
        }
        _ => Ok(()),
    }
}

fn no_length(text: &str) -> DdlError {
    DdlError::Invalid(Invalid::Expected {
        what: format!("invalid max length: {text}"),
        expected: "value of max length should be of int".to_owned(),
        actual: text.to_owned(),
    })
}

fn invalid(what: String) -> DdlError {
    DdlError::Invalid(Invalid::Plain(what))
}
