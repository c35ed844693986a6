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

/// `scheme://user:password@host` becomes `scheme://******@host`, and likewise without a
/// scheme. A password may hold commas and slashes, so rather too much is masked than too little.
fn without_users(value: &str) -> String {
    let masked = |part: &str| match part.rfind('@') {
        Some(user_end) => format!("{MASK}{}", &part[user_end..]),
        None => part.to_owned(),
    };
    match value.split_once("://") {
        Some((scheme, rest)) => {
            let rest: Vec<_> = rest.split("://").map(masked).collect();
            format!("{scheme}://{}", rest.join("://"))
        }
        None if value.find(':') < value.rfind('@') && value.contains(':') => masked(value),
        None => value.to_owned(),
    }
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
        for (value, as_shown) in [
            ("pulsar://me:hunter2@a:1,pulsar://b:2", "pulsar://******@a:1,pulsar://b:2"),
            ("http://u:p@q@h/x", "http://******@h/x"),
            ("http://u:a,b/c@h", "http://******@h"),
            ("u:hunter2@e:1", "******@e:1"),
            ("://@", "://******@"),
            ("a:1,b:2", "a:1,b:2"),
            ("a@b", "a@b"),
            ("a@b:1", "a@b:1"),
        ] {
            assert_eq!(shown("pulsar.address", value), as_shown);
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), MASK);
    }
}
