//! Where etcd is and how to get in. Checked as a whole before the first connection,
//! so that a wrong value is an error at start and not a warning at three in the morning.

use std::{fmt, path::PathBuf, time::Duration};

use http::{Uri, uri::Scheme};

/// The port of an endpoint that names none.
const DEFAULT_PORT: u16 = 2379;

/// Where etcd is and how to get in.
#[derive(Clone)]
pub struct EtcdSettings {
    /// `host:port` of each member, with or without `http://` or `https://`. A host may
    /// be a name that can't be looked up yet.
    pub endpoints: Vec<String>,
    /// Encrypts the connections.
    pub tls: Option<TlsSettings>,
    /// User and password.
    pub auth: Option<(String, String)>,
    /// How long one attempt to reach one member may take, from the look-up of its
    /// name to the end of the TLS handshake.
    pub connect_timeout: Duration,
    /// After how long without an answer a read is asked of another member as well.
    pub hedge_after: Duration,
}

impl EtcdSettings {
    /// Without TLS and user, with ordinary times.
    pub fn new<S: Into<String>>(endpoints: impl IntoIterator<Item = S>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            tls: None,
            auth: None,
            connect_timeout: Duration::from_secs(1),
            hedge_after: Duration::from_millis(250),
        }
    }
}

impl fmt::Debug for EtcdSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdSettings")
            .field("endpoints", &self.endpoints)
            .field("tls", &self.tls)
            .field("user", &self.auth.as_ref().map(|(user, _)| user))
            .field("connect_timeout", &self.connect_timeout)
            .field("hedge_after", &self.hedge_after)
            .finish_non_exhaustive()
    }
}

/// Encryption, and who vouches for whom.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// The authority of the servers' certificates.
    pub ca: Pem,
    /// This process's certificate; goes with `key`.
    pub cert: Option<Pem>,
    /// The key of `cert`.
    pub key: Option<Pem>,
    /// The oldest version to speak.
    pub min_version: TlsVersion,
}

/// A version of TLS. Older ones than these nobody should speak; a setting of 1.0 or
/// 1.1 is met by 1.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2
    V1_2,
    /// 1.3
    #[default]
    V1_3,
}

/// Something in PEM format. A file is read anew for each connection, so renewed
/// certificates need no restart.
#[derive(Clone)]
pub enum Pem {
    /// The text itself.
    Text(String),
    /// A file with it.
    File(PathBuf),
}

impl From<String> for Pem {
    /// A text if it looks like one, else the name of a file.
    fn from(text_or_path: String) -> Self {
        if text_or_path.contains("-----BEGIN") {
            Self::Text(text_or_path)
        } else {
            Self::File(text_or_path.into())
        }
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("(text)"),
            Self::File(path) => path.fmt(f),
        }
    }
}

/// Settings with which etcd can't be reached, ever.
#[derive(Debug, thiserror::Error)]
pub enum BadSettings {
    /// An endpoint isn't one.
    #[error("etcd endpoint {endpoint:?}: {problem}")]
    Endpoint {
        /// As it was given, without a login.
        endpoint: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// No endpoint at all.
    #[error("no etcd endpoint")]
    NoEndpoint,
    /// Certificates or keys can't be used.
    #[error("etcd TLS: {what}")]
    Tls {
        /// Which, and why not.
        what: String,
        /// The cause, if there is one beyond that.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

/// One member's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Name or address; of an IPv6 address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Endpoint {
    /// Reads `host:port`, with or without a scheme, which must then agree with `tls`.
    pub(crate) fn parse(text: &str, tls: bool) -> Result<Self, BadSettings> {
        // Whoever writes a login into the address shall not find it in a log.
        let shown = text.rsplit('@').next().unwrap_or_default();
        let bad = |problem| BadSettings::Endpoint { endpoint: shown.to_owned(), problem };
        let plain = text.trim().trim_end_matches('/');
        let uri: Uri = plain.parse().map_err(|_| bad("not host:port or a URL"))?;
        if uri.path_and_query().is_some_and(|rest| rest.as_str() != "/") {
            return Err(bad("has a path"));
        }
        match uri.scheme() {
            None => {}
            Some(scheme) if *scheme == Scheme::HTTP && tls => {
                return Err(bad("says http, but TLS is enabled"));
            }
            Some(scheme) if *scheme == Scheme::HTTPS && !tls => {
                return Err(bad("says https, but TLS is not enabled"));
            }
            Some(scheme) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS => {}
            Some(_) => return Err(bad("neither http nor https")),
        }
        let host = uri.host().unwrap_or_default();
        let rest = uri.authority().map_or("", |authority| authority.as_str());
        match (rest.strip_prefix(host), uri.port_u16()) {
            (Some(""), None) | (Some(_), Some(_)) => {}
            _ => return Err(bad("not host:port or a URL")),
        }
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err(bad("has no host"));
        }
        Ok(Self { host: host.to_owned(), port: uri.port_u16().unwrap_or(DEFAULT_PORT) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, tls: bool, expected: &str) {
        let seen = match Endpoint::parse(text, tls) {
            Ok(endpoint) => endpoint.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(seen, expected);
    }

    #[test]
    fn endpoints_come_in_many_forms() {
        check("localhost:2379", false, "localhost:2379");
        check(" http://etcd-0.etcd:2380/ ", false, "etcd-0.etcd:2380");
        check("https://10.0.0.1:1", true, "10.0.0.1:1");
        check("etcd", true, "etcd:2379");
        check("[::1]:2379", false, "[::1]:2379");
        check("http://[fd00::1]", false, "[fd00::1]:2379");
    }

    #[test]
    fn wrong_endpoints_are_named() {
        check("", false, r#"etcd endpoint "": not host:port or a URL"#);
        check("http://a/b", false, r#"etcd endpoint "http://a/b": has a path"#);
        check("https://a", false, r#"etcd endpoint "https://a": says https, but TLS is not enabled"#);
        check("http://a", true, r#"etcd endpoint "http://a": says http, but TLS is enabled"#);
        check("unix://a", false, r#"etcd endpoint "unix://a": neither http nor https"#);
        check("root:pw@a:1", false, r#"etcd endpoint "a:1": not host:port or a URL"#);
        check("a:99999", false, r#"etcd endpoint "a:99999": not host:port or a URL"#);
    }

    #[test]
    fn secrets_stay_out_of_debug_output() {
        let mut settings = EtcdSettings::new(["a:1"]);
        settings.auth = Some(("root".to_owned(), "s3cret".to_owned()));
        settings.tls = Some(TlsSettings {
            ca: Pem::from("/etc/ca.pem".to_owned()),
            cert: None,
            key: Some(Pem::from("-----BEGIN PRIVATE KEY-----\ns3cret".to_owned())),
            min_version: TlsVersion::default(),
        });
        let text = format!("{settings:?}");
        assert!(text.contains("root") && text.contains("/etc/ca.pem") && !text.contains("s3cret"), "{text}");
    }
}
