//! Collections: made, found, shown, changed, dropped.
//!
//! Created in `default`: `books`, `keyed`, `films`; in `db1`: `notes`.

use milvus_proto::{
    common::{MsgBase, MsgType, ReplicateInfo},
    milvus::{
        AlterCollectionRequest, CreateCollectionRequest, DescribeCollectionRequest, HasCollectionRequest,
        RenameCollectionRequest, ShowCollectionsRequest,
    },
    schema::{CollectionSchema, DataType, FieldSchema, ValueField, value_field::Data},
};

use crate::quotas;

use super::{
    Call, base, call, create, create_alias, databases, describe, drop, field, later, pair, schema, show,
};

pub(super) fn calls() -> Vec<Call> {
    let mut calls = created();
    calls.extend(wrong_creations());
    calls.extend(found());
    calls.extend(of_other_times());
    calls
}

fn with_default(kind: DataType, value: Data) -> FieldSchema {
    FieldSchema { default_value: Some(ValueField { data: Some(value) }), ..field("value", kind) }
}

/// Every kind of field, and all that a field can have.
fn books() -> CollectionSchema {
    let fields = [
        FieldSchema {
            is_primary_key: true,
            auto_id: true,
            description: "the key".to_owned(),
            // Of the caller's choice, and overwritten.
            field_id: 7,
            ..field("pk", DataType::VarChar)
        },
        FieldSchema {
            type_params: vec![pair("dim", "8")],
            index_params: vec![pair("metric_type", "L2"), pair("index_type", "FLAT")],
            ..field("vector", DataType::FloatVector)
        },
        FieldSchema { name: "bool".to_owned(), ..with_default(DataType::Bool, Data::BoolData(true)) },
        FieldSchema { name: "int8".to_owned(), ..with_default(DataType::Int8, Data::IntData(-128)) },
        FieldSchema { name: "int16".to_owned(), ..with_default(DataType::Int16, Data::IntData(32_767)) },
        FieldSchema { name: "int32".to_owned(), ..with_default(DataType::Int32, Data::IntData(70_000)) },
        FieldSchema { name: "int64".to_owned(), ..with_default(DataType::Int64, Data::LongData(9)) },
        FieldSchema { name: "float".to_owned(), ..with_default(DataType::Float, Data::FloatData(1.5)) },
        FieldSchema { name: "double".to_owned(), ..with_default(DataType::Double, Data::DoubleData(2.5)) },
        FieldSchema {
            name: "text".to_owned(),
            type_params: vec![pair("max_length", "5")],
            ..with_default(DataType::VarChar, Data::StringData("eight".to_owned()))
        },
        FieldSchema {
            element_type: DataType::Int32.into(),
            type_params: vec![pair("max_capacity", "4")],
            ..field("list", DataType::Array)
        },
        field("json", DataType::Json),
    ];
    CollectionSchema {
        name: "books".to_owned(),
        description: "of all kinds".to_owned(),
        fields: fields.into(),
        enable_dynamic_field: true,
        ..CollectionSchema::default()
    }
}

/// With a partition key.
fn keyed(name: &str) -> CollectionSchema {
    let mut keyed = schema(name);
    keyed.fields.push(FieldSchema { is_partition_key: true, ..field("group", DataType::Int64) });
    keyed
}

fn created() -> Vec<Call> {
    let create_call =
        |label: &str, request: CreateCollectionRequest| call(label, "CreateCollection", request);
    let books = CreateCollectionRequest {
        shards_num: 2,
        consistency_level: 2,
        properties: vec![pair("collection.ttl.seconds", "15"), pair("owner", "me")],
        ..create("", &books())
    };
    vec![
        create_call("create books", books),
        create_call(
            "create keyed",
            CreateCollectionRequest { num_partitions: 3, ..create("default", &keyed("keyed")) },
        ),
        create_call(
            "create films",
            CreateCollectionRequest { shards_num: 0, ..create("default", &schema("films")) },
        ),
        create_call("create notes in db1", create("db1", &schema("notes"))),
    ]
}

fn wrong_creations() -> Vec<Call> {
    let wrong = |label: &str, request: CreateCollectionRequest| call(label, "CreateCollection", request);
    let of_field = |label: &str, field: FieldSchema| {
        let mut wrong = schema("wrong");
        wrong.fields.push(field);
        call(label, "CreateCollection", create("default", &wrong))
    };
    let good = || create("default", &schema("wrong"));
    let long_text = FieldSchema {
        type_params: vec![pair("max_length", "4")],
        ..with_default(DataType::VarChar, Data::StringData("eight".to_owned()))
    };
    let unlimited = FieldSchema {
        type_params: vec![pair("max_length", "many")],
        ..with_default(DataType::VarChar, Data::StringData("eight".to_owned()))
    };
    vec![
        wrong("create in no database", create("nowhere", &schema("wrong"))),
        wrong(
            "create with another kind of request",
            CreateCollectionRequest { base: base(MsgType::Insert), ..good() },
        ),
        wrong("create with more shards than channels", CreateCollectionRequest { shards_num: 5, ..good() }),
        wrong(
            "create with more shards than are allowed",
            CreateCollectionRequest { shards_num: 4, ..good() },
        ),
        wrong(
            "create with a schema that is none",
            CreateCollectionRequest { schema: vec![0xff, 0xff], ..good() },
        ),
        wrong(
            "create under another name than the schema's",
            CreateCollectionRequest { collection_name: "right".to_owned(), ..good() },
        ),
        of_field("default of a bool for a number", with_default(DataType::Int64, Data::BoolData(true))),
        of_field("default of an int for a long", with_default(DataType::Int64, Data::IntData(1))),
        of_field("default of a long for an int", with_default(DataType::Int32, Data::LongData(1))),
        of_field("default of a float for a double", with_default(DataType::Double, Data::FloatData(1.0))),
        of_field("default of a double for a float", with_default(DataType::Float, Data::DoubleData(1.0))),
        of_field(
            "default of a text for a number",
            with_default(DataType::Int64, Data::StringData("a".to_owned())),
        ),
        of_field("default beyond an int8", with_default(DataType::Int8, Data::IntData(128))),
        of_field("default beyond an int16", with_default(DataType::Int16, Data::IntData(-32_769))),
        of_field("default longer than its field", long_text),
        of_field("default of a field of unknown length", unlimited),
        of_field("a field called RowID", field("RowID", DataType::Int64)),
        of_field("a field called Timestamp", field("Timestamp", DataType::Int64)),
        of_field("a field called $meta", field("$meta", DataType::Json)),
        wrong("partition key without partitions", create("default", &keyed("wrong"))),
        wrong(
            "partition key with too many partitions",
            CreateCollectionRequest { num_partitions: 5, ..create("default", &keyed("wrong")) },
        ),
    ]
}

pub(super) fn has(db: &str, name: &str) -> HasCollectionRequest {
    HasCollectionRequest {
        base: base(MsgType::HasCollection),
        db_name: db.to_owned(),
        collection_name: name.to_owned(),
        ..HasCollectionRequest::default()
    }
}

fn found() -> Vec<Call> {
    let describe_call =
        |label: &str, request: DescribeCollectionRequest| call(label, "DescribeCollection", request);
    let by_id = |label: &str, method: &'static str, name: &'static str| {
        later(label, method, move |peers| DescribeCollectionRequest {
            collection_id: peers.collection(name).id,
            ..describe("", "")
        })
    };
    vec![
        describe_call("describe books", describe("", "books")),
        describe_call("describe keyed", describe("default", "keyed")),
        describe_call("describe films", describe("default", "films")),
        describe_call("describe notes", describe("db1", "notes")),
        by_id("describe by id", "DescribeCollection", "books"),
        by_id("describe by id for other coordinators", "DescribeCollectionInternal", "keyed"),
        by_id("describe one of another database by id", "DescribeCollection", "notes"),
        call("describe for other coordinators", "DescribeCollectionInternal", describe("", "books")),
        describe_call("describe in another database", describe("db1", "books")),
        describe_call("describe in no database", describe("nowhere", "books")),
        describe_call("describe what is not there", describe("default", "nothing")),
        describe_call("describe without a database what is not there", describe("", "nothing")),
        call(
            "describe for other coordinators what is not there",
            "DescribeCollectionInternal",
            describe("", "nothing"),
        ),
        describe_call(
            "describe an id that is none",
            DescribeCollectionRequest { collection_id: 5, ..describe("", "") },
        ),
        describe_call("describe nothing", describe("", "")),
        describe_call(
            "describe with another kind of request",
            DescribeCollectionRequest { base: base(MsgType::Insert), ..describe("", "books") },
        ),
        call("has books", "HasCollection", has("", "books")),
        call("has nothing", "HasCollection", has("default", "nothing")),
        call("has books in no database", "HasCollection", has("nowhere", "books")),
        call("has a collection without a name", "HasCollection", has("", "")),
        call(
            "has, with another kind of request",
            "HasCollection",
            HasCollectionRequest { base: base(MsgType::Insert), ..has("", "books") },
        ),
        call("collections", "ShowCollections", show("default")),
        call("collections without a database", "ShowCollections", show("")),
        call("collections of db1", "ShowCollections", show("db1")),
        call("collections of an empty database", "ShowCollections", show("db2")),
        call("collections of no database", "ShowCollections", show("nowhere")),
        call("collections of that name", "ShowCollections", named()),
        call(
            "collections, with another kind of request",
            "ShowCollections",
            ShowCollectionsRequest { base: base(MsgType::Insert), ..show("default") },
        ),
    ]
}

/// Names are the proxy's business.
#[expect(deprecated, reason = "2.3 still has it")]
fn named() -> ShowCollectionsRequest {
    ShowCollectionsRequest { collection_names: vec!["books".to_owned()], ..show("default") }
}

/// As things were at a time.
fn of_other_times() -> Vec<Call> {
    let described = |label: &str, name: &'static str, earlier: u64| {
        later(label, "DescribeCollection", move |peers| DescribeCollectionRequest {
            time_stamp: peers.collection("films").created - earlier,
            ..describe("default", name)
        })
    };
    vec![
        described("describe films as created", "films", 0),
        described("describe films before its creation", "films", 1),
        described("describe books before films was created", "books", 1),
        described("describe nothing at a time", "nothing", 0),
        later("describe films by id before its creation", "DescribeCollection", |peers| {
            let films = peers.collection("films");
            DescribeCollectionRequest {
                collection_id: films.id,
                time_stamp: films.created - 1,
                ..describe("default", "")
            }
        }),
        later("has films before its creation", "HasCollection", |peers| HasCollectionRequest {
            time_stamp: peers.collection("films").created - 1,
            ..has("default", "films")
        }),
        later("collections before films was created", "ShowCollections", |peers| ShowCollectionsRequest {
            time_stamp: peers.collection("films").created - 1,
            ..show("default")
        }),
        later("collections of no database at a time", "ShowCollections", |peers| ShowCollectionsRequest {
            time_stamp: peers.collection("films").created,
            ..show("nowhere")
        }),
        later("describe in no database at a time", "DescribeCollection", |peers| DescribeCollectionRequest {
            time_stamp: peers.collection("films").created,
            ..describe("nowhere", "films")
        }),
    ]
}

pub(super) fn alter(db: &str, name: &str, properties: &[(&str, &str)]) -> AlterCollectionRequest {
    AlterCollectionRequest {
        base: base(MsgType::AlterCollection),
        db_name: db.to_owned(),
        collection_name: name.to_owned(),
        collection_id: 0,
        properties: properties.iter().map(|(key, value)| pair(key, value)).collect(),
    }
}

pub(super) fn rename(db: &str, old: &str, new_db: &str, new: &str) -> RenameCollectionRequest {
    RenameCollectionRequest {
        base: base(MsgType::RenameCollection),
        db_name: db.to_owned(),
        old_name: old.to_owned(),
        new_name: new.to_owned(),
        new_db_name: new_db.to_owned(),
    }
}

/// After the aliases `al1` and `al10` were made for `books`, and `al2` for `films`.
pub(super) fn changes() -> Vec<Call> {
    let mut calls = altered();
    calls.extend(renamed());
    calls.extend(dropped());
    calls.extend(databases::drop_full());
    calls
}

fn altered() -> Vec<Call> {
    let alter_call = |label: &str, request: AlterCollectionRequest| call(label, "AlterCollection", request);
    vec![
        alter_call(
            "alter books",
            alter("default", "books", &[("collection.ttl.seconds", "1800"), ("shelf", "3")]),
        ),
        alter_call("alter books again", alter("default", "books", &[("shelf", "4")])),
        call("altered books", "DescribeCollection", describe("default", "books")),
        alter_call("alter by alias", alter("", "al2", &[("shelf", "5")])),
        call("altered films", "DescribeCollection", describe("default", "films")),
        alter_call("alter without a name", alter("default", "", &[("shelf", "3")])),
        alter_call("alter nothing of books", alter("default", "books", &[])),
        alter_call("alter what is not there", alter("default", "nothing", &[("shelf", "3")])),
        alter_call("alter in no database", alter("nowhere", "books", &[("shelf", "3")])),
    ]
}

fn renamed() -> Vec<Call> {
    let rename_call =
        |label: &str, request: RenameCollectionRequest| call(label, "RenameCollection", request);
    vec![
        rename_call("rename films", rename("default", "films", "", "movies")),
        call("renamed films", "DescribeCollection", describe("default", "movies")),
        call("films after it was renamed", "DescribeCollection", describe("default", "films")),
        rename_call("rename to the same name", rename("default", "books", "", "books")),
        rename_call("rename to a collection's name", rename("", "books", "", "keyed")),
        rename_call("rename to an alias", rename("default", "books", "default", "al2")),
        rename_call("rename an alias", rename("default", "al1", "", "fresh")),
        rename_call("rename what is not there", rename("default", "nothing", "", "fresh")),
        rename_call("rename in no database", rename("nowhere", "books", "", "fresh")),
        rename_call("rename into no database", rename("default", "books", "nowhere", "fresh")),
        rename_call("rename into another database, with aliases", rename("default", "books", "db2", "fresh")),
        rename_call(
            "rename with another kind of request",
            RenameCollectionRequest {
                base: base(MsgType::Insert),
                ..rename("default", "books", "", "fresh")
            },
        ),
        rename_call("rename notes into another database", rename("db1", "notes", "db2", "letters")),
        call("renamed notes", "DescribeCollection", describe("db2", "letters")),
        call("notes after it was renamed", "DescribeCollection", describe("db1", "notes")),
        rename_call("rename notes back", rename("db2", "letters", "db1", "notes")),
    ]
}

fn dropped() -> Vec<Call> {
    let drop_call = |label: &str, db: &str, name: &str| call(label, "DropCollection", drop(db, name));
    vec![
        drop_call("drop by alias", "default", "al1"),
        call("create doomed", "CreateCollection", create("default", &schema("doomed"))),
        call("create an alias for doomed", "CreateAlias", create_alias("default", "doom", "doomed")),
        drop_call("drop by alias without a database", "", "doom"),
        drop_call("drop doomed", "", "doomed"),
        drop_call("drop what is not there", "default", "nothing"),
        drop_call("drop in no database", "nowhere", "books"),
        call(
            "drop with another kind of request",
            "DropCollection",
            milvus_proto::milvus::DropCollectionRequest {
                base: base(MsgType::Insert),
                ..drop("default", "books")
            },
        ),
        drop_call("drop keyed", "default", "keyed"),
        drop_call("drop keyed again", "default", "keyed"),
        call("describe what was dropped", "DescribeCollection", describe("default", "keyed")),
        call("has what was dropped", "HasCollection", has("default", "keyed")),
        later("describe by id what was dropped", "DescribeCollection", |peers| DescribeCollectionRequest {
            collection_id: peers.collection("keyed").id,
            ..describe("", "")
        }),
        later(
            "describe by id for other coordinators what was dropped",
            "DescribeCollectionInternal",
            |peers| DescribeCollectionRequest {
                collection_id: peers.collection("keyed").id,
                ..describe("", "")
            },
        ),
        call("collections without what was dropped", "ShowCollections", show("default")),
        drop_call("drop movies, which has an alias", "default", "movies"),
        call("create keyed anew", "CreateCollection", create("default", &schema("keyed"))),
        call("describe keyed anew", "DescribeCollection", describe("default", "keyed")),
    ]
}

/// At the end: for each repetition the real one takes channels, and never gives them back.
pub(super) fn too_many() -> Vec<Call> {
    let create_call =
        |label: &str, db: &str, name: &str| call(label, "CreateCollection", create(db, &schema(name)));
    let again = |label: &str, request: CreateCollectionRequest| call(label, "CreateCollection", request);
    let described = CollectionSchema { description: "another".to_owned(), ..schema("notes") };
    vec![
        call(
            "create the second of default",
            "CreateCollection",
            CreateCollectionRequest {
                properties: quotas::OWN.iter().map(|(key, value)| pair(key, value)).collect(),
                ..create("default", &schema("second"))
            },
        ),
        create_call("create the third of default", "default", "third"),
        create_call("create the fourth of default", "default", "fourth"),
        create_call("create the fifth of default", "default", "fifth"),
        create_call("create one too many in default", "default", "sixth"),
        create_call("create the last that fits", "db1", "last"),
        create_call("create one too many of all", "db1", "more"),
        create_call("create again the last that fits", "db1", "last"),
        call("drop the fifth of default", "DropCollection", drop("default", "fifth")),
        create_call("create notes again", "db1", "notes"),
        again("create another notes", create("db1", &described)),
        create_call("create under the name of an alias", "default", "al1"),
        again(
            "create books again",
            CreateCollectionRequest {
                shards_num: 2,
                consistency_level: 2,
                properties: vec![pair("collection.ttl.seconds", "15"), pair("owner", "me")],
                ..create("", &books())
            },
        ),
        again("create for a backup without its time", without_its_time()),
    ]
}

/// The copy of a creation elsewhere, which must say when that was.
fn without_its_time() -> CreateCollectionRequest {
    let replicate_info = Some(ReplicateInfo { is_replicate: true, msg_timestamp: 0 });
    let base = base(MsgType::CreateCollection).map(|base| MsgBase { replicate_info, ..base });
    CreateCollectionRequest { base, ..create("default", &schema("wrong")) }
}
