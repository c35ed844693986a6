//! Every metric of this process: name, kind, labels, meaning. The only place where they are spelt.
//!
//! Those of Milvus have Milvus's names, which dashboards depend on; latencies are in
//! milliseconds there. The process's own are called `milvus_coord_*`; they follow
//! Prometheus's habits: seconds, and `_total` for counters.

/// What a metric does over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts observations by size; the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

/// A metric with all its series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Family {
    /// As in the text that is scraped.
    pub name: &'static str,
    /// What it does.
    pub kind: Kind,
    /// Their values tell its series apart.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// Milvus's buckets for milliseconds and bytes: the powers of two from 1 to 131,072.
pub const POWERS_OF_TWO: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0,
    32768.0, 65536.0, 131_072.0,
];

/// Prometheus's own, where Milvus has set none.
pub const DEFAULT: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// For what should take milliseconds and may take a lease's time. Seconds.
pub const TAKEOVER: &[f64] = &[
    0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1,
    0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0,
];

macro_rules! families {
    ($(#[$list_doc:meta])* $list:ident: $(
        $id:ident = $kind:expr, $name:literal $labels:tt, $help:literal;
    )*) => {
        $(
            #[doc = $help]
            pub const $id: Family = Family { name: $name, kind: $kind, labels: &$labels, help: $help };
        )*
        $(#[$list_doc])*
        pub const $list: &[Family] = &[$($id),*];
    };
}

use Kind::{Counter, Gauge, Histogram};

families! {
    /// Milvus's, of every role.
    COMMON:
    NUM_NODE = Gauge, "milvus_num_node" ["node_id", "role_name"],
        "number of nodes and coordinates";
    META_OP_COUNT = Counter, "milvus_meta_op_count" ["meta_op_type", "status"],
        "count of meta operation";
    META_REQUEST_LATENCY = Histogram(POWERS_OF_TWO), "milvus_meta_request_latency" ["meta_op_type"],
        "request latency on the client side ";
    META_KV_SIZE = Histogram(POWERS_OF_TWO), "milvus_meta_kv_size" ["meta_op_type"],
        "kv size stats";
}

families! {
    /// Milvus's, of rootcoord.
    ROOTCOORD:
    PROXY_NUM = Gauge, "milvus_rootcoord_proxy_num" [],
        "number of proxy nodes managered by rootcoord";
    PRODUCE_TT_LAG = Gauge, "milvus_rootcoord_produce_tt_lag_ms" ["channel_name"],
        "now time minus tt per physical channel";
    SYNC_TIMETICK_LATENCY = Histogram(POWERS_OF_TWO), "milvus_rootcoord_sync_timetick_latency" [],
        "latency of synchronizing timetick message";
    DDL_REQ_COUNT = Counter, "milvus_rootcoord_ddl_req_count" ["function_name", "status"],
        "count of DDL operations";
    DDL_REQ_LATENCY = Histogram(POWERS_OF_TWO), "milvus_rootcoord_ddl_req_latency" ["function_name"],
        "latency of each DDL operations";
    DDL_REQ_LATENCY_IN_QUEUE = Histogram(DEFAULT), "milvus_rootcoord_ddl_req_latency_in_queue" ["function_name"],
        "latency of each DDL operations in queue";
    ID_ALLOC_COUNT = Counter, "milvus_rootcoord_id_alloc_count" [],
        "count of ID allocated";
    TIMESTAMP = Gauge, "milvus_rootcoord_timestamp" [],
        "lateste timestamp allocated in memory";
    TIMESTAMP_SAVED = Gauge, "milvus_rootcoord_timestamp_saved" [],
        "timestamp saved in meta storage";
    DATABASE_NUM = Gauge, "milvus_rootcoord_database_num" [],
        "number of database";
    COLLECTION_NUM = Gauge, "milvus_rootcoord_collection_num" [],
        "number of collections";
    PARTITION_NUM = Gauge, "milvus_rootcoord_partition_num" [],
        "number of partitions";
    DML_CHANNEL_NUM = Gauge, "milvus_rootcoord_dml_channel_num" [],
        "number of DML channels";
    MSGSTREAM_OBJ_NUM = Gauge, "milvus_rootcoord_msgstream_obj_num" [],
        "number of message streams";
    CREDENTIAL_NUM = Gauge, "milvus_rootcoord_credential_num" [],
        "number of credentials";
    NUM_OF_ROLES = Gauge, "milvus_rootcoord_num_of_roles" [],
        "The number of roles";
    TIME_TICK_DELAY = Gauge, "milvus_rootcoord_time_tick_delay" ["role_name", "node_id"],
        "The max time tick delay of flow graphs";
    QUOTA_STATES = Gauge, "milvus_rootcoord_quota_states" ["quota_states"],
        "The quota states of cluster";
    CLOCK_LEAD = Gauge, "milvus_coord_clock_lead_seconds" [],
        "by how much the wall clock is ahead of the time that timestamps follow; 0 while it is followed";
    RATE_LIMIT_RATIO = Gauge, "milvus_rootcoord_rate_limit_ratio" ["collection_id"],
        "part of the requests of a collection that is refused";
}

families! {
    /// The pair's own, of every role.
    OWN:
    PHASE = Gauge, "milvus_coord_phase" ["phase"],
        "1 for the phase that this instance is in, 0 for the others";
    EPOCH = Gauge, "milvus_coord_epoch" [],
        "mod revision of the ACTIVE key's put that began the own term; absent without a term";
    TERM_CHANGES = Counter, "milvus_coord_term_changes_total" ["change", "cause"],
        "own terms that began or ended, by cause";
    TAKEOVER_SECONDS = Histogram(TAKEOVER), "milvus_coord_takeover_seconds" ["stage"],
        "duration of each stage of a takeover; stage total: from the first stage to serving";
    PROOFS = Counter, "milvus_coord_proofs_total" ["result"],
        "reads of the ACTIVE key that should return the own epoch, by what they returned";
    PROOF_AGE = Gauge, "milvus_coord_proof_age_seconds" [],
        "age of the newest proof of the own term";
    SELF_FENCINGS = Counter, "milvus_coord_self_fencings_total" [],
        "times that a term stopped answering because proof or lease ran out";
    LEASE_LEFT = Gauge, "milvus_coord_lease_left_seconds" [],
        "for how long the own lease is surely valid by the own clock";
    LEASES_LOST = Counter, "milvus_coord_leases_lost_total" [],
        "leases of the own session that ended without having been given back";
    PAUSED = Gauge, "milvus_coord_paused" [],
        "1 while automatic takeover is paused by an operator";
    ETCD_AVAILABLE = Gauge, "milvus_coord_etcd_available" [],
        "1 while etcd answers";
    MIRROR_REVISION = Gauge, "milvus_coord_mirror_revision" [],
        "revision up to which the metadata in memory is complete";
    MIRROR_LAG = Gauge, "milvus_coord_mirror_lag_revisions" [],
        "revisions by which the metadata in memory is known to be behind etcd";
    MIRROR_RESETS = Counter, "milvus_coord_mirror_resets_total" [],
        "times that the metadata in memory was loaded anew";
    CALLS = Counter, "milvus_coord_calls_total" ["outcome"],
        "calls that were not answered at once by this instance: forwarded, held, pushed_away";
    FOREIGN_WRITES = Counter, "milvus_coord_foreign_writes_total" [],
        "changes of own metadata during an own term that somebody else made";
    DEPOSED_WRITES = Counter, "milvus_coord_deposed_writes_total" [],
        "own writes that etcd refused because the term was over";
    UNDECODABLE = Counter, "milvus_coord_undecodable_total" [],
        "values met in etcd that could not be decoded";
    UNDECODABLE_VALUES = Gauge, "milvus_coord_undecodable_values" [],
        "values in etcd that are skipped now because they cannot be decoded";
    HOOKS = Counter, "milvus_coord_hooks_total" ["hook", "end"],
        "hooks that were due, by what became of them";
    LOG_LINES_DROPPED = Counter, "milvus_coord_log_lines_dropped_total" [],
        "log lines that were lost, each destination counted";
}

families! {
    /// Of the process, as every Prometheus library names them.
    PROCESS:
    PROCESS_CPU = Counter, "process_cpu_seconds_total" [],
        "Total user and system CPU time spent in seconds.";
    PROCESS_OPEN_FDS = Gauge, "process_open_fds" [],
        "Number of open file descriptors.";
    PROCESS_MAX_FDS = Gauge, "process_max_fds" [],
        "Maximum number of open file descriptors.";
    PROCESS_VIRTUAL_MEMORY = Gauge, "process_virtual_memory_bytes" [],
        "Virtual memory size in bytes.";
    PROCESS_RESIDENT_MEMORY = Gauge, "process_resident_memory_bytes" [],
        "Resident memory size in bytes.";
    PROCESS_THREADS = Gauge, "process_threads" [],
        "Number of OS threads in the process.";
    PROCESS_START_TIME = Gauge, "process_start_time_seconds" [],
        "Start time of the process since unix epoch in seconds.";
}

/// All lists, for manuals and tests.
pub const ALL: &[&[Family]] = &[COMMON, ROOTCOORD, OWN, PROCESS];
