use crate::config::reader::Reader;

/// Which message queue the cluster uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueSettings {
    /// Pulsar, by its URL.
    Pulsar {
        /// `pulsar://host:port`, or whatever was configured with a colon in it.
        url: String,
    },
    /// Kafka.
    Kafka {
        /// `host:port`, separated by commas.
        brokers: String,
    },
}

impl QueueSettings {
    /// `None`: no queue is configured, which is no reason not to start.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let kind = reader.text("mq.type");
        let address = reader.text("pulsar.address");
        let port: u16 = reader.number("pulsar.port");
        let brokers = reader.text("kafka.brokerList");
        let pulsar = || {
            let url =
                if address.contains(':') { address.clone() } else { format!("pulsar://{address}:{port}") };
            (!address.is_empty()).then_some(Self::Pulsar { url })
        };
        let kafka = || (!brokers.is_empty()).then(|| Self::Kafka { brokers: brokers.clone() });
        match kind.as_str() {
            "pulsar" => pulsar(),
            "kafka" => kafka(),
            _ => pulsar().or_else(kafka),
        }
    }
}
