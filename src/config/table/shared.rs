//! Keys that do not belong to one role.

use super::{
    super::kind::{Kind, Unit, Value},
    Item, item,
};

pub(super) const BYTES: Kind = Kind::Number { least: 1, most: i32::MAX as i64 };

fn endpoints(value: &Value) -> Result<(), &'static str> {
    let Value::List(endpoints) = value else { return Ok(()) };
    if endpoints.is_empty() {
        return Err("must not be empty");
    }
    for endpoint in endpoints {
        let address = ["http://", "https://"].iter().find_map(|scheme| endpoint.strip_prefix(scheme));
        let address = address.unwrap_or(endpoint);
        if address.contains('@') {
            return Err("must not contain a user; use etcd.auth.userName and etcd.auth.password");
        }
        let valid = address.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty()
                && port.parse::<u16>().is_ok_and(|port| port > 0)
                && !host.contains(|c: char| c.is_whitespace() || c == '/')
        });
        if !valid {
            return Err("must be `host:port`, or several separated by commas without blanks");
        }
    }
    Ok(())
}

fn off(value: &Value) -> Result<(), &'static str> {
    match value {
        Value::Flag(true) => Err("must be false: an embedded etcd exists in Milvus standalone only"),
        _ => Ok(()),
    }
}

/// Etcd.
pub(super) static STORE: &[Item] = &[
    item("etcd.endpoints", "localhost:2379", Kind::List, "The members of the etcd cluster, as host:port.")
        .check(endpoints),
    item("etcd.rootPath", "by-dev", Kind::Name, "What all keys of this Milvus cluster begin with."),
    item("etcd.metaSubPath", "meta", Kind::Name, "Below rootPath: sessions and metadata."),
    item("etcd.kvSubPath", "kv", Kind::Name, "Below rootPath: the windows of timestamps and ids."),
    item(
        "etcd.requestTimeout",
        "10000",
        Kind::Time { unit: Unit::Millis, least: 1, most: 600_000 },
        "How long one request to etcd may take.",
    ),
    item("etcd.ssl.enabled", "false", Kind::Flag, "Whether to speak TLS with etcd."),
    item("etcd.ssl.tlsCert", "", Kind::Text, "The own certificate, a PEM file. Needed if etcd asks for one."),
    item("etcd.ssl.tlsKey", "", Kind::Text, "The private key of tlsCert, a PEM file."),
    item(
        "etcd.ssl.tlsCACert",
        "",
        Kind::Text,
        "The authorities that may sign etcd's certificate, a PEM file. Without it the system's count.",
    ),
    item(
        "etcd.ssl.tlsMinVersion",
        "1.3",
        Kind::Choice(&["1.0", "1.1", "1.2", "1.3"]),
        "The oldest TLS version to accept. 1.0 and 1.1 mean 1.2 here: nothing older is offered.",
    ),
    item(
        "etcd.use.embed",
        "false",
        Kind::Flag,
        "Must be false: an embedded etcd exists in Milvus standalone only.",
    )
    .check(off),
    item("etcd.auth.enabled", "false", Kind::Flag, "Whether to log in to etcd with userName and password."),
    item("etcd.auth.userName", "", Kind::Text, "The etcd user."),
    item("etcd.auth.password", "", Kind::Text, "The etcd user's password.").secret(),
    item("metastore.type", "etcd", Kind::Choice(&["etcd"]), "Where metadata lives. TiKV is not supported."),
];

fn queue_kind(value: &Value) -> Result<(), &'static str> {
    match value {
        Value::Text(kind) if ["default", "pulsar", "kafka"].contains(&kind.as_str()) => Ok(()),
        Value::Text(kind) if ["rocksmq", "natsmq"].contains(&kind.as_str()) => {
            Err("must be pulsar or kafka: rocksmq and natsmq exist in Milvus standalone only")
        }
        _ => Err("must be default, pulsar or kafka"),
    }
}

/// The message queue.
pub(super) static QUEUE: &[Item] = &[
    item(
        "mq.type",
        "default",
        Kind::Text,
        "Which message queue the cluster uses: pulsar, kafka or default. default: pulsar if \
         pulsar.address is set, else kafka if kafka.brokerList is set, else none yet. rocksmq and \
         natsmq exist in Milvus standalone only.",
    )
    .check(queue_kind),
    item(
        "pulsar.address",
        "",
        Kind::Text,
        "Pulsar's host, or the whole URL (pulsar://host:port, pulsar+ssl://host:port, several hosts \
         separated by commas). Milvus ships localhost in its file.",
    ),
    item(
        "pulsar.port",
        "6650",
        Kind::Number { least: 0, most: 65535 },
        "Pulsar's port, if pulsar.address is only a host.",
    ),
    item("pulsar.tenant", "public", Kind::Name, "The tenant of the topics."),
    item("pulsar.namespace", "default", Kind::Name, "The namespace of the topics, within the tenant."),
    item(
        "pulsar.authPlugin",
        "",
        Kind::Text,
        "How to log in to Pulsar. Empty: not at all. token, or \
         org.apache.pulsar.client.impl.auth.AuthenticationToken: with a token.",
    ),
    item(
        "pulsar.authParams",
        "",
        Kind::Text,
        "What the plugin needs: token:THE-TOKEN, or file:/path of a file that holds it and is read at \
         each connection.",
    )
    .secret(),
    item(
        "pulsar.tlsTrustCertsFilePath",
        "",
        Kind::Text,
        "With pulsar+ssl: the authorities that may sign Pulsar's certificate, a PEM file, beside those of \
         the public web. Without it the system's. Milvus's own processes do not read this key. The \
         certificate must be for the host of the address, which Milvus does not check.",
    ),
    item(
        "pulsar.maxMessageSize",
        "5242880",
        BYTES,
        "The largest message in bytes that is sent. Pulsar's own limit must be at least this.",
    )
    .empty_is_default(),
    item(
        "pulsar.requestTimeout",
        "60",
        Kind::Time { unit: Unit::Seconds, least: 1, most: 3600 },
        "How long Pulsar may take for an answer, if that is less than the 3 seconds that are waited at \
         most.",
    )
    .empty_is_default(),
    item(
        "kafka.brokerList",
        "",
        Kind::Text,
        "Kafka's brokers: host:port, separated by commas. Options of librdkafka can stand below \
         kafka.producer, such as kafka.producer.ssl.ca.location.",
    ),
    item("kafka.saslUsername", "", Kind::Text, "As whom to log in to Kafka; with kafka.saslPassword only."),
    item("kafka.saslPassword", "", Kind::Text, "The password for that; with kafka.saslUsername only.")
        .secret(),
    item(
        "kafka.saslMechanisms",
        "PLAIN",
        Kind::Choice(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]),
        "How the password is proved.",
    )
    .empty_is_default(),
    item(
        "kafka.securityProtocol",
        "SASL_SSL",
        Kind::Choice(&["SASL_SSL", "SASL_PLAINTEXT", "SSL", "PLAINTEXT"]),
        "Whether logging in to Kafka is encrypted. Without a user it does not count.",
    )
    .empty_is_default(),
];

/// The log.
pub(super) static LOG: &[Item] = &[
    item(
        "log.level",
        "info",
        Kind::Choice(&["debug", "info", "warn", "error", "dpanic", "panic", "fatal"]),
        "From which level on lines are written. Can be changed at run time over HTTP: PUT /log/level.",
    )
    .empty_is_default(),
    item("log.format", "text", Kind::Choice(&["text", "json"]), "How a line looks: Milvus's text, or JSON.")
        .empty_is_default(),
    item("log.stdout", "true", Kind::Flag, "Whether to write to standard output."),
    item("log.file.rootPath", "", Kind::Text, "The folder for log files; empty: none are written."),
    item(
        "log.file.maxSize",
        "300",
        Kind::Number { least: 1, most: 1_000_000 },
        "Megabytes after which a new log file begins.",
    ),
    item(
        "log.file.maxAge",
        "10",
        Kind::Number { least: 0, most: 100_000 },
        "Days after which an old log file is removed; 0: never.",
    ),
    item(
        "log.file.maxBackups",
        "20",
        Kind::Number { least: 0, most: 100_000 },
        "How many old log files are kept; 0: all.",
    ),
];

/// Servers and clients of all roles.
pub(super) static GRPC: &[Item] = &[
    item(
        "grpc.serverMaxSendSize",
        "536870912",
        BYTES,
        "The largest answer in bytes, for roles that set none.",
    )
    .empty_is_default(),
    item(
        "grpc.serverMaxRecvSize",
        "268435456",
        BYTES,
        "The largest request in bytes, for roles that set none.",
    )
    .empty_is_default(),
    item(
        "grpc.clientMaxSendSize",
        "268435456",
        BYTES,
        "The largest request in bytes to roles that set none.",
    )
    .empty_is_default(),
    item(
        "grpc.clientMaxRecvSize",
        "536870912",
        BYTES,
        "The largest answer in bytes from roles that set none.",
    )
    .empty_is_default(),
    item(
        "grpc.gracefulStopTimeout",
        "10",
        Kind::Time { unit: Unit::Seconds, least: 0, most: 3600 },
        "How long a stop waits for calls that are under way.",
    )
    .live(),
    item(
        "grpc.client.dialTimeout",
        "200",
        Kind::Time { unit: Unit::Millis, least: 1, most: 600_000 },
        "How long connecting to another component may take.",
    )
    .empty_is_default(),
    item(
        "grpc.client.keepAliveTime",
        "10000",
        Kind::Time { unit: Unit::Millis, least: 1, most: 86_400_000 },
        "After how much silence a connection is tested by a ping.",
    )
    .empty_is_default(),
    item(
        "grpc.client.keepAliveTimeout",
        "20000",
        Kind::Time { unit: Unit::Millis, least: 1, most: 86_400_000 },
        "How long to wait for the answer to a ping before the connection is given up.",
    )
    .empty_is_default(),
    item(
        "grpc.client.maxMaxAttempts",
        "10",
        Kind::Number { least: 1, most: 1000 },
        "How often a call to another component is tried.",
    )
    .empty_is_default(),
    item(
        "grpc.client.initialBackoff",
        "0.2",
        Kind::Time { unit: Unit::Seconds, least: 0, most: 3600 },
        "The pause after the first failed attempt; it grows with each further one.",
    )
    .empty_is_default(),
    item(
        "grpc.client.maxBackoff",
        "10",
        Kind::Time { unit: Unit::Seconds, least: 0, most: 3600 },
        "The longest pause between two attempts.",
    )
    .empty_is_default(),
    item("grpc.client.compressionEnabled", "false", Kind::Flag, "Whether requests are compressed with zstd.")
        .empty_is_default(),
];

macro_rules! channel {
    ($name:literal, $default:literal, $kind:expr, $doc:literal) => {
        [
            item(concat!("common.chanNamePrefix.", $name), $default, $kind, $doc),
            item(concat!("msgChannel.chanNamePrefix.", $name), $default, $kind, $doc)
                .fallbacks(&[concat!("common.chanNamePrefix.", $name)]),
        ]
    };
}

const CLUSTER: [Item; 2] = channel!(
    "cluster",
    "by-dev",
    Kind::Name,
    "What topic names begin with; also the cluster's name in calls between components, so it must be the same in all."
);
const TIME_TICK: [Item; 2] = channel!(
    "rootCoordTimeTick",
    "rootcoord-timetick",
    Kind::Text,
    "The rest of the name of rootcoord's time tick channel."
);
const STATISTICS: [Item; 2] = channel!(
    "rootCoordStatistics",
    "rootcoord-statistics",
    Kind::Text,
    "The rest of the name of rootcoord's statistics channel."
);

const DML: [Item; 2] = channel!(
    "rootCoordDml",
    "rootcoord-dml",
    Kind::Text,
    "The rest of the name of the channels that carry the data of collections, before their number."
);

/// What all roles of a cluster share.
pub(super) static COMMON: &[Item] = &[
    CLUSTER[0].forbidden(),
    TIME_TICK[0],
    STATISTICS[0],
    DML[0],
    CLUSTER[1].forbidden(),
    TIME_TICK[1],
    STATISTICS[1],
    DML[1],
    item(
        "common.preCreatedTopic.enabled",
        "false",
        Kind::Flag,
        "Whether the topics of preCreatedTopic.names are used, and no others.",
    ),
    item(
        "common.preCreatedTopic.names",
        "",
        Kind::List,
        "The topics that carry the data of collections, if somebody else makes them.",
    ),
    item("common.defaultPartitionName", "_default", Kind::Name, "The partition that every collection has.")
        .forbidden(),
    item(
        "common.ttMsgEnabled",
        "true",
        Kind::Flag,
        "Whether rootcoord sends time ticks and the messages of drops. Off in a cluster that only replays another.",
    ),
    item(
        "builtinRoles.enable",
        "false",
        Kind::Flag,
        "Whether the roles of builtinRoles.roles are made and can not be dropped.",
    ),
    item(
        "builtinRoles.roles",
        "",
        Kind::Text,
        "The roles as JSON: by name, each with its privileges (object_type, object_name, privilege, db_name).",
    ),
    item(
        "quotaAndLimits.limits.maxCollectionNum",
        "65536",
        Kind::Number { least: 0, most: i64::MAX },
        "How many collections there may be.",
    ),
    item(
        "quotaAndLimits.limits.maxCollectionNumPerDB",
        "65536",
        Kind::Number { least: 0, most: i64::MAX },
        "How many of them in one database.",
    ),
    item(
        "common.session.ttl",
        "30",
        Kind::Time { unit: Unit::Seconds, least: 0, most: 86_400 },
        "The lease of Milvus's own processes. Coordinators of this kind use activeStandby.leaseSeconds.",
    ),
    item(
        "common.session.retryTimes",
        "30",
        Kind::Number { least: 1, most: 1_000_000 },
        "How many rounds an instance without active-standby waits for the one that holds its role.",
    ),
];
