//! What must not be seen: in logs, errors, answers, debug output.

use std::fmt;

use super::{key::squeeze, table};

/// What stands in the place of a secret.
pub const MASK: &str = "******";

/// Words that mark the name of a key or variable as secret, in squeezed form.
const MARKS: [&str; 13] = [
    "secret",
    "password",
    "passwd",
    "passphrase",
    "accesskey",
    "authparams",
    "token",
    "credential",
    "jaasconfig",
    "apikey",
    "privatekey",
    "sslkeypem",
    "sslcertificatepem",
];

/// A text that is never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Whether the value of that key must stay hidden, judged by the table and by its name.
pub(crate) fn is_secret(key: &str) -> bool {
    let squeezed = squeeze(key);
    table::by_name(&squeezed).is_some_and(|known| known.item.secret)
        || MARKS.iter().any(|mark| squeezed.contains(mark))
}

/// The value as it may be shown: nothing of a secret, and URLs without their user part.
pub(crate) fn shown(key: &str, value: &str) -> String {
    if value.is_empty() {
        String::new()
    } else if is_secret(key) {
        MASK.into()
    } else {
        without_users(value)
    }
}

/// `scheme://user:password@host` becomes `scheme://******@host`, wherever it stands.
fn without_users(value: &str) -> String {
    let mut shown = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = after.find(['/', ',', ' ', '?', '#']).unwrap_or(after.len());
        rest = match after[..end].rfind('@') {
            Some(user_end) => {
                shown.push_str(MASK);
                &after[user_end..]
            }
            None => after,
        };
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_table_and_by_name() {
        for key in [
            "etcd.auth.password",
            "minio.secretAccessKey",
            "minio.accessKeyID",
            "MINIO_ACCESS_KEY_ID",
            "kafka.saslPassword",
            "kafka.producer.sasl.jaas.config",
            "pulsar.authParams",
            "LOG_SHIPPER_TOKEN",
        ] {
            assert_eq!(shown(key, "hunter2"), MASK, "{key}");
        }
        assert_eq!(shown("etcd.endpoints", "a:2379,b:2379"), "a:2379,b:2379");
        assert_eq!(shown("etcd.auth.password", ""), "");
    }

    #[test]
    fn urls_lose_their_user() {
        assert_eq!(
            shown("pulsar.address", "pulsar://me:hunter2@a:1,pulsar://b:2/x@y"),
            "pulsar://******@a:1,pulsar://b:2/x@y"
        );
        assert_eq!(shown("trace.jaeger.url", "http://u:p@q@h/x"), "http://******@h/x");
        assert_eq!(shown("trace.jaeger.url", "://@"), "://******@");
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), MASK);
    }
}
