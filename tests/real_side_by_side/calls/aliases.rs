//! Aliases. The sequence leaves `al1` for `books` and `al2` for `films` behind.

use milvus_proto::{
    common::MsgType,
    milvus::{AlterAliasRequest, DescribeAliasRequest, DropAliasRequest, ListAliasesRequest},
};

use super::{Call, base, call, create_alias, describe};

fn alter(db: &str, alias: &str, collection: &str) -> AlterAliasRequest {
    AlterAliasRequest {
        base: base(MsgType::AlterAlias),
        db_name: db.to_owned(),
        collection_name: collection.to_owned(),
        alias: alias.to_owned(),
    }
}

fn drop(db: &str, alias: &str) -> DropAliasRequest {
    DropAliasRequest { base: base(MsgType::DropAlias), db_name: db.to_owned(), alias: alias.to_owned() }
}

pub(super) fn calls() -> Vec<Call> {
    let mut calls = created();
    calls.extend(altered());
    calls.extend(dropped());
    calls.extend(told());
    calls
}

fn created() -> Vec<Call> {
    let create_call = |label: &str, db: &str, alias: &str, collection: &str| {
        call(label, "CreateAlias", create_alias(db, alias, collection))
    };
    vec![
        create_call("create al1", "default", "al1", "books"),
        create_call("create al1 again", "default", "al1", "books"),
        create_call("create al10 without a database", "", "al10", "books"),
        create_call("create al2", "default", "al2", "films"),
        create_call("create al1 for another collection", "default", "al1", "films"),
        create_call("create al1 for another collection without a database", "", "al1", "films"),
        create_call("create an alias under a collection's name", "default", "films", "books"),
        create_call("create an alias under a collection's name without a database", "", "films", "books"),
        create_call("create an alias for nothing", "default", "al3", "nothing"),
        create_call("create an alias for nothing without a database", "", "al3", "nothing"),
        create_call("create an alias for an alias", "default", "al3", "al1"),
        create_call("create an alias in no database", "nowhere", "al3", "books"),
        create_call("create an alias in another database", "db1", "al3", "books"),
        call(
            "create an alias with another kind of request",
            "CreateAlias",
            milvus_proto::milvus::CreateAliasRequest {
                base: base(MsgType::Insert),
                ..create_alias("default", "al3", "books")
            },
        ),
        call("describe by alias", "DescribeCollection", describe("default", "al1")),
    ]
}

fn altered() -> Vec<Call> {
    let alter_call = |label: &str, db: &str, alias: &str, collection: &str| {
        call(label, "AlterAlias", alter(db, alias, collection))
    };
    vec![
        alter_call("alter al1", "default", "al1", "films"),
        alter_call("alter al1 back", "default", "al1", "books"),
        alter_call("alter al1 to what it is", "default", "al1", "books"),
        alter_call("alter an alias that is none", "default", "al3", "books"),
        alter_call("alter an alias that is none without a database", "", "al3", "books"),
        alter_call("alter a collection as an alias", "default", "films", "books"),
        alter_call("alter an alias to nothing", "default", "al1", "nothing"),
        alter_call("alter an alias to an alias", "default", "al1", "al2"),
        alter_call("alter an alias in no database", "nowhere", "al1", "books"),
        call(
            "alter an alias with another kind of request",
            "AlterAlias",
            AlterAliasRequest { base: base(MsgType::Insert), ..alter("default", "al1", "films") },
        ),
    ]
}

fn dropped() -> Vec<Call> {
    let drop_call = |label: &str, db: &str, alias: &str| call(label, "DropAlias", drop(db, alias));
    vec![
        drop_call("drop al10", "default", "al10"),
        drop_call("drop al10 again", "default", "al10"),
        drop_call("drop an alias that is none", "default", "other"),
        drop_call("drop a collection as an alias", "default", "films"),
        drop_call("drop an alias in no database", "nowhere", "al1"),
        call(
            "drop an alias with another kind of request",
            "DropAlias",
            DropAliasRequest { base: base(MsgType::Insert), ..drop("default", "al1") },
        ),
    ]
}

fn told() -> Vec<Call> {
    let described = |label: &str, db: &str, alias: &str| {
        let request = DescribeAliasRequest {
            base: base(MsgType::DescribeAlias),
            db_name: db.to_owned(),
            alias: alias.to_owned(),
        };
        call(label, "DescribeAlias", request)
    };
    let listed = |label: &str, db: &str, collection: &str| {
        let request = ListAliasesRequest {
            base: base(MsgType::ListAliases),
            db_name: db.to_owned(),
            collection_name: collection.to_owned(),
        };
        call(label, "ListAliases", request)
    };
    vec![
        described("describe al1", "default", "al1"),
        described("describe al1 without a database", "", "al1"),
        described("describe no alias", "default", ""),
        described("describe an alias that is none", "default", "other"),
        described("describe an alias that is none without a database", "", "other"),
        described("describe a collection as an alias", "default", "books"),
        described("describe an alias in no database", "nowhere", "al1"),
        listed("aliases", "default", ""),
        listed("aliases without a database", "", ""),
        listed("aliases of books", "default", "books"),
        listed("aliases of keyed", "default", "keyed"),
        listed("aliases of nothing", "default", "nothing"),
        listed("aliases of an alias", "default", "al1"),
        listed("aliases of no database", "nowhere", ""),
        listed("aliases of a collection of no database", "nowhere", "books"),
        listed("aliases of an empty database", "db2", ""),
    ]
}
