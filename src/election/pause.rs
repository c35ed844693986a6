//! A pause of automatic takeover, as an operator writes it into etcd for the time of
//! his work.
//!
//! It stands under a lease of its own length, so that etcd removes one that was
//! forgotten. Each instance also ends it by its own clock: whichever comes first.
//! Nothing that is safe depends on a pause; it only makes takeovers fewer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::UnixNanos;

/// The longest pause.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What the pause's key holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Unix milliseconds of its beginning.
    pub since_ms: u64,
    /// Unix milliseconds of its end.
    pub until_ms: u64,
    /// In the operator's words; may be empty.
    #[serde(default)]
    pub reason: String,
    /// Who asked for it: user and host, as far as they are known.
    #[serde(default)]
    pub by: String,
}

impl Pause {
    /// The bytes of the key's value.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a struct of strings and numbers is always JSON")
    }

    /// Reads a key's value.
    ///
    /// # Errors
    /// If it is no JSON object of this shape.
    pub fn decode(value: &[u8]) -> Result<Self, serde_json::Error> {
        // Serde would take an array for a struct, too.
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(value)?;
        serde_json::from_value(object.into())
    }

    /// How much of it is left at `now`. A clock that is behind makes it no longer than it was meant
    /// to be, and nothing makes it longer than [`LONGEST`].
    pub fn left(&self, now: UnixNanos) -> Duration {
        let length = self.until_ms.saturating_sub(self.since_ms);
        let left = self.until_ms.saturating_sub(now.millis());
        Duration::from_millis(left.min(length)).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour() -> Pause {
        Pause { since_ms: 1_000_000, until_ms: 4_600_000, reason: "new kernel".into(), by: "root@a".into() }
    }

    fn at_ms(ms: u64) -> UnixNanos {
        UnixNanos(ms * 1_000_000)
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Pause::decode(&hour().encode()).unwrap(), hour());
        let bare = br#"{"since_ms":1,"until_ms":2,"added later":true}"#;
        assert_eq!(Pause::decode(bare).unwrap(), Pause { since_ms: 1, until_ms: 2, ..Pause::default() });
    }

    #[test]
    fn garbage_is_an_error() {
        for garbage in ["", "{", "[1,2]", "{}", "\u{fffd}", r#"{"since_ms":-1,"until_ms":2}"#] {
            assert!(Pause::decode(garbage.as_bytes()).is_err(), "{garbage}");
        }
    }

    #[test]
    fn no_clock_and_no_value_make_it_longer_than_it_may_be() {
        assert_eq!(hour().left(at_ms(1_000_000)), Duration::from_secs(3600));
        assert_eq!(hour().left(at_ms(4_000_000)), Duration::from_secs(600));
        assert_eq!(hour().left(at_ms(9_000_000)), Duration::ZERO);
        assert_eq!(hour().left(at_ms(0)), Duration::from_secs(3600));
        let forever = Pause { until_ms: u64::MAX, ..hour() };
        assert_eq!(forever.left(at_ms(1_000_000)), LONGEST);
        let backwards = Pause { since_ms: 5_000_000, ..hour() };
        assert_eq!(backwards.left(at_ms(1_000_000)), Duration::ZERO);
    }
}
