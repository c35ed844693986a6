use std::{path::PathBuf, time::Duration};

use crate::config::{reader::Reader, secret::Secret};

/// How Pulsar is reached and written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PulsarSettings {
    /// `pulsar://host:port` or `pulsar+ssl://host:port`, all of one kind, without users. Never empty.
    pub urls: Vec<String>,
    /// The tenant of the topics.
    pub tenant: String,
    /// Their namespace.
    pub namespace: String,
    /// How to log in; `None`: not at all.
    pub login: Option<PulsarLogin>,
    /// The authorities that count beside the public ones, a PEM file; `None`: the system's.
    pub trusted: Option<PathBuf>,
    /// Larger messages are not sent.
    pub max_message: usize,
    /// How long an answer may take.
    pub request_timeout: Duration,
}

/// A login at Pulsar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PulsarLogin {
    /// With this token.
    Token(Secret),
    /// With the token that this file holds whenever a connection is made.
    TokenFile(PathBuf),
}

impl Default for PulsarSettings {
    /// Those of a broker on this machine, as it is installed.
    fn default() -> Self {
        Self {
            urls: vec!["pulsar://localhost:6650".into()],
            tenant: "public".into(),
            namespace: "default".into(),
            login: None,
            trusted: None,
            max_message: 5 << 20,
            request_timeout: Duration::from_secs(60),
        }
    }
}

impl PulsarSettings {
    /// `None`: no address is set, or `asked` says that another queue is used. What is wrong
    /// with a queue that is not used is no problem.
    pub(super) fn read(reader: &mut Reader<'_>, asked: bool) -> Option<Self> {
        let address = reader.text("pulsar.address");
        let port: u16 = reader.number("pulsar.port");
        let [tenant, namespace, plugin, trusted] =
            ["pulsar.tenant", "pulsar.namespace", "pulsar.authPlugin", "pulsar.tlsTrustCertsFilePath"]
                .map(|key| reader.text(key));
        let params = reader.secret("pulsar.authParams");
        let max_message = reader.number::<i32>("pulsar.maxMessageSize");
        let request_timeout = reader.time("pulsar.requestTimeout");
        if address.is_empty() || !asked {
            return None;
        }
        let login = match login(&plugin, &params) {
            Ok(login) => login,
            Err((key, what)) => {
                reader.refuse(key, what);
                None
            }
        };
        let urls = urls(&address, port).unwrap_or_else(|what| {
            reader.refuse("pulsar.address", what);
            Self::default().urls
        });
        Some(Self {
            urls,
            tenant,
            namespace,
            login,
            trusted: Some(trusted).filter(|path| !path.is_empty()).map(PathBuf::from),
            max_message: usize::try_from(max_message).unwrap_or_default(),
            request_timeout,
        })
    }

    /// Where it is looked for, as errors name it: `host:port`, separated by commas.
    pub fn address(&self) -> String {
        let hosts = self.urls.iter().map(|url| url.split_once("://").map_or(url.as_str(), |(_, host)| host));
        hosts.collect::<Vec<_>>().join(",")
    }

    /// Whether connections are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.urls.iter().any(|url| url.starts_with(ENCRYPTED))
    }
}

const PLAIN: &str = "pulsar://";
const ENCRYPTED: &str = "pulsar+ssl://";

/// Reads the address as Milvus does: what has a colon is a whole URL.
fn urls(address: &str, port: u16) -> Result<Vec<String>, &'static str> {
    let whole = if address.contains(':') { address.to_owned() } else { format!("{PLAIN}{address}:{port}") };
    let (scheme, default_port, hosts) = if let Some(hosts) = whole.strip_prefix(PLAIN) {
        (PLAIN, 6650, hosts)
    } else if let Some(hosts) = whole.strip_prefix(ENCRYPTED) {
        (ENCRYPTED, 6651, hosts)
    } else {
        return Err("must be a host, or begin with pulsar:// or pulsar+ssl://");
    };
    // Nobody logs in by a user here; Milvus passes it over, too.
    let hosts = hosts.rsplit_once('@').map_or(hosts, |(_, hosts)| hosts);
    let hosts = hosts.strip_suffix('/').unwrap_or(hosts);
    let url = |host: &str| {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => (name, port.parse().ok().filter(|port| *port > 0)),
            _ => (host, Some(default_port)),
        };
        let odd = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#');
        match port {
            Some(port) if !name.is_empty() && !name.contains(odd) => Ok(format!("{scheme}{name}:{port}")),
            _ => Err("must be a host, or a URL such as pulsar://host:6650, or several hosts as in \
                      pulsar://a:6650,b:6650"),
        }
    };
    hosts.split(',').map(url).collect()
}

/// The login, or which key does not fit.
fn login(plugin: &str, params: &Secret) -> Result<Option<PulsarLogin>, (&'static str, &'static str)> {
    match plugin {
        "" => return Ok(None),
        "token" | "org.apache.pulsar.client.impl.auth.AuthenticationToken" => {}
        _ => return Err(("pulsar.authPlugin", "must be token, or empty: other logins are not spoken here")),
    }
    // As in Milvus, what does not have one colon does not count.
    let value = |wanted: &str| {
        let mut params = params.expose().split(',').map(|param| param.split(':').collect::<Vec<_>>());
        params.find_map(|param| match param[..] {
            [name, value] if name == wanted && !value.is_empty() => Some(value.to_owned()),
            _ => None,
        })
    };
    match (value("token"), value("file")) {
        (Some(token), _) => Ok(Some(PulsarLogin::Token(Secret::new(token)))),
        (None, Some(path)) => Ok(Some(PulsarLogin::TokenFile(path.into()))),
        (None, None) => Err((
            "pulsar.authParams",
            "must be token:THE-TOKEN or file:/path, because pulsar.authPlugin is set",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_or_a_url() {
        for (address, expected) in [
            ("localhost", &["pulsar://localhost:7000"][..]),
            ("pulsar://host:6650", &["pulsar://host:6650"]),
            ("pulsar://host", &["pulsar://host:6650"]),
            ("pulsar://host:6650/", &["pulsar://host:6650"]),
            ("pulsar+ssl://host", &["pulsar+ssl://host:6651"]),
            ("pulsar+ssl://a:1,b:2", &["pulsar+ssl://a:1", "pulsar+ssl://b:2"]),
            ("pulsar://me:hunter2@a:1", &["pulsar://a:1"]),
            ("pulsar://[::1]:6650", &["pulsar://[::1]:6650"]),
            ("pulsar://[::1]", &["pulsar://[::1]:6650"]),
        ] {
            assert_eq!(
                urls(address, 7000).as_deref(),
                Ok(expected.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>().as_slice()),
                "{address}"
            );
        }
        for address in [
            "host:6650",
            "http://host:8080",
            "pulsar://",
            "pulsar://a:x",
            "pulsar://a:1,,b:2",
            "pulsar://a b:1",
        ] {
            assert!(urls(address, 7000).is_err(), "{address}");
        }
    }

    #[test]
    fn a_login_is_a_token_or_a_file_with_one() {
        let token = |token: &str| Ok(Some(PulsarLogin::Token(Secret::new(token))));
        let login = |plugin: &str, params: &str| login(plugin, &Secret::new(params));
        assert_eq!(login("", "token:x"), Ok(None));
        assert_eq!(login("token", "token:a.b-c"), token("a.b-c"));
        assert_eq!(
            login("org.apache.pulsar.client.impl.auth.AuthenticationToken", "x:y:z,token:t"),
            token("t")
        );
        assert_eq!(login("token", "file:/run/token"), Ok(Some(PulsarLogin::TokenFile("/run/token".into()))));
        assert_eq!(login("token", "t").unwrap_err().0, "pulsar.authParams");
        assert_eq!(login("tls", "").unwrap_err().0, "pulsar.authPlugin");
    }
}
