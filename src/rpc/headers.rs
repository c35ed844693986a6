//! The metadata by which Milvus's components and this project's own instances
//! address their calls.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::ids::{Epoch, ServerId};

/// The cluster that a call is meant for.
pub const CLUSTER: HeaderName = HeaderName::from_static("cluster");
/// The instance that a call is meant for.
pub const SERVER_ID: HeaderName = HeaderName::from_static("serverid");
/// Marks a caller as a member of the cluster.
pub const SOURCE_ID: HeaderName = HeaderName::from_static("sourceid");
/// What Milvus's members send as [`SOURCE_ID`]: base64 of `@@milvus-member@@`.
pub const MEMBER: HeaderValue = HeaderValue::from_static("QEBtaWx2dXMtbWVtYmVyQEA=");
/// Marks a call as forwarded, and names the term that it is meant for.
pub const FORWARDED: HeaderName = HeaderName::from_static("milvus-coord-forwarded");
/// How long the caller waits.
pub const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// How a call is addressed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// The cluster, if it isn't ours.
    pub foreign_cluster: Option<String>,
    /// The instance; `None` also if the value is no number.
    pub server_id: Option<ServerId>,
    /// The term for which an instance of our kind has forwarded it.
    pub forwarded: Option<Epoch>,
}

impl Address {
    /// Reads it from a call's metadata. Only first values count, as in the original.
    pub fn read(headers: &HeaderMap, own_cluster: &str) -> Self {
        let foreign_cluster = headers
            .get(CLUSTER)
            .filter(|value| !value.is_empty() && value.as_bytes() != own_cluster.as_bytes())
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let forwarded = headers
            .get(FORWARDED)
            // No term has the number 0: an unreadable mark fits nobody.
            .map(|value| Epoch(number(value).unwrap_or(0)));
        let server_id = headers.get(SERVER_ID).and_then(number).map(ServerId);
        Self { foreign_cluster, server_id, forwarded }
    }
}

fn number(value: &HeaderValue) -> Option<i64> {
    value.to_str().ok()?.parse().ok()
}

/// How long the caller waits, if it says so.
pub fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&HeaderName, &[u8])]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        map
    }

    #[test]
    fn the_cluster_must_match_if_it_is_given() {
        let foreign = |value: &[u8]| Address::read(&headers(&[(&CLUSTER, value)]), "by-dev").foreign_cluster;
        assert_eq!(foreign(b"by-dev"), None);
        assert_eq!(foreign(b""), None);
        assert_eq!(foreign(b"other"), Some("other".to_owned()));
        assert_eq!(foreign(b"by-dev2"), Some("by-dev2".to_owned()));
        assert_eq!(foreign(b"\xff"), Some("\u{fffd}".to_owned()));
        assert_eq!(Address::read(&HeaderMap::new(), "by-dev"), Address::default());
        let two = headers(&[(&CLUSTER, b"by-dev"), (&CLUSTER, b"other")]);
        assert_eq!(Address::read(&two, "by-dev").foreign_cluster, None);
    }

    #[test]
    fn ids_that_are_no_numbers_are_no_ids() {
        let id = |value: &[u8]| Address::read(&headers(&[(&SERVER_ID, value)]), "").server_id;
        assert_eq!(id(b"17"), Some(ServerId(17)));
        assert_eq!(id(b"-1"), Some(ServerId(-1)));
        for bad in [&b""[..], b"abc", b"1.5", b"99999999999999999999", b"\xff"] {
            assert_eq!(id(bad), None);
        }
    }

    #[test]
    fn an_unreadable_mark_is_a_mark() {
        let mark = |value: &[u8]| Address::read(&headers(&[(&FORWARDED, value)]), "").forwarded;
        assert_eq!(mark(b"42"), Some(Epoch(42)));
        assert_eq!(mark(b"?"), Some(Epoch(0)));
    }

    #[test]
    fn timeouts_have_units() {
        let read = |value: &str| timeout(&headers(&[(&TIMEOUT, value.as_bytes())]));
        assert_eq!(read("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(read("2M"), Some(Duration::from_secs(120)));
        assert_eq!(read("3S"), Some(Duration::from_secs(3)));
        assert_eq!(read("400m"), Some(Duration::from_millis(400)));
        assert_eq!(read("5u"), Some(Duration::from_micros(5)));
        assert_eq!(read("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for bad in ["", "S", "1", "1x", "-1S", "123456789S", "1 S", "é"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
