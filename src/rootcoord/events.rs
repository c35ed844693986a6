//! What rootcoord tells operators: one function per happening, which writes its log
//! line and counts its metric. Milvus's own lines have its words and fields.

mod term;

use std::{fmt, time::Duration};

pub use self::term::TermEvents;
use jiff::{Timestamp as Instant, tz::TimeZone};
use tracing::{error, info, warn};

use crate::{
    clock::UnixNanos,
    ids::Epoch,
    rootcoord::{
        catalog::{Catalog, Undecodable},
        ddl::{Outcome, Request},
        failure::Failure,
    },
    telemetry::{
        events::{Events, Reloaded},
        log::GoDuration,
        metrics::{self, RootCoordMetrics},
    },
    tso::{
        hybrid::Timestamp,
        ids::NoIds,
        timestamps::NoTimestamp,
        window::{BadWindow, Span},
    },
};

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident $verb:literal,)*) => {
        /// A method about the schema, as log and metrics call it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Method {
            $(#[doc = $verb] $name,)*
        }

        impl Method {
            fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            fn verb(self) -> &'static str {
                match self {
                    $(Self::$name => $verb,)*
                }
            }
        }
    };
}

methods! {
    CreateDatabase "create database",
    DropDatabase "drop database",
    ListDatabases "list databases",
    CreateCollection "create collection",
    DropCollection "drop collection",
    AlterCollection "alter collection",
    RenameCollection "rename collection",
    HasCollection "has collection",
    DescribeCollection "describe collection",
    ShowCollections "show collections",
    CreatePartition "create partition",
    DropPartition "drop partition",
    HasPartition "has partition",
    ShowPartitions "show partitions",
    CreateAlias "create alias",
    AlterAlias "alter alias",
    DropAlias "drop alias",
    DescribeAlias "describe alias",
    ListAliases "list aliases",
}

/// A change of the schema that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    method: Method,
    database: String,
    /// A collection, partition or alias in it.
    name: Option<String>,
    message: i64,
}

impl Asked {
    /// `message`: the message id of the request.
    pub fn of(request: &Request, message: i64) -> Self {
        let (database, name) = request.subject();
        Self {
            method: request.method(),
            database: database.to_owned(),
            name: name.map(str::to_owned),
            message,
        }
    }
}

/// Tells what happens to rootcoord, in every phase.
#[derive(Clone, Debug)]
pub struct RootCoordEvents(Events);

impl RootCoordEvents {
    /// Through `events`.
    pub fn new(events: Events) -> Self {
        Self(events)
    }

    fn metrics(&self) -> &RootCoordMetrics {
        &self.0.metrics().rootcoord
    }

    /// A value in etcd can't be decoded.
    pub fn undecodable(&self, key: &str, undecodable: &Undecodable) {
        self.0.undecodable_value(key, undecodable.at, undecodable);
    }

    /// The catalog is another than before.
    pub fn catalog_changed(&self, catalog: &Catalog) {
        self.metrics().database_num.set(count(catalog.databases().count()));
        self.metrics().collection_num.set(count(catalog.created_collections()));
        self.0.metrics().pair.undecodable_values.set(count(catalog.undecodable().count()));
    }

    /// A window can't be continued; the next term won't serve.
    pub fn window_unusable(&self, error: &BadWindow) {
        error!(error = %error, "the stored window can not be continued and is left as it is");
    }

    /// The wall clock is too far ahead of what is stored, and is not followed.
    pub fn lead_refused(&self, key: &str, span: &Span, lead: Duration) {
        warn!(
            key,
            ahead = %GoDuration(lead),
            next = %Wall(span.start),
            "the wall clock is too far ahead of the stored window and is not followed; if it is right \
             because the cluster was down that long, stop all rootcoords, delete the key and start again"
        );
    }

    /// The windows of timestamps and of ids, in this order, are those of the own term.
    pub fn windows_taken_over(&self, kv_root: &str, windows: [(&str, &Span); 2]) {
        for (key, span) in windows {
            info!(key, save = %Wall(span.end), next = %Wall(span.start), "sync and save timestamp");
        }
        self.metrics().timestamp_saved.set(seconds(windows[0].1.end));
        self.metrics().clock_lead.set(0.0);
        self.0.allocators_initialized(kv_root);
    }

    /// The catalog is complete, so long after its activation began.
    pub fn reloaded(&self, catalog: &Catalog, took: Duration) {
        let found = Reloaded {
            databases: catalog.databases().count(),
            collections: catalog.created_collections(),
            partitions: catalog.created_partitions(),
        };
        self.0.meta_reloaded(found, took);
        self.metrics().collection_num.set(count(found.collections));
        self.metrics().partition_num.set(count(found.partitions));
        self.catalog_changed(catalog);
    }

    /// Timestamps were given out.
    pub fn timestamps_given(&self, first: Timestamp) {
        self.metrics().timestamp.set(first.0 as f64);
    }

    /// There were none to give out.
    pub fn no_timestamps(&self, error: &NoTimestamp) {
        if *error == NoTimestamp::UsedUp {
            error!(role = "rootcoord", error = %error, "failed to allocate timestamp");
        }
    }

    /// There were none to give out.
    pub fn no_ids(&self, error: &NoIds) {
        if *error == NoIds::UsedUp {
            error!(role = "rootcoord", error = %error, "failed to allocate id");
        }
    }

    /// Ids were given out.
    pub fn ids_given(&self, count: u32) {
        self.metrics().id_alloc_count.inc_by(count.into());
    }

    /// A change is asked for.
    pub fn received(&self, asked: &Asked) {
        let Asked { method, database, name, message } = asked;
        self.metrics().ddl_received(method.name());
        let verb = method.verb();
        match name {
            Some(name) => {
                info!(
                    role = "rootcoord",
                    dbName = database,
                    name,
                    msgID = message,
                    "received request to {verb}"
                );
            }
            None => {
                info!(role = "rootcoord", dbName = database, msgID = message, "received request to {verb}")
            }
        }
    }

    /// What became of it, so long after it came in.
    pub fn changed(&self, asked: &Asked, outcome: &Outcome, took: Duration) {
        let Asked { method, database, name, message } = asked;
        self.metrics().ddl_waited(method.name(), outcome.waited);
        let verb = method.verb();
        match (&outcome.result, name) {
            (Ok(Timestamp(ts)), Some(name)) => {
                info!(role = "rootcoord", dbName = database, name, msgID = message, ts, "done to {verb}");
            }
            (Ok(Timestamp(ts)), None) => {
                info!(role = "rootcoord", dbName = database, msgID = message, ts, "done to {verb}");
            }
            (Err(error), Some(name)) => {
                info!(role = "rootcoord", %error, dbName = database, name, msgID = message, "failed to {verb}");
            }
            (Err(error), None) => {
                info!(role = "rootcoord", %error, dbName = database, msgID = message, "failed to {verb}");
            }
        }
        self.done(*method, outcome.result.is_ok(), took);
    }

    /// A question was answered, or why not. In the log is only the latter, as in Milvus.
    pub fn read(&self, method: Method, message: i64, failure: Option<&Failure>, took: Duration) {
        self.metrics().ddl_received(method.name());
        if let Some(error) = failure {
            info!(%error, msgID = message, "failed to {}", method.verb());
        }
        self.done(method, failure.is_none(), took);
    }

    /// ListDatabases came in.
    pub fn listing(&self, message: i64) {
        self.metrics().ddl_received(Method::ListDatabases.name());
        info!(msgID = message, "received request to list databases");
    }

    /// ListDatabases ended.
    pub fn listed(&self, message: i64, result: Result<usize, &Failure>, took: Duration) {
        match result {
            Ok(count) => {
                info!(msgID = message, "num of databases" = count, "done to list databases");
                self.done(Method::ListDatabases, true, took);
            }
            Err(failure) => {
                info!(msgID = message, error = %failure, "failed to list databases");
                self.done(Method::ListDatabases, false, took);
            }
        }
    }

    fn done(&self, method: Method, success: bool, took: Duration) {
        let outcome = if success { metrics::Outcome::Success } else { metrics::Outcome::Fail };
        self.metrics().ddl_done(method.name(), outcome, took);
    }

    /// The same within a term.
    pub fn of_term(&self, epoch: Epoch, timestamp_key: String) -> TermEvents {
        TermEvents { events: self.clone(), epoch, timestamp_key }
    }
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn seconds(time: UnixNanos) -> f64 {
    Duration::from_nanos(time.0).as_secs_f64()
}

/// A time as Milvus's log writes it.
struct Wall(UnixNanos);

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Instant::from_nanosecond(self.0.0.into()) {
            Ok(time) => {
                let time = time.to_zoned(TimeZone::system());
                write!(f, "{}", time.strftime("%Y/%m/%d %H:%M:%S%.3f %:z"))
            }
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        etcd::store::WriteError,
        ids::{CollectionId, Role},
        rootcoord::{
            ddl::{DdlWitness, Note as DdlNote},
            error::DdlError,
            model::State,
        },
        telemetry::{
            log::LogLevel,
            metrics::Metrics,
            testing::{Stopped, lines_of},
        },
        tso::{follow::ClockWitness, keeper::Witness},
    };

    fn events() -> RootCoordEvents {
        RootCoordEvents::new(Events::new(Role::RootCoord, Metrics::new(Role::RootCoord, &Stopped)))
    }

    #[test]
    fn calls_about_databases_leave_milvuss_lines() {
        let events = events();
        let outcome = |result| Outcome { result, waited: Duration::ZERO };
        let took = Duration::from_millis(2);
        let lines = lines_of(LogLevel::Info, || {
            let asked = Asked::of(&Request::CreateDatabase { name: "books".to_owned(), id: None }, 7);
            events.received(&asked);
            events.changed(&asked, &outcome(Ok(Timestamp(99))), took);
            let asked = Asked::of(&Request::DropDatabase { name: "default".to_owned() }, 8);
            events.received(&asked);
            events.changed(&asked, &outcome(Err(DdlError::IsDefaultDatabase.into())), took);
            events.listing(9);
            events.listed(9, Ok(2), took);
        });
        assert_eq!(
            lines,
            [
                r#"[INFO] ["received request to create database"] [role=rootcoord] [dbName=books] [msgID=7]"#,
                r#"[INFO] ["done to create database"] [role=rootcoord] [dbName=books] [msgID=7] [ts=99]"#,
                r#"[INFO] ["received request to drop database"] [role=rootcoord] [dbName=default] [msgID=8]"#,
                r#"[INFO] ["failed to drop database"] [role=rootcoord] [error="can not drop default database"] [dbName=default] [msgID=8]"#,
                r#"[INFO] ["received request to list databases"] [msgID=9]"#,
                r#"[INFO] ["done to list databases"] [msgID=9] ["num of databases"=2]"#,
            ]
        );
    }

    #[test]
    fn trouble_with_time_leaves_milvuss_lines() {
        let term = events().of_term(Epoch(5), "by-dev/kv/gid/timestamp".to_owned());
        let lines = lines_of(LogLevel::Info, || {
            term.clock_offset(Duration::from_millis(200));
            let refusal = crate::etcd::call::Refusal::NoSpace;
            term.failed("by-dev/kv/gid/timestamp", &WriteError::Refused(refusal));
        });
        assert_eq!(
            lines,
            [
                r#"[WARN] ["clock offset is huge, check network latency and clock skew"] [jet-lag=200ms]"#,
                r#"[WARN] ["failed to update tso"] [key=by-dev/kv/gid/timestamp] [error="write refused: etcd's space quota is used up"]"#,
            ]
        );
    }

    #[test]
    fn changes_of_the_schema_leave_milvuss_lines() {
        let term = events().of_term(Epoch(5), "by-dev/kv/gid/timestamp".to_owned());
        let names = ["dml_0".to_owned(), "dml_3".to_owned()];
        let lines = lines_of(LogLevel::Info, || {
            term.noted(&DdlNote::ChannelsAdded(&names));
            term.noted(&DdlNote::CollectionState(CollectionId(7), State::Dropping, Timestamp(9)));
            term.noted(&DdlNote::ChannelsRemoved(&names));
            term.noted(&DdlNote::NoPartition("books", "p"));
        });
        assert_eq!(
            lines,
            [
                r#"[INFO] ["add dml channels"] [channels="[\"dml_0\", \"dml_3\"]"]"#,
                r#"[INFO] ["change collection state"] [collection=7] [state=CollectionDropping] [ts=9]"#,
                r#"[INFO] ["remove dml channels"] [channels="[\"dml_0\", \"dml_3\"]"]"#,
                r#"[WARN] ["drop an non-existent partition"] [collection=books] [partition=p]"#,
            ]
        );
    }

    #[test]
    fn times_look_as_in_milvuss_log() {
        let text = Wall(UnixNanos(1_800_000_000_120_000_000)).to_string();
        let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert!(["0000/00/00 00:00:00.000 +00:00", "0000/00/00 00:00:00.000 -00:00"].contains(&&*shape));
    }
}
