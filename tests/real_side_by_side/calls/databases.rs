//! Databases. The sequence leaves `db1` and `db2` behind.

use milvus_proto::{
    common::MsgType,
    milvus::{DropDatabaseRequest, ListDatabasesRequest},
};

use super::{Call, base, call, create_database};

pub(super) fn calls() -> Vec<Call> {
    let drop =
        |name: &str| DropDatabaseRequest { base: base(MsgType::DropDatabase), db_name: name.to_owned() };
    let list = || ListDatabasesRequest { base: base(MsgType::ListDatabases) };
    let create = |label, name| call(label, "CreateDatabase", create_database(name));
    let remembered = create_database("db2");
    vec![
        call("databases of a new cluster", "ListDatabases", list()),
        create("create db1", "db1"),
        create("create db1 again", "db1"),
        create("create the default database", "default"),
        call("create db2", "CreateDatabase", remembered.clone()),
        call("create db2, repeated as by a proxy", "CreateDatabase", remembered),
        create("create db3", "db3"),
        create("create one database too many", "db4"),
        call("drop db3", "DropDatabase", drop("db3")),
        call("drop db3 again", "DropDatabase", drop("db3")),
        call("drop the default database", "DropDatabase", drop("default")),
        call("databases", "ListDatabases", list()),
        call("databases, asked without a base", "ListDatabases", ListDatabasesRequest { base: None }),
    ]
}

/// Of those that hold something.
pub(super) fn drop_full() -> Vec<Call> {
    let drop =
        |name: &str| DropDatabaseRequest { base: base(MsgType::DropDatabase), db_name: name.to_owned() };
    vec![call("drop a database that holds a collection", "DropDatabase", drop("db1"))]
}
