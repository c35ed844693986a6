//! In answers, and in what peers are asked before them.

use super::{Because, Difference, all};

const ASKED: &str = "asked";
const FORGET: &str = "Proxy/InvalidateCollectionMetaCache";
const WATCH: &str = "DataCoord/WatchChannels";
const SYNC: &str = "QueryCoord/SyncNewCreatedPartition";

/// Calls that fail, of which the real one has told proxies before it knows that.
const TOLD_IN_VAIN: [&str; 24] = [
    "alter a collection as an alias",
    "alter an alias in no database",
    "alter an alias that is none",
    "alter an alias that is none without a database",
    "alter an alias to an alias",
    "alter an alias to nothing",
    "create al1 for another collection",
    "create al1 for another collection without a database",
    "create an alias for an alias",
    "create an alias for nothing",
    "create an alias for nothing without a database",
    "create an alias in another database",
    "create an alias in no database",
    "create an alias under a collection's name",
    "create an alias under a collection's name without a database",
    "drop an alias in no database",
    "rename an alias",
    "rename in no database",
    "rename into another database, with aliases",
    "rename into no database",
    "rename to a collection's name",
    "rename to an alias",
    "rename to the same name",
    "rename what is not there",
];

pub(crate) fn answers() -> Vec<Difference> {
    all([
        order(),
        told_in_vain(),
        renamed(),
        repeated(),
        altered(),
        refused(),
        undone(),
        by_alias_without_a_database(),
        relayed(),
        receiver(),
        words(),
        silent_proxy(),
        itself(),
        settings(),
    ])
}

/// A standby that does not pass calls on answers as the real one does.
pub(crate) fn standby() -> Vec<Difference> {
    Vec::new()
}

fn order() -> Because {
    let both = |one: &str, other: &str| format!("{one}, {other}");
    Because::new("proxies are told to forget after the write: what they ask in between is then new")
        .other("create *", ASKED, &both(FORGET, WATCH), &both(WATCH, FORGET))
        .other("create *", ASKED, &both(FORGET, SYNC), &both(SYNC, FORGET))
}

fn told_in_vain() -> Because {
    let because = Because::new("nothing was changed, so there is nothing to forget");
    TOLD_IN_VAIN.iter().fold(because, |because, call| {
        because.real(call, ASKED, &format!("{FORGET}*")).real_alone(&format!("{call}: {FORGET} of *"))
    })
}

fn renamed() -> Because {
    let why = "proxies also forget the collection by its id: they may know it by an alias";
    ["rename films", "rename notes back", "rename notes into another database"].iter().fold(
        Because::new(why),
        |because, call| {
            because
                .other(call, ASKED, FORGET, &format!("{FORGET}, {FORGET}"))
                .ours_alone(&format!("{call}: {FORGET} of <collection *>"))
        },
    )
}

fn repeated() -> Because {
    let limit = "max number of collection has reached the limit: *";
    let repeated = "create db2, repeated as by a proxy";
    let last = "create again the last that fits";
    let notes = "create notes again";
    Because::new("the repetition of what was carried out succeeds, and its proxies are told once more")
        .real(repeated, "code", "65535")
        .real(repeated, "error_code", "UnexpectedError")
        .real(repeated, "reason", "database already exist: db2")
        .real(repeated, "detail", "database already exist: db2")
        .real(last, "code", "102")
        .real(last, "error_code", "UnexpectedError")
        .real(last, "reason", limit)
        .real(last, "detail", limit)
        .ours(last, ASKED, FORGET)
        .ours_alone(&format!("{last}: {FORGET} of last"))
        .ours(notes, ASKED, FORGET)
        .ours_alone(&format!("{notes}: {FORGET} of notes"))
}

fn altered() -> Because {
    let altered = "alter *: DataCoord/BroadcastAlteredCollection of *";
    Because::new(
        "datacoord gets all properties, by which it replaces those that it knows, and the ids of the \
         partitions without as many zeros before them",
    )
    .other(altered, "partitionIDs[*]", "0", "<partition *>")
    .real(altered, "partitionIDs[*]", "<partition *>")
    .ours(altered, "properties[*].*", "*")
}

fn refused() -> Because {
    let alias = "create an alias that a proxy refuses";
    Because::new("a proxy that refuses is asked after the write, which holds then; all names are tried")
        .other(alias, ASKED, FORGET, &format!("{FORGET}, {FORGET}"))
        .ours_alone(&format!("{alias}: {FORGET} of books"))
        .real("drop keyed, which a proxy refused", ASKED, FORGET)
        .real_alone(&format!("drop keyed, which a proxy refused: {FORGET} of *"))
}

fn undone() -> Because {
    let collection = "create unwatched, which datacoord refuses";
    let partition = "create a partition that querycoord refuses";
    let described = "describe what datacoord refused";
    let ours = "collection not found[database=default][collection=unwatched]";
    Because::new("what was never finished has no name, and no proxy has seen it")
        .other(collection, ASKED, &format!("{FORGET}, {WATCH}"), WATCH)
        .real_alone(&format!("{collection}: {FORGET} of unwatched"))
        .other(partition, ASKED, &format!("{FORGET}, {SYNC}"), SYNC)
        .real_alone(&format!("{partition}: {FORGET} of <collection books>"))
        .other(described, "status.reason", "collection not found[collection=<collection unwatched>]", ours)
        .other(described, "status.detail", "collection not found[collection=<collection unwatched>]", ours)
}

fn by_alias_without_a_database() -> Because {
    let call = "drop by alias without a database";
    Because::new("no database means the default one here, too: the real one drops the collection")
        .ours(call, "code", "65535")
        .ours(call, "error_code", "UnexpectedError")
        .ours(call, "reason", "cannot drop the collection via alias = doom")
        .ours(call, "detail", "cannot drop the collection via alias = doom")
        .real(call, ASKED, FORGET)
        .real_alone(&format!("{call}: {FORGET} of <collection doomed>"))
        .ours("drop doomed", ASKED, FORGET)
        .ours_alone(&format!("drop doomed: {FORGET} of <collection doomed>"))
}

fn relayed() -> Because {
    let told = "forget *: Proxy/InvalidateCollectionMetaCache of *";
    let both = "forget a collection and its name";
    Because::new("it is told to proxies as its own wish, name and id one after the other")
        .real(told, "base.msgID", "5")
        .other(told, "base.sourceID", "9", "1")
        .ours(told, "base.sourceID", "1")
        .ours(told, "base.targetID", "103")
        .ours(told, "base.timestamp", "now")
        .other(both, ASKED, FORGET, &format!("{FORGET}, {FORGET}"))
        .real_alone(&format!("{both}: {FORGET} of films 9"))
        .ours_alone(&format!("{both}: {FORGET} of films"))
        .ours_alone(&format!("{both}: {FORGET} of 9"))
}

fn receiver() -> Because {
    Because::new("every request names its receiver").ours(&format!("*: {SYNC} of *"), "base.targetID", "102")
}

fn words() -> Because {
    let schema = "create with a schema that is none";
    let json = "metrics asked for *";
    let real = "failed to decode the request: *";
    // In front of the second word Go has a space, or one that does not break, by chance of its build.
    let proto = "proto:*cannot parse invalid wire-format data";
    Because::new("the words of the libraries that decode protobuf and JSON")
        .other(schema, "reason", proto, &format!("{proto}: *"))
        .other(schema, "detail", proto, &format!("{proto}: *"))
        .other(json, "status.reason", real, real)
        .other(json, "status.detail", real, real)
}

fn silent_proxy() -> Because {
    Because::new("health that is bad has a reason").ours(
        "health, with a proxy that does not answer",
        "reasons[0]",
        "Proxy=103 not healthy: *",
    )
}

fn itself() -> Because {
    Because::new("another program, that began at another time")
        .other("metrics", "response.self.*_time", "*", "*")
        // Of the processor both may use as much, of memory never.
        .other("metrics", "response.self.hardware_infos.*_usage", "*", "*")
        .other("metrics", "response.self.system_info.*", "*", "*")
}

fn settings() -> Because {
    Because::new("secrets are not shown; each has settings and ports of its own")
        .other("settings", "configuations[minio*key*].value", "minioadmin", "******")
        .other("settings", "configuations[rootcoord.port].value", "*", "*")
        .real("settings", "configuations[commonmetricsport].*", "*")
        .real("settings", "configuations[localstorage*path].*", "*")
        .ours("settings", "configuations[commonactivestandby*].*", "*")
}
