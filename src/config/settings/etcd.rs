use std::{path::PathBuf, time::Duration};

use crate::config::{reader::Reader, secret::Secret};

/// How etcd is reached, and where the cluster's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdSettings {
    /// `host:port`, some with `http://` or `https://` before it. Never empty.
    pub endpoints: Vec<String>,
    /// What all keys of the cluster begin with, cleaned as Go's `path.Join` does.
    pub root_path: String,
    /// Below it: sessions and metadata. Whole, without a slash at the end.
    pub meta_root: String,
    /// Below it: the windows of timestamps and ids. Whole, without a slash at the end.
    pub kv_root: String,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// `None`: plain TCP.
    pub tls: Option<EtcdTls>,
    /// `None`: no login.
    pub auth: Option<EtcdAuth>,
}

/// TLS to etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdTls {
    /// The own certificate and its private key, PEM files.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The authorities that count; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// Whether TLS 1.2 is refused too.
    pub only_tls13: bool,
}

/// The etcd user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdAuth {
    /// Its name.
    pub user: String,
    /// Its password.
    pub password: Secret,
}

impl EtcdSettings {
    /// Below which etcd holds settings: `<root>/config/<key>`. Without a slash at the end, as
    /// Milvus asks for it.
    pub fn config_prefix(&self) -> String {
        join(&self.root_path, "config")
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let root = reader.text("etcd.rootPath");
        reader.check("etcd.use.embed");
        reader.check("metastore.type");
        Self {
            endpoints: reader.list("etcd.endpoints"),
            meta_root: join(&root, &reader.text("etcd.metaSubPath")),
            kv_root: join(&root, &reader.text("etcd.kvSubPath")),
            root_path: join(&root, ""),
            request_timeout: reader.time("etcd.requestTimeout"),
            tls: EtcdTls::read(reader),
            auth: EtcdAuth::read(reader),
        }
    }
}

impl EtcdTls {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let enabled = reader.flag("etcd.ssl.enabled");
        let mut file = |key: &str| Some(reader.text(key)).filter(|path| !path.is_empty()).map(PathBuf::from);
        let (cert, key) = (file("etcd.ssl.tlsCert"), file("etcd.ssl.tlsKey"));
        let ca = file("etcd.ssl.tlsCACert");
        let only_tls13 = reader.text("etcd.ssl.tlsMinVersion") == "1.3";
        if !enabled {
            return None;
        }
        let identity = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) => {
                reader.refuse("etcd.ssl.tlsKey", "must be set, because etcd.ssl.tlsCert is");
                None
            }
            (None, Some(_)) => {
                reader.refuse("etcd.ssl.tlsCert", "must be set, because etcd.ssl.tlsKey is");
                None
            }
        };
        Some(Self { identity, ca, only_tls13 })
    }
}

impl EtcdAuth {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let enabled = reader.flag("etcd.auth.enabled");
        let auth =
            Self { user: reader.text("etcd.auth.userName"), password: reader.secret("etcd.auth.password") };
        if enabled && auth.user.is_empty() {
            reader.refuse("etcd.auth.userName", "must be set, because etcd.auth.enabled is true");
        }
        enabled.then_some(auth)
    }
}

/// Joins two parts of a key as Go's `path.Join` does: without empty parts, `.` and `..`.
fn join(first: &str, second: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in first.split('/').chain(second.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if first.starts_with('/') => {}
            _ => parts.push(part),
        }
    }
    let root = if first.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::join;

    #[test]
    fn keys_join_as_in_milvus() {
        for (first, second, joined) in [
            ("by-dev", "meta", "by-dev/meta"),
            ("by-dev/", "/meta/", "by-dev/meta"),
            ("/by-dev", "meta", "/by-dev/meta"),
            ("a//b", "./c/../d", "a/b/d"),
            ("a", "", "a"),
            ("a", "../../b", "../b"),
            ("/a", "../../b", "/b"),
        ] {
            assert_eq!(join(first, second), joined, "{first} + {second}");
        }
    }
}
