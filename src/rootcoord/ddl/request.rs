//! Changes of the schema that can be asked for, and what each of them locks.

use milvus_proto::{common::MsgBase, milvus::CreateCollectionRequest};

use super::locks::{Key, Mode, Wanted};
use crate::{
    ids::CollectionId,
    rootcoord::{
        catalog::Catalog,
        collections::Rename,
        events::Method,
        keys::{DEFAULT_DB_NAME, RequestId},
    },
};

/// A change of the schema. Names are as in the request.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Create a database.
    CreateDatabase {
        /// Its name.
        name: String,
        /// By what a repetition is known.
        id: Option<RequestId>,
    },
    /// Drop a database.
    DropDatabase {
        /// Its name.
        name: String,
    },
    /// Create a collection.
    CreateCollection(Box<CreateCollectionRequest>),
    /// Drop a collection.
    DropCollection {
        /// Its database.
        db: String,
        /// Its name.
        name: String,
        /// A backup repeats it for its original, see [`is_replicated`].
        replicated: bool,
    },
    /// Change properties of a collection.
    AlterCollection {
        /// Its database.
        db: String,
        /// Its name, or an alias.
        name: String,
        /// Those that are added or replaced.
        properties: Vec<(String, String)>,
    },
    /// Give a collection another name.
    RenameCollection(Rename),
    /// Create a partition.
    CreatePartition {
        /// Its database.
        db: String,
        /// Its collection, or an alias.
        collection: String,
        /// Its name.
        partition: String,
    },
    /// Drop a partition.
    DropPartition {
        /// Its database.
        db: String,
        /// Its collection, or an alias.
        collection: String,
        /// Its name.
        partition: String,
        /// A backup repeats it for its original, see [`is_replicated`].
        replicated: bool,
    },
    /// Give a collection a further name.
    CreateAlias {
        /// Its database.
        db: String,
        /// The further name.
        alias: String,
        /// The collection's own name.
        collection: String,
    },
    /// Let an alias stand for another collection.
    AlterAlias {
        /// Its database.
        db: String,
        /// The alias.
        alias: String,
        /// The collection's own name.
        collection: String,
    },
    /// Drop an alias.
    DropAlias {
        /// Its database.
        db: String,
        /// The alias.
        alias: String,
    },
}

impl Request {
    /// As log and metrics call it.
    pub fn method(&self) -> Method {
        match self {
            Self::CreateDatabase { .. } => Method::CreateDatabase,
            Self::DropDatabase { .. } => Method::DropDatabase,
            Self::CreateCollection(_) => Method::CreateCollection,
            Self::DropCollection { .. } => Method::DropCollection,
            Self::AlterCollection { .. } => Method::AlterCollection,
            Self::RenameCollection(_) => Method::RenameCollection,
            Self::CreatePartition { .. } => Method::CreatePartition,
            Self::DropPartition { .. } => Method::DropPartition,
            Self::CreateAlias { .. } => Method::CreateAlias,
            Self::AlterAlias { .. } => Method::AlterAlias,
            Self::DropAlias { .. } => Method::DropAlias,
        }
    }

    /// The database and what is changed in it, for the log.
    pub fn subject(&self) -> (&str, Option<&str>) {
        match self {
            Self::CreateDatabase { name, .. } | Self::DropDatabase { name } => (name, None),
            Self::CreateCollection(request) => (&request.db_name, Some(&request.collection_name)),
            Self::DropCollection { db, name, .. } | Self::AlterCollection { db, name, .. } => {
                (db, Some(name))
            }
            Self::RenameCollection(rename) => (&rename.db, Some(&rename.old)),
            Self::CreatePartition { db, partition, .. } | Self::DropPartition { db, partition, .. } => {
                (db, Some(partition))
            }
            Self::CreateAlias { db, alias, .. }
            | Self::AlterAlias { db, alias, .. }
            | Self::DropAlias { db, alias } => (db, Some(alias)),
        }
    }

    /// The collections that it is about, as the names stand now.
    pub(super) fn collections(&self, catalog: &Catalog) -> Vec<CollectionId> {
        let locks = self.locks(catalog).into_keys();
        locks.filter_map(|key| if let Key::Collection(id) = key { Some(id) } else { None }).collect()
    }

    /// What must not change, and what nobody else may look at for a change, while it runs.
    pub(super) fn locks(&self, catalog: &Catalog) -> Wanted {
        let mut wanted = Collected::default();
        match self {
            Self::CreateDatabase { name, .. } | Self::DropDatabase { name } => {
                wanted.want(Key::Databases, Mode::Exclusive);
                wanted.want(Key::Database(plain(name)), Mode::Exclusive);
            }
            Self::CreateCollection(request) => {
                wanted.name(&request.db_name, &request.collection_name, Mode::Exclusive);
            }
            Self::DropCollection { db, name, .. } => {
                wanted.name(db, name, Mode::Exclusive);
                wanted.collection(catalog, db, name);
            }
            Self::AlterCollection { db, name, .. } => {
                wanted.database(db);
                wanted.collection(catalog, db, name);
            }
            Self::RenameCollection(rename) => {
                wanted.name(&rename.db, &rename.old, Mode::Exclusive);
                wanted.name(rename.target_db(), &rename.new, Mode::Exclusive);
                wanted.collection(catalog, &rename.db, &rename.old);
            }
            Self::CreatePartition { db, collection, .. } | Self::DropPartition { db, collection, .. } => {
                wanted.database(db);
                wanted.collection(catalog, db, collection);
            }
            Self::CreateAlias { db, alias, collection } | Self::AlterAlias { db, alias, collection } => {
                wanted.name(db, alias, Mode::Exclusive);
                wanted.name(db, collection, Mode::Shared);
                wanted.collection(catalog, db, collection);
            }
            Self::DropAlias { db, alias } => {
                wanted.name(db, alias, Mode::Exclusive);
                wanted.collection(catalog, db, alias);
            }
        }
        wanted.0
    }
}

#[derive(Default)]
struct Collected(Wanted);

impl Collected {
    fn want(&mut self, key: Key, mode: Mode) {
        let known = self.0.entry(key).or_insert(mode);
        *known = mode.max(*known);
    }

    fn database(&mut self, db: &str) {
        self.want(Key::Database(plain(db)), Mode::Shared);
    }

    fn name(&mut self, db: &str, name: &str, mode: Mode) {
        self.database(db);
        self.want(Key::Name(plain(db), name.to_owned()), mode);
    }

    /// The collection that a name stands for now.
    fn collection(&mut self, catalog: &Catalog, db: &str, name: &str) {
        let found = catalog.named(db).and_then(|database| catalog.lookup(database, name).ok());
        if let Some(record) = found {
            self.want(Key::Collection(record.id), Mode::Exclusive);
        }
    }
}

/// Whether a request repeats on a backup what was done on its original. Its messages then come over
/// the replication, too, and none of its own is sent.
pub fn is_replicated(base: Option<&MsgBase>) -> bool {
    base.and_then(|base| base.replicate_info.as_ref()).is_some_and(|info| info.is_replicate)
}

/// No name means the default database.
fn plain(db: &str) -> String {
    if db.is_empty() { DEFAULT_DB_NAME } else { db }.to_owned()
}
