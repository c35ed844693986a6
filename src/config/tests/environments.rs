//! The environments that operators have.

use super::*;

/// The environment of the user guide's compose file.
#[test]
fn the_compose_environment_works() {
    let config = load(
        "",
        &[
            ("PATH", "/usr/bin"),
            ("ETCD_ENDPOINTS", "etcd:2379"),
            ("MINIO_ADDRESS", "minio:9000"),
            ("PULSAR_ADDRESS", "pulsar://pulsar:6650"),
            ("ROOT_COORD_ADDRESS", "rootcoord:53100"),
            ("ROOT_COORD_ENABLE_ACTIVE_STANDBY", "true"),
            ("METRICS_PORT", "9092"),
        ],
    );
    assert_eq!(config.settings.etcd.endpoints, ["etcd:2379"]);
    assert!(config.settings.active_standby.enabled);
    assert_eq!(config.settings.queue, Some(pulsar(&["pulsar://pulsar:6650"])));
    assert_eq!(config.settings.metrics_port, Some(9092));
    let texts: Vec<_> = config.notes.iter().map(|note| note.text.as_str()).collect();
    assert_eq!(
        texts,
        ["rootCoord.address (environment variable ROOT_COORD_ADDRESS) is ignored: coordinators find each \
          other by their sessions in etcd"]
    );
}

#[test]
fn services_of_kubernetes_do_not_become_settings() {
    let config = load(
        "",
        &[
            ("ROOTCOORD_PORT", "tcp://10.0.0.5:53100"),
            ("METRICS_PORT", "tcp://10.0.0.7:9091"),
            ("ETCD_SERVICE_HOST", "10.0.0.6"),
        ],
    );
    assert_eq!(config.settings.node.port, 53100);
    assert_eq!(config.settings.metrics_port, None);
    assert_eq!(config.notes.len(), 2);
}

fn pulsar(urls: &[&str]) -> QueueSettings {
    let urls = urls.iter().map(|url| (*url).to_owned()).collect();
    QueueSettings::Pulsar(PulsarSettings { urls, ..PulsarSettings::default() })
}

#[test]
fn the_queue_is_pulsar_before_kafka_and_none_is_no_error() {
    let queue = |pairs: &[(&str, &str)]| load("", pairs).settings.queue;
    let kafka =
        Some(QueueSettings::Kafka(KafkaSettings { brokers: "a:1,b:2".into(), ..KafkaSettings::default() }));
    let (p, k) = (("PULSAR_ADDRESS", "host"), ("KAFKA_BROKERLIST", "a:1,b:2"));
    assert_eq!(queue(&[]), None);
    assert_eq!(queue(&[p, k]), Some(pulsar(&["pulsar://host:6650"])));
    assert_eq!(queue(&[p, k, ("MQ_TYPE", "kafka")]), kafka);
    assert_eq!(queue(&[p, ("MQ_TYPE", "kafka")]), None);
    assert_eq!(queue(&[k]), kafka);
    assert_eq!(queue(&[k, ("MQ_TYPE", "pulsar")]), None);
    assert_eq!(queue(&[p, ("PULSAR_PORT", "7")]), Some(pulsar(&["pulsar://host:7"])));
    assert_eq!(
        queue(&[("PULSAR_ADDRESS", "pulsar+ssl://a:1,b:2")]),
        Some(pulsar(&["pulsar+ssl://a:1", "pulsar+ssl://b:2"]))
    );
}

#[test]
fn a_queue_that_a_cluster_can_t_use_is_refused() {
    for kind in ["rocksmq", "natsmq"] {
        let refused = refused(&format!("mq: {{type: {kind}}}\n"), &[]);
        let expected = format!(
            "milvus.yaml:1: mq.type is {kind:?}; it must be pulsar or kafka: rocksmq and natsmq exist in \
             Milvus standalone only"
        );
        assert_eq!(refused, [expected]);
    }
    // Milvus does not know it in capitals either.
    assert_eq!(
        refused("", &[("MQ_TYPE", "Kafka")]),
        ["environment variable MQ_TYPE: mq.type is \"Kafka\"; it must be default, pulsar or kafka"]
    );
}

#[test]
fn pulsar_has_a_tenant_a_login_and_certificates() {
    let file = "pulsar:\n  address: pulsar+ssl://p\n  tenant: t\n  namespace: ns\n  authPlugin: token\n  \
                authParams: token:hunter2\n  tlsTrustCertsFilePath: /ca.pem\n  maxMessageSize: 1000\n  \
                requestTimeout: 2\n  webport: 8080\n";
    let config = load(file, &[]);
    assert!(config.notes.is_empty(), "{:?}", config.notes);
    let expected = PulsarSettings {
        urls: vec!["pulsar+ssl://p:6651".into()],
        tenant: "t".into(),
        namespace: "ns".into(),
        login: Some(PulsarLogin::Token(Secret::new(SECRET))),
        trusted: Some("/ca.pem".into()),
        max_message: 1000,
        request_timeout: Duration::from_secs(2),
    };
    assert!(!format!("{:?}", config.settings.queue).contains(SECRET));
    assert_eq!(config.settings.queue, Some(QueueSettings::Pulsar(expected)));
    assert_eq!(
        refused("pulsar: {address: \"p:6650\"}\n", &[("PULSAR_AUTHPLUGIN", "athenz")]),
        [
            "environment variable PULSAR_AUTHPLUGIN: pulsar.authPlugin must be token, or empty: other logins are not spoken here",
            "milvus.yaml:1: pulsar.address must be a host, or begin with pulsar:// or pulsar+ssl://"
        ]
    );
    // Of a queue that is not used.
    load("mq: {type: kafka}\npulsar: {address: \"p:6650\"}\n", &[]);
}

#[test]
fn a_login_at_kafka_is_a_user_with_a_password() {
    let brokers = ("KAFKA_BROKERLIST", "a:1");
    let login = |pairs: &[(&str, &str)]| match load("", &[pairs, &[brokers]].concat()).settings.queue {
        Some(QueueSettings::Kafka(kafka)) => kafka.login,
        other => panic!("{other:?}"),
    };
    let (user, password) = (("KAFKA_SASLUSERNAME", "u"), ("KAFKA_SASLPASSWORD", SECRET));
    assert_eq!(login(&[("KAFKA_SECURITYPROTOCOL", "ssl")]), None);
    let expected = KafkaLogin {
        user: "u".into(),
        password: Secret::new(SECRET),
        mechanism: "PLAIN".into(),
        protocol: "SASL_SSL".into(),
    };
    assert_eq!(login(&[user, password]), Some(expected));
    assert_eq!(
        refused("", &[brokers, user]),
        ["environment variable KAFKA_SASLUSERNAME: kafka.saslUsername is set without kafka.saslPassword"]
    );
    assert_eq!(
        refused("", &[brokers, password]),
        ["environment variable KAFKA_SASLPASSWORD: kafka.saslPassword is set without kafka.saslUsername"]
    );
    // Of a queue that is not used.
    load("", &[password]);
}

#[test]
fn options_of_kafka_s_library_come_from_the_file() {
    let file = "kafka:\n  brokerList: a:1\n  producer:\n    Client.ID: me\n    sasl.jaas.config: hunter2\nkafka.producer.linger.ms: 7\n";
    let config = load(file, &[("KAFKA_PRODUCER_ACKS", "1")]);
    assert!(config.notes.is_empty(), "{:?}", config.notes);
    let Some(QueueSettings::Kafka(kafka)) = config.settings.queue else { panic!("kafka") };
    let options: Vec<_> =
        kafka.producer.iter().map(|option| (option.name.as_str(), option.value.expose())).collect();
    assert_eq!(options, [("client.id", "me"), ("linger.ms", "7"), ("sasl.jaas.config", SECRET)]);
    assert!(!format!("{kafka:?}").contains(SECRET), "{kafka:?}");
}

#[test]
fn the_session_ttl_is_said_not_to_count() {
    let notes = load("common: {session: {ttl: 60}}\n", &[]).notes;
    assert_eq!(notes.len(), 1);
    assert!(
        notes[0].text.contains("ttl = 60 (") && notes[0].text.ends_with("leaseSeconds = 5"),
        "{}",
        notes[0].text
    );
}
