//! In etcd, in channels, and in what peers are asked after an answer.

use super::{Because, Difference, all};

const PLAIN: &str = "by-dev/meta/root-coord";
const SNAPSHOTS: &str = "by-dev/meta/snapshots/root-coord";

/// Ours sees to it without being told to by a call.
pub(crate) fn peers() -> Vec<Difference> {
    all([
        Because::new("datacoord is asked at once whether the data are gone, not after twenty minutes")
            .ours_alone("DataCoord/GcConfirm of *"),
        Because::new("whoever is asked is named in every question, as in most of Milvus's").ours(
            "*Coord/GetMetrics",
            "base.targetID",
            "*",
        ),
    ])
}

pub(crate) fn keys() -> Vec<Difference> {
    all([own_keys(), altered(), unchanged(), refused(), by_alias_without_a_database()])
}

pub(crate) fn messages() -> Vec<Difference> {
    all([
        Because::new("traces end at the queue").real("*: * of *", "property traceparent", "there"),
        Because::new("nothing is said of a collection that is not made: the real one finds out too late")
            .real_alone("*: CreateCollection of <stranger *>"),
    ])
}

fn own_keys() -> Because {
    Because::new(
        "requests are remembered for a minute, so that their repetition succeeds; sessions tell of the pair",
    )
    .ours_alone("by-dev/kv/milvus-coord/requests/create-database/*")
    .ours_alone("by-dev/kv/milvus-coord/requests/rename-collection/*")
    .ours_alone("by-dev/kv/milvus-coord/history/rootcoord/*")
    .ours("by-dev/meta/session/rootcoord*", "value.Coord", "milvus-coord/*")
}

fn altered() -> Because {
    let books = format!("{SNAPSHOTS}/database/collection-info/1/<collection books>_ts<alter *");
    let films = format!("{SNAPSHOTS}/database/collection-info/1/<collection films>_ts<alter *");
    Because::new("new properties are stored at once, not with the next change of the collection")
        .other(
            &format!("{PLAIN}/database/collection-info/1/<collection books>"),
            "properties[shelf].value",
            "4",
            "6",
        )
        .other(&books, "properties[*].value", "*", "*")
        .ours(&books, "properties[shelf].*", "*")
        .ours(&films, "properties[shelf].*", "*")
}

fn unchanged() -> Because {
    let aliases = "database/aliases/1";
    Because::new("nothing is written where nothing changes")
        .other(
            &format!("{PLAIN}/{aliases}/al1"),
            "created_time",
            "<alter al1 to what it is#1>",
            "<alter al1 back#1>",
        )
        .real_alone(&format!("{SNAPSHOTS}/{aliases}/al1_ts<alter al1 to what it is#1>"))
        .real_alone(&format!("{SNAPSHOTS}/{aliases}/al10_ts<drop al10 again#1>"))
}

fn refused() -> Because {
    let untold = "database/aliases/1/untold";
    let (refuses, refused) =
        ("<create an alias that a proxy refuses#1>", "<create an alias that a proxy refused#1>");
    let keyed = format!("{SNAPSHOTS}/database/collection-info/1/<collection keyed #2>");
    let unsynced = format!("{SNAPSHOTS}/partitions/<collection books>/<synced partition *>_ts");
    Because::new("proxies are told after the write: one that refuses does not prevent it")
        .other(&format!("{PLAIN}/{untold}"), "created_time", refused, refuses)
        .real_alone(&format!("{SNAPSHOTS}/{untold}_ts{refused}"))
        .ours_alone(&format!("{SNAPSHOTS}/{untold}_ts{refuses}"))
        .real_alone(&format!("{keyed}_ts<drop keyed, which a proxy refused#1>"))
        .ours_alone(&format!("{keyed}_ts<drop keyed, which a proxy refuses#1>"))
        // The same tombstone, whose time only the real one has told to proxies.
        .real_alone(&format!("{unsynced}<create a partition that querycoord refuses#1>"))
        .ours_alone(&format!("{unsynced}<* change 1>"))
}

fn by_alias_without_a_database() -> Because {
    let doomed = format!("{SNAPSHOTS}/database/collection-info/1/<collection doomed>");
    Because::new(
        "no database means the default one here, too: the real one drops the collection by its alias",
    )
    .real_alone(&format!("{doomed}_ts<drop by alias without a database#1>"))
    .ours_alone(&format!("{doomed}_ts<drop doomed#1>"))
}
