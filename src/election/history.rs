//! Past takeovers of a role, kept in etcd by each new ACTIVE one once it serves.
//!
//! One key a takeover, named by its epoch, the newest [`KEPT`] of them. Written under
//! the term's fence, with one try at a time and an end: nothing waits for it, and that
//! it could not be written is only logged.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    clock::UnixNanos,
    etcd::{
        Etcd,
        keys::Keys,
        store::{FencedStore, Write, WriteError},
        txn::{Guard, KeyValue, Op},
    },
    ids::{Epoch, Role, ServerId},
    telemetry::log::Chain,
};

/// How many takeovers are kept.
pub const KEPT: usize = 100;
/// How many old ones one transaction removes at most; etcd takes 128 operations.
const MOST_REMOVED: usize = 64;
/// For reading what there is.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// How often it is tried, and the pause between two tries.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// Why an instance became ACTIVE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The kernel said that the ACTIVE one's process was gone.
    Certain,
    /// Its stream was reset and a redial refused.
    Hint,
    /// Its key was gone.
    Silence,
    /// It handed the role over.
    HandOver,
    /// There was no ACTIVE one.
    Start,
}

impl Reason {
    /// The word in etcd and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Hint => "hint",
            Self::Silence => "silence",
            Self::HandOver => "hand-over",
            Self::Start => "start",
        }
    }
}

/// What was measured of a takeover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    /// Why.
    pub reason: Reason,
    /// From whom; an empty address where that is not known.
    pub from: Option<(ServerId, String)>,
    /// How long each stage took, as far as it took place.
    pub stages: StageTimes,
    /// From the verdict to serving.
    pub total: Duration,
}

/// How long the stages of a takeover took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageTimes {
    /// From the first news of the victim's end to the verdict.
    pub detected: Option<Duration>,
    /// Until its hold was ended.
    pub deposed: Option<Duration>,
    /// Until the key was won.
    pub won: Option<Duration>,
    /// Until the mirror had the own put.
    pub caught_up: Option<Duration>,
    /// Until the first call could be answered.
    pub serving: Option<Duration>,
}

/// An instance in a takeover.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// Its id.
    pub server_id: i64,
    /// `host:port` of its gRPC server; empty if it was not known.
    #[serde(default)]
    pub address: String,
}

/// A takeover, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Takeover {
    /// The term that it began.
    pub epoch: i64,
    /// Unix milliseconds of the moment from which the term served.
    pub at_ms: i64,
    /// A word of [`Reason`].
    pub reason: String,
    /// Who was ACTIVE before, if that is known.
    #[serde(default)]
    pub from: Option<Party>,
    /// Who is ACTIVE since.
    pub to: Party,
    /// Each stage in milliseconds.
    #[serde(default)]
    pub stages_ms: Stages,
    /// All of it in milliseconds.
    #[serde(default)]
    pub total_ms: f64,
}

/// The stages of a takeover in milliseconds; absent if it had none of that kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in StageTimes")]
pub struct Stages {
    #[serde(default)]
    pub detected: Option<f64>,
    #[serde(default)]
    pub deposed: Option<f64>,
    #[serde(default)]
    pub won: Option<f64>,
    #[serde(default)]
    pub caught_up: Option<f64>,
    #[serde(default)]
    pub serving: Option<f64>,
}

/// To the microsecond: more is noise.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

impl Takeover {
    /// The takeover that began the term of `epoch` of `to`, which serves since `at`.
    pub fn new(epoch: Epoch, to: Party, at: UnixNanos, course: Course) -> Self {
        let Course { reason, from, stages, total } = course;
        let stage = |took: Option<Duration>| took.map(millis);
        Self {
            epoch: epoch.0,
            at_ms: i64::try_from(at.millis()).unwrap_or(i64::MAX),
            reason: reason.name().to_owned(),
            from: from.map(|(id, address)| Party { server_id: id.0, address }),
            to,
            stages_ms: Stages {
                detected: stage(stages.detected),
                deposed: stage(stages.deposed),
                won: stage(stages.won),
                caught_up: stage(stages.caught_up),
                serving: stage(stages.serving),
            },
            total_ms: millis(total),
        }
    }

    /// The bytes of its key's value.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a struct of strings and finite numbers is always JSON")
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
}

/// What `entries` tell, the newest first, and how many of them tell nothing.
pub fn read(entries: &[KeyValue]) -> (Vec<Takeover>, usize) {
    let mut takeovers: Vec<Takeover> =
        entries.iter().filter_map(|kv| Takeover::decode(&kv.value).ok()).collect();
    // By time first: after a restoration of etcd revisions count from lower on.
    takeovers.sort_by_key(|takeover| std::cmp::Reverse((takeover.at_ms, takeover.epoch)));
    let unreadable = entries.len() - takeovers.len();
    (takeovers, unreadable)
}

/// The keys to remove so that one more makes [`KEPT`]: what can't be read first, then the oldest.
fn superfluous(entries: &[KeyValue]) -> Vec<String> {
    let age = |kv: &KeyValue| Takeover::decode(&kv.value).ok().map(|takeover| takeover.at_ms);
    let mut by_age: Vec<_> = entries.iter().map(|kv| (age(kv), &kv.key)).collect();
    by_age.sort();
    let many = (entries.len() + 1).saturating_sub(KEPT).min(MOST_REMOVED);
    by_age.into_iter().take(many).map(|(_, key)| key.clone()).collect()
}

/// Adds `takeover` to the history of `role`, in the term of `store`. Gives up after a few tries.
pub async fn keep(etcd: Etcd, store: FencedStore, keys: Keys, role: Role, takeover: Takeover) {
    let key = keys.takeover(role, Epoch(takeover.epoch));
    for attempt in 1..=TRIES {
        let failed = match etcd.list(&keys.takeovers(role), READ_TIMEOUT).await {
            Err(error) => Chain(&error).to_string(),
            Ok(listed) => {
                let mut ops = vec![Op::put(&*key, takeover.encode())];
                ops.extend(superfluous(&listed.value).into_iter().filter(|old| *old != key).map(Op::delete));
                let guards = vec![Guard::Absent(key.clone())];
                match store.commit(Write { guards, ops }).await {
                    // A conflict: an earlier try that had no answer was carried out.
                    Ok(_) | Err(WriteError::Deposed(_) | WriteError::Conflict { .. }) => return,
                    Err(error) => Chain(&error).to_string(),
                }
            }
        };
        if attempt == TRIES {
            tracing::warn!(error = failed, key, "the takeover could not be added to the history");
        } else {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course() -> Course {
        let ms = |millis| Some(Duration::from_micros(millis));
        Course {
            reason: Reason::Certain,
            from: Some((ServerId(7), "10.0.0.7:53100".to_owned())),
            stages: StageTimes {
                detected: ms(300),
                won: ms(1_204),
                serving: ms(2_000),
                ..Default::default()
            },
            total: Duration::from_nanos(3_204_400),
        }
    }

    fn party(id: i64) -> Party {
        Party { server_id: id, address: format!("10.0.0.{id}:53100") }
    }

    fn takeover(epoch: i64, at_ms: i64) -> Takeover {
        let at = UnixNanos(u64::try_from(at_ms).unwrap() * 1_000_000);
        Takeover::new(Epoch(epoch), party(9), at, course())
    }

    fn entry(epoch: i64, value: Vec<u8>) -> KeyValue {
        let key = Keys::new("by-dev", "meta", "kv").takeover(Role::RootCoord, Epoch(epoch));
        KeyValue { key, value, ..KeyValue::default() }
    }

    #[test]
    fn a_takeover_is_kept_in_milliseconds() {
        let kept = takeover(61, 1_795_224_737_123);
        assert_eq!(
            String::from_utf8(kept.encode()).unwrap(),
            concat!(
                r#"{"epoch":61,"at_ms":1795224737123,"reason":"certain","#,
                r#""from":{"server_id":7,"address":"10.0.0.7:53100"},"#,
                r#""to":{"server_id":9,"address":"10.0.0.9:53100"},"#,
                r#""stages_ms":{"detected":0.3,"deposed":null,"won":1.204,"caught_up":null,"serving":2.0},"#,
                r#""total_ms":3.204}"#
            )
        );
        assert_eq!(Takeover::decode(&kept.encode()).unwrap(), kept);
    }

    #[test]
    fn what_a_later_release_adds_or_leaves_out_keeps_nobody_from_reading() {
        let value = br#"{"epoch":5,"at_ms":6,"reason":"new","to":{"server_id":1},"more":[]}"#;
        let read = Takeover::decode(value).unwrap();
        assert_eq!((read.epoch, read.reason.as_str(), read.from), (5, "new", None));
    }

    #[test]
    fn the_newest_comes_first_and_garbage_is_counted() {
        let entries = [
            entry(50, takeover(50, 1_000).encode()),
            entry(51, b"[]".to_vec()),
            entry(60, takeover(60, 3_000).encode()),
            entry(52, b"\xff".to_vec()),
            // Etcd was restored: a later takeover of a lower epoch.
            entry(55, takeover(55, 4_000).encode()),
        ];
        let (takeovers, unreadable) = read(&entries);
        assert_eq!(takeovers.iter().map(|takeover| takeover.epoch).collect::<Vec<_>>(), [55, 60, 50]);
        assert_eq!(unreadable, 2);
    }

    #[test]
    fn garbage_goes_first_then_the_oldest_and_never_too_many_at_once() {
        let mut entries: Vec<_> =
            (0..98).map(|n| entry(100 + n, takeover(100 + n, 5_000 - n).encode())).collect();
        assert_eq!(superfluous(&entries), Vec::<String>::new());
        entries.push(entry(7, b"garbage".to_vec()));
        assert_eq!(superfluous(&entries), Vec::<String>::new());
        entries.push(entry(300, takeover(300, 9_000).encode()));
        assert_eq!(superfluous(&entries), [entry(7, vec![]).key]);
        entries.push(entry(301, takeover(301, 9_001).encode()));
        assert_eq!(superfluous(&entries), [entry(7, vec![]).key, entry(197, vec![]).key]);
        entries.extend((0..200).map(|n| entry(1_000 + n, vec![])));
        assert_eq!(superfluous(&entries).len(), MOST_REMOVED);
    }
}
