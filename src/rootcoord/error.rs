//! Why a request about the schema is not carried out, and what has to be written if it is.

use std::fmt;

use crate::{
    clock::UnixNanos,
    etcd::store::Write,
    ids::{CollectionId, DbId, Epoch},
    rootcoord::channels::NotEnoughChannels,
    rpc::merr::{Kind, MilvusError},
    tso::hybrid::Timestamp,
};

/// What has to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<T = Write> {
    /// Nothing: it is so already.
    Done,
    /// This.
    Write(T),
}

/// When a decision is made: after all earlier ones about the same objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// A fresh timestamp.
    pub ts: Timestamp,
    /// The wall clock.
    pub now: UnixNanos,
    /// The term in which it is made.
    pub term: Epoch,
}

/// As what a collection was looked for and not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoCollection {
    /// By name, as readers see it.
    Name {
        /// As it was asked for.
        db: String,
        /// A collection or an alias.
        name: String,
    },
    /// By name, by a task that changes it.
    AsOf {
        /// The task's.
        ts: Timestamp,
        /// The database's id.
        db: DbId,
        /// A collection or an alias.
        name: String,
    },
    /// By name, where its database is known.
    Plain(String),
    /// By id, in the past, when nothing of it was stored.
    NotStored {
        /// In the words of Milvus's storage.
        why: String,
        /// Its id.
        id: CollectionId,
    },
    /// By id, in the past, when it was only half made or half gone.
    NotSeen {
        /// The database as it was asked for.
        db: String,
        /// Its name.
        name: String,
    },
    /// By id; also by a name that leads to one that is being dropped.
    Id(CollectionId),
}

/// Why a request is not carried out. Nothing was changed, and the words are Milvus's where
/// Milvus has this error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DdlError {
    /// Larger by one than it says, as in Milvus: the limit is looked at before one is added.
    TooManyDatabases {
        /// The configured limit.
        limit: usize,
    },
    /// The name is taken.
    DatabaseExists(String),
    /// It has no name.
    NoDatabaseName,
    /// The default database stays.
    IsDefaultDatabase,
    /// There are collections in it.
    DatabaseNotEmpty(String),
    /// There is no such database.
    NoDatabase(String),
    /// There is no such database, in the words of methods that have a code for it.
    UnknownDatabase(String),
    /// There is none to rename into.
    NoTargetDatabase(String),
    /// What is asked depends on a value that can't be decoded.
    Undecodable {
        /// Where it is stored.
        key: String,
    },
    /// Timestamps are not yet beyond what is stored. May be repeated.
    Behind {
        /// The object's key.
        key: String,
        /// The time of its newest version.
        stored: Timestamp,
        /// The time of the task.
        task: Timestamp,
    },
    /// A collection has come back into the form that releases before 2.2 wrote. May be repeated.
    OldForm(CollectionId),
    /// It is more than etcd takes at once.
    TooLarge {
        /// Its key.
        key: String,
        /// How much it would take.
        bytes: usize,
    },
    /// A request of another kind.
    WrongType {
        /// What the method takes.
        expected: &'static str,
        /// What came.
        actual: String,
    },
    /// There is no such collection.
    NoCollection(NoCollection),
    /// More shards than there are channels.
    TooManyShards {
        /// Asked for.
        shards: i32,
        /// `rootCoord.dmlChannelNum`
        limit: usize,
    },
    /// More shards than a collection may have.
    ShardsBeyondLimit {
        /// Asked for.
        shards: i32,
        /// `proxy.maxShardNum`
        limit: usize,
    },
    /// There are fewer channels than asked for.
    NotEnoughChannels(NotEnoughChannels),
    /// No more collections.
    TooManyCollections(TooManyCollections),
    /// The schema is no schema.
    BadSchema(String),
    /// Something in a request is not as it must be.
    Invalid(Invalid),
    /// Milvus's own fields have a name each, which is taken.
    SystemField,
    /// A partition key needs partitions.
    NoPartitions,
    /// More partitions than a collection may have.
    TooManyPartitions {
        /// Asked for, or there.
        number: i64,
        /// `rootCoord.maxPartitionNum`
        limit: usize,
        /// The collection.
        collection: String,
    },
    /// There is one of that name, and it is another one.
    DuplicateCollection(String),
    /// Collections are dropped by their name.
    DropByAlias(String),
    /// Nothing is named.
    AlterNoName,
    /// Nothing is to be altered.
    AlterNothing,
    /// Collections are renamed by their name.
    RenameByAlias(String),
    /// The new name is taken.
    RenameTaken {
        /// The target database's name.
        db: String,
        /// The new name.
        name: String,
    },
    /// Aliases stay in their database.
    RenameWithAliases,
    /// The default partition stays.
    DefaultPartition,
    /// There is no such alias.
    NoAlias {
        /// As it was asked for.
        db: String,
        /// As it was asked for.
        alias: String,
    },
    /// A collection has that name.
    AliasIsCollection {
        /// As it was asked for.
        db: String,
        /// As it was asked for.
        alias: String,
    },
    /// It stands for another collection.
    AliasTaken {
        /// As it was asked for.
        db: String,
        /// As it was asked for.
        alias: String,
        /// What it stands for.
        other: String,
    },
    /// What it stands for is gone.
    DeadAlias(CollectionId),
    /// No alias is named.
    NoInputAlias,
}

/// Where a number of collections is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooManyCollections {
    /// `quotaAndLimits.limits.maxCollectionNumPerDB`
    InDatabase(usize),
    /// `quotaAndLimits.limits.maxCollectionNum`
    Everywhere(usize),
}

/// What is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// Something else was expected.
    Expected {
        /// What is wrong.
        what: String,
        /// What must be there.
        expected: String,
        /// What is there.
        actual: String,
    },
    /// A number is too small or too large.
    Range {
        /// What is wrong.
        what: String,
        /// The number.
        value: i64,
        /// The smallest that is right.
        low: i64,
        /// The largest.
        high: i64,
    },
    /// Nothing more is to say.
    Plain(String),
}

impl DdlError {
    /// With its code, in the words in which clients read it; of Milvus where Milvus has this error.
    pub fn told(&self) -> MilvusError {
        let plain = |text: String| MilvusError::plain(text);
        match self {
            Self::TooManyDatabases { limit } => {
                MilvusError::new(Kind::DatabaseLimitExceeded).with("limit", limit)
            }
            Self::DatabaseExists(name) => plain(format!("database already exist: {name}")),
            Self::NoDatabaseName => MilvusError::new(Kind::DatabaseNameInvalid)
                .with("database", "")
                .wrap("the database name must not be empty"),
            Self::IsDefaultDatabase => plain("can not drop default database".to_owned()),
            Self::DatabaseNotEmpty(name) => {
                plain(format!("database:{name} not empty, must drop all collections before drop database"))
            }
            Self::NoDatabase(name) => plain(format!("database:{name} not found")),
            Self::UnknownDatabase(name) => MilvusError::new(Kind::DatabaseNotFound).with("database", name),
            Self::NoTargetDatabase(name) => plain(format!("target database:{name} not found")),
            Self::Undecodable { key } => MilvusError::new(Kind::ServiceInternal)
                .saying(&format!("the value of {key} can't be decoded, nothing was changed")),
            Self::Behind { key, stored, task } => MilvusError::new(Kind::ServiceUnavailable)
                .saying(&format!("{key} is of timestamp {stored}, later than {task}")),
            Self::OldForm(id) => MilvusError::new(Kind::ServiceUnavailable)
                .saying(&format!("collection {id} was written by an old release in the meantime")),
            Self::TooLarge { key, bytes } => MilvusError::new(Kind::ServiceInternal)
                .saying(&format!("{key} takes {bytes} bytes, more than etcd accepts at once")),
            Self::WrongType { expected, actual } => {
                plain(format!("invalid msg type, expect {expected}, but got {actual}"))
            }
            Self::NoCollection(missing) => missing.told(),
            Self::TooManyShards { shards, limit } => {
                plain(format!("shard num ({shards}) exceeds max configuration ({limit})"))
            }
            Self::ShardsBeyondLimit { shards, limit } => {
                plain(format!("shard num ({shards}) exceeds system limit ({limit})"))
            }
            Self::NotEnoughChannels(too_few) => plain(too_few.to_string()),
            Self::TooManyCollections(limit) => limit.told(),
            Self::BadSchema(why) => plain(format!("proto: cannot parse invalid wire-format data: {why}")),
            Self::Invalid(invalid) => invalid.told(),
            Self::SystemField => MilvusError::invalid("schema don't contains system field", "contains")
                .wrap("schema contains system field: RowID, Timestamp, $meta"),
            Self::NoPartitions => {
                plain("the specified partitions should be greater than 0 if partition key is used".to_owned())
            }
            Self::TooManyPartitions { number, limit, collection } => plain(format!(
                "partition number ({number}) exceeds max configuration ({limit}), collection: {collection}"
            )),
            Self::DuplicateCollection(name) => {
                plain(format!("create duplicate collection with different parameters, collection: {name}"))
            }
            Self::DropByAlias(alias) => plain(format!("cannot drop the collection via alias = {alias}")),
            Self::AlterNoName => plain("alter collection failed, collection name does not exists".to_owned()),
            Self::AlterNothing => plain(
                "only support alter collection properties, but collection properties is empty".to_owned(),
            ),
            Self::RenameByAlias(alias) => {
                plain(format!("unsupported use an alias to rename collection, alias:{alias}"))
            }
            Self::RenameTaken { db, name } => plain(format!(
                "duplicated new collection name {db}:{name} with other collection name or alias"
            )),
            Self::RenameWithAliases => plain(
                "fail to rename db name, must drop all aliases of this collection before rename".to_owned(),
            ),
            Self::DefaultPartition => plain("default partition cannot be deleted".to_owned()),
            Self::NoAlias { db, alias } => {
                MilvusError::new(Kind::AliasNotFound).with("database", db).with("alias", alias)
            }
            Self::AliasIsCollection { db, alias } => {
                MilvusError::new(Kind::AliasCollectionNameConflict).with("database", db).with("alias", alias)
            }
            Self::AliasTaken { db, alias, other } => MilvusError::new(Kind::AliasAlreadyExists)
                .with("database", db)
                .with("alias", alias)
                .wrap(format!("{alias} is alias to another collection: {other}")),
            Self::DeadAlias(id) => {
                MilvusError::new(Kind::CollectionIdOfAliasNotFound).with("collectionID", id)
            }
            Self::NoInputAlias => {
                MilvusError::new(Kind::ParameterMissing).with("missing_param", "alias").wrap("no input alias")
            }
        }
    }
}

impl NoCollection {
    fn told(&self) -> MilvusError {
        let not_found = MilvusError::new(Kind::CollectionNotFound);
        match self {
            Self::Name { db, name } => not_found.with("database", db).with("collection", name),
            Self::AsOf { ts, db, name } => {
                not_found.with("database", db).with("collection", name).wrap(format!("timestamp = {ts}"))
            }
            Self::Plain(name) => not_found.with("collection", name),
            Self::NotStored { why, id } => not_found.with("collection", id).wrap(why),
            Self::NotSeen { db, name } => not_found.with("collection", db).wrap(name),
            Self::Id(id) => not_found.with("collection", id),
        }
    }
}

impl TooManyCollections {
    fn told(self) -> MilvusError {
        let (place, limit) = match self {
            Self::InDatabase(limit) => (" in DB", limit),
            Self::Everywhere(limit) => ("", limit),
        };
        MilvusError::new(Kind::CollectionLimitExceeded)
            .with("limit", limit)
            .wrap(format!("max number of collection has reached the limit{place}"))
    }
}

impl Invalid {
    fn told(&self) -> MilvusError {
        match self {
            Self::Expected { what, expected, actual } => MilvusError::invalid(expected, actual).wrap(what),
            Self::Range { what, value, low, high } => MilvusError::out_of_range(value, low, high).wrap(what),
            Self::Plain(what) => MilvusError::new(Kind::ParameterInvalid).wrap(what),
        }
    }
}

impl fmt::Display for DdlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.told().fmt(f)
    }
}

impl std::error::Error for DdlError {}

impl From<NoCollection> for DdlError {
    fn from(missing: NoCollection) -> Self {
        Self::NoCollection(missing)
    }
}

impl From<NotEnoughChannels> for DdlError {
    fn from(too_few: NotEnoughChannels) -> Self {
        Self::NotEnoughChannels(too_few)
    }
}
