//! What stands in etcd and what the instances answered, made into rows.
//!
//! Who is ACTIVE, the ACTIVE key says. The word of the instance itself fills in what the
//! key can't know: that its holder does not serve yet, or no longer.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use milvus_proto::{
    common::StateCode,
    milvus::ComponentInfo,
    peer::{Phase, StatusResponse},
};

use super::{
    ask::Answer,
    sessions::{COORDINATORS, Instance, software},
    table::Row,
};
use crate::{election::session::Kind, ids::Revision};

/// How an instance's lease stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lease {
    /// The key has none.
    Missing,
    /// Etcd has it no longer.
    Over,
    /// It lives so long if nobody renews it.
    Left(Duration),
    /// Etcd could not be asked.
    Unknown(String),
}

/// All that is known of an instance.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    /// In etcd.
    pub(super) instance: Instance,
    /// By itself, or why not.
    pub(super) answer: Result<Answer, String>,
    /// Of its key.
    pub(super) lease: Lease,
}

/// What is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// One for each instance, in their order.
    pub(super) rows: Vec<Row>,
    /// One for each role without an ACTIVE instance that answers.
    pub(super) troubles: Vec<String>,
}

/// A word of the state column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Active,
    Standby,
    Other(&'static str),
}

impl Word {
    fn text(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Standby => "STANDBY",
            Self::Other(word) => word,
        }
    }

    fn of_phase(phase: Phase) -> Self {
        match phase {
            Phase::Active => Self::Active,
            Phase::Standby => Self::Standby,
            Phase::WaitingForEtcd => Self::Other("WAITING"),
            Phase::Activating => Self::Other("ACTIVATING"),
            Phase::Suspended => Self::Other("SUSPENDED"),
            Phase::Leaving => Self::Other("LEAVING"),
            Phase::Unspecified => Self::Other("UNKNOWN"),
        }
    }

    fn of_code(code: StateCode) -> Self {
        match code {
            StateCode::Healthy => Self::Active,
            StateCode::StandBy => Self::Standby,
            StateCode::Initializing => Self::Other("ACTIVATING"),
            StateCode::Abnormal => Self::Other("ABNORMAL"),
            StateCode::Stopping => Self::Other("LEAVING"),
        }
    }
}

/// What an instance says of itself, in the words of the tables and lines.
pub(super) fn phase_word(phase: Phase) -> &'static str {
    Word::of_phase(phase).text()
}

/// The same for a real coordinator of Milvus.
pub(super) fn code_word(code: StateCode) -> &'static str {
    Word::of_code(code).text()
}

impl Seen {
    /// Its own word, if it is the instance that was meant.
    fn own_word(&self) -> Result<Word, String> {
        let Ok(session) = &self.instance.session else { return Err(String::new()) };
        let (id, role, word) = match self.answer.as_ref().map_err(Clone::clone)? {
            Answer::Own(StatusResponse { server_id, role, phase, .. }) => {
                let phase = Phase::try_from(*phase).unwrap_or(Phase::Unspecified);
                (*server_id, role.as_str(), Word::of_phase(phase))
            }
            Answer::Foreign(ComponentInfo { node_id, role, state_code, .. }) => {
                let code = StateCode::try_from(*state_code).unwrap_or(StateCode::Abnormal);
                (*node_id, role.as_str(), Word::of_code(code))
            }
        };
        if !serves_as(role, self.instance.role) {
            return Err(format!("a {role} answers at its address"));
        }
        if id != session.server_id {
            return Err(match id {
                ..=0 => "an instance without a server id answers at its address".to_owned(),
                id => format!("another instance (server id {id}) answers at its address"),
            });
        }
        Ok(word)
    }

    /// The key and the instance disagree, as they do for a moment while the key changes hands.
    pub(super) fn contradicts_itself(&self) -> bool {
        matches!(
            (self.instance.epoch, self.own_word()),
            (Some(_), Ok(Word::Standby)) | (None, Ok(Word::Active))
        )
    }

    /// It holds the ACTIVE key, and says that it serves.
    fn is_serving(&self) -> bool {
        self.instance.epoch.is_some() && self.own_word() == Ok(Word::Active)
    }

    fn row(&self, at: Revision, zone: &TimeZone) -> Row {
        let by_key = if self.instance.epoch.is_some() { Word::Active } else { Word::Standby };
        let mut troubles = Vec::new();
        let own_word = self.own_word();
        let word = match (&self.instance.session, &own_word) {
            (Err(error), _) => {
                troubles.push(format!(
                    "the value of {} is no session ({error}); delete the key if its writer is gone",
                    self.instance.key
                ));
                Word::Other("UNREADABLE")
            }
            (Ok(_), Err(reason)) => {
                troubles.push(reason.clone());
                by_key
            }
            (Ok(_), Ok(word @ Word::Other(_))) => *word,
            (Ok(_), Ok(word)) => {
                if *word != by_key {
                    troubles.push(format!("it says of itself that it is {}", word.text()));
                }
                by_key
            }
        };
        let lease_left_s = match &self.lease {
            Lease::Left(left) => Some(i64::try_from(left.as_secs()).unwrap_or(i64::MAX)),
            Lease::Over => Some(0),
            Lease::Missing => {
                troubles.push(format!(
                    "{} is bound to no lease: it stays when the process is gone",
                    self.instance.key
                ));
                None
            }
            Lease::Unknown(reason) => {
                troubles.push(format!("its lease is not known: {reason}"));
                None
            }
        };
        let status = match (&own_word, &self.answer) {
            (Ok(_), Ok(Answer::Own(status))) => Some(status),
            _ => None,
        };
        let active_since_ms = status.map(|status| status.active_since_ms).filter(|ms| *ms > 0);
        let session = self.instance.session.as_ref().ok();
        Row {
            role: self.instance.role.to_owned(),
            state: word.text().to_owned(),
            server_id: session.map(|session| session.server_id),
            address: session.map(|session| session.address.clone()),
            software: session.map(software),
            priority: session.filter(|session| session.kind() == Kind::Own).map(|own| own.priority),
            active_since_ms,
            active_since: active_since_ms.and_then(|ms| local_time(ms, zone)),
            epoch: self.instance.epoch.map(|epoch| epoch.0),
            lease_left_s,
            lag_revisions: status.and_then(|status| lag(status, at)),
            paused: None,
            error: (!troubles.is_empty()).then(|| troubles.join("; ")),
        }
    }
}

/// Whether a process that calls itself `answered` serves as `role`. Some don't say.
fn serves_as(answered: &str, role: &str) -> bool {
    answered.is_empty() || answered == role || (role == "indexcoord" && answered == "datacoord")
}

/// `at` is a revision that etcd had before the instance was asked: one that is cut off
/// does not know how far behind it is.
pub(super) fn lag(status: &StatusResponse, at: Revision) -> Option<i64> {
    let newest = status.etcd_revision.max(at.0);
    (status.mirror_revision > 0).then(|| newest.saturating_sub(status.mirror_revision).max(0))
}

/// `2026-11-21 01:32:17`.
pub(super) fn local_time(unix_millis: i64, zone: &TimeZone) -> Option<String> {
    let at = Timestamp::from_millisecond(unix_millis).ok()?;
    Some(at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// Rows and troubles. `at`: the revision of what was read of etcd. `place`: where that stood.
pub(super) fn report(seen: &[Seen], at: Revision, place: &str, zone: &TimeZone) -> Report {
    let rows = seen.iter().map(|seen| seen.row(at, zone)).collect();
    let mut troubles: Vec<String> = COORDINATORS
        .into_iter()
        .filter_map(|role| {
            let mut of_role = seen.iter().filter(|seen| seen.instance.role == role).peekable();
            of_role.peek()?;
            let Some(holder) = of_role.find(|seen| seen.instance.epoch.is_some()) else {
                return Some(format!("{role}: nobody is ACTIVE"));
            };
            if holder.is_serving() {
                return None;
            }
            Some(match (&holder.instance.session, holder.own_word()) {
                (Err(_), _) => format!("{role}: nobody can tell who is ACTIVE"),
                (Ok(_), Err(_)) => format!("{role}: the ACTIVE one does not answer"),
                (Ok(_), Ok(_)) => format!("{role}: the ACTIVE one does not serve"),
            })
        })
        .collect();
    if seen.is_empty() {
        troubles.push(format!(
            "no coordinator has a session below {place}: none runs, or etcd.rootPath and \
             etcd.metaSubPath are not those of the cluster"
        ));
    }
    Report { rows, troubles }
}

#[cfg(test)]
mod tests;
