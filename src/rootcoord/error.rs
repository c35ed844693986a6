//! Why a request about the schema is not carried out, and what has to be written if it is.

use crate::{
    clock::UnixNanos,
    etcd::store::Write,
    ids::{CollectionId, DbId},
    rootcoord::channels::NotEnoughChannels,
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
}

/// As what a collection was looked for and not found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCollection {
    /// By name, as readers see it.
    #[error("collection not found[database={db}][collection={name}]")]
    Name {
        /// As it was asked for.
        db: String,
        /// A collection or an alias.
        name: String,
    },
    /// By name, by a task that changes it.
    #[error("timestamp = {ts}: collection not found[database={db}][collection={name}]")]
    AsOf {
        /// The task's.
        ts: Timestamp,
        /// The database's id.
        db: DbId,
        /// A collection or an alias.
        name: String,
    },
    /// By name, where its database is known.
    #[error("collection not found[collection={0}]")]
    Plain(String),
    /// By id, in the past, when nothing of it was stored.
    #[error("{why}: collection not found[collection={id}]")]
    NotStored {
        /// In the words of Milvus's storage.
        why: String,
        /// Its id.
        id: CollectionId,
    },
    /// By id, in the past, when it was only half made or half gone.
    #[error("{name}: collection not found[collection={db}]")]
    NotSeen {
        /// The database as it was asked for.
        db: String,
        /// Its name.
        name: String,
    },
    /// By id; also by a name that leads to one that is being dropped.
    #[error("collection not found[collection={0}]")]
    Id(CollectionId),
}

/// Why a request is not carried out. Nothing was changed, and the words are Milvus's where
/// Milvus has this error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DdlError {
    /// Larger by one than it says, as in Milvus: the limit is looked at before one is added.
    #[error("exceeded the limit number of database[limit={limit}]")]
    TooManyDatabases {
        /// The configured limit.
        limit: usize,
    },
    /// The name is taken.
    #[error("database already exist: {0}")]
    DatabaseExists(String),
    /// It has no name.
    #[error("the database name must not be empty")]
    NoDatabaseName,
    /// The default database stays.
    #[error("can not drop default database")]
    IsDefaultDatabase,
    /// There are collections in it.
    #[error("database:{0} not empty, must drop all collections before drop database")]
    DatabaseNotEmpty(String),
    /// There is no such database.
    #[error("database:{0} not found")]
    NoDatabase(String),
    /// There is no such database, in the words of methods that have a code for it.
    #[error("database not found[database={0}]")]
    UnknownDatabase(String),
    /// There is none to rename into.
    #[error("target database:{0} not found")]
    NoTargetDatabase(String),
    /// What is asked depends on a value that can't be decoded.
    #[error("the value of {key} can't be decoded, nothing was changed")]
    Undecodable {
        /// Where it is stored.
        key: String,
    },
    /// Timestamps are not yet beyond what is stored. May be repeated.
    #[error("{key} is of timestamp {stored}, later than {task}")]
    Behind {
        /// The object's key.
        key: String,
        /// The time of its newest version.
        stored: Timestamp,
        /// The time of the task.
        task: Timestamp,
    },
    /// A collection has come back into the form that releases before 2.2 wrote. May be repeated.
    #[error("collection {0} was written by an old release in the meantime")]
    OldForm(CollectionId),
    /// It is more than etcd takes at once.
    #[error("{key} takes {bytes} bytes, more than etcd accepts at once")]
    TooLarge {
        /// Its key.
        key: String,
        /// How much it would take.
        bytes: usize,
    },
    /// A request of another kind.
    #[error("invalid msg type, expect {expected}, but got {actual}")]
    WrongType {
        /// What the method takes.
        expected: &'static str,
        /// What came.
        actual: String,
    },
    /// There is no such collection.
    #[error(transparent)]
    NoCollection(#[from] NoCollection),
    /// More shards than there are channels.
    #[error("shard num ({shards}) exceeds max configuration ({limit})")]
    TooManyShards {
        /// Asked for.
        shards: i32,
        /// `rootCoord.dmlChannelNum`
        limit: usize,
    },
    /// More shards than a collection may have.
    #[error("shard num ({shards}) exceeds system limit ({limit})")]
    ShardsBeyondLimit {
        /// Asked for.
        shards: i32,
        /// `proxy.maxShardNum`
        limit: usize,
    },
    /// There are fewer channels than asked for.
    #[error(transparent)]
    NotEnoughChannels(#[from] NotEnoughChannels),
    /// No more collections.
    #[error("{0}")]
    TooManyCollections(TooManyCollections),
    /// The schema is no schema.
    #[error("proto: cannot parse invalid wire-format data: {0}")]
    BadSchema(String),
    /// Something in a request is not as it must be.
    #[error("{0}")]
    Invalid(Invalid),
    /// Milvus's own fields have a name each, which is taken.
    #[error("schema contains system field: RowID, Timestamp, $meta")]
    SystemField,
    /// A partition key needs partitions.
    #[error("the specified partitions should be greater than 0 if partition key is used")]
    NoPartitions,
    /// More partitions than a collection may have.
    #[error("partition number ({number}) exceeds max configuration ({limit}), collection: {collection}")]
    TooManyPartitions {
        /// Asked for, or there.
        number: i64,
        /// `rootCoord.maxPartitionNum`
        limit: usize,
        /// The collection.
        collection: String,
    },
    /// There is one of that name, and it is another one.
    #[error("create duplicate collection with different parameters, collection: {0}")]
    DuplicateCollection(String),
    /// Collections are dropped by their name.
    #[error("cannot drop the collection via alias = {0}")]
    DropByAlias(String),
    /// Nothing is named.
    #[error("alter collection failed, collection name does not exists")]
    AlterNoName,
    /// Nothing is to be altered.
    #[error("only support alter collection properties, but collection properties is empty")]
    AlterNothing,
    /// Collections are renamed by their name.
    #[error("unsupported use an alias to rename collection, alias:{0}")]
    RenameByAlias(String),
    /// The new name is taken.
    #[error("duplicated new collection name {db}:{name} with other collection name or alias")]
    RenameTaken {
        /// The target database's name.
        db: String,
        /// The new name.
        name: String,
    },
    /// Aliases stay in their database.
    #[error("fail to rename db name, must drop all aliases of this collection before rename")]
    RenameWithAliases,
    /// The default partition stays.
    #[error("default partition cannot be deleted")]
    DefaultPartition,
    /// There is no such alias.
    #[error("alias not found[database={db}][alias={alias}]")]
    NoAlias {
        /// As it was asked for.
        db: String,
        /// As it was asked for.
        alias: String,
    },
    /// A collection has that name.
    #[error("alias and collection name conflict[database={db}][alias={alias}]")]
    AliasIsCollection {
        /// As it was asked for.
        db: String,
        /// As it was asked for.
        alias: String,
    },
    /// It stands for another collection.
    #[error(
        "{alias} is alias to another collection: {other}: alias already exist[database={db}][alias={alias}]"
    )]
    AliasTaken {
        /// As it was asked for.
        db: String,
        /// As it was asked for.
        alias: String,
        /// What it stands for.
        other: String,
    },
    /// What it stands for is gone.
    #[error("collection id of alias not found[collectionID={0}]")]
    DeadAlias(CollectionId),
    /// No alias is named.
    #[error("no input alias: missing parameter[missing_param=alias]")]
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

impl std::fmt::Display for TooManyCollections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (place, limit) = match self {
            Self::InDatabase(limit) => (" in DB", limit),
            Self::Everywhere(limit) => ("", limit),
        };
        write!(
            f,
            "max number of collection has reached the limit{place}: \
             exceeded the limit number of collections[limit={limit}]"
        )
    }
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

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Expected { what, expected, actual } => {
                write!(f, "{what}: invalid parameter[expected={expected}][actual={actual}]")
            }
            Self::Range { what, value, low, high } => {
                write!(f, "{what}: invalid parameter[{value} out of range {low} <= value <= {high}]")
            }
            Self::Plain(what) => write!(f, "{what}: invalid parameter"),
        }
    }
}
