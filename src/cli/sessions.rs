//! The coordinators' sessions, as they stand in etcd.
//!
//! An instance of a pair has a key of its own, `<role>-<id>`, and while it is ACTIVE the
//! role's key `<role>` with the same value. Without active-standby it has only the latter.

use std::time::Duration;

use crate::{
    election::session::{Kind, Session},
    etcd::{Etcd, call::CallError, keys::Keys, txn::KeyValue},
    ids::{Epoch, LeaseId, Revision, ServerId},
};

/// The coordinators that may have sessions, in the order in which they are shown.
/// `indexcoord` is datacoord's process under the name that clients of 2.2 look for.
pub(super) const COORDINATORS: [&str; 4] = ["rootcoord", "datacoord", "querycoord", "indexcoord"];

/// One instance of a coordinator; or one key that no instance can be read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instance {
    /// One of [`COORDINATORS`].
    pub(super) role: &'static str,
    /// Where it was read: its own key, or the role's.
    pub(super) key: String,
    /// The value, or what is wrong with it.
    pub(super) session: Result<Session, String>,
    /// Its term, if it holds the ACTIVE key.
    pub(super) epoch: Option<Epoch>,
    /// The lease that counts: that of the ACTIVE key if it holds it.
    pub(super) lease: LeaseId,
}

impl Instance {
    fn new(role: &'static str, kv: &KeyValue, active: bool) -> Self {
        Self {
            role,
            key: kv.key.clone(),
            session: Session::decode(&kv.value).map_err(|error| error.to_string()),
            epoch: active.then_some(Epoch(kv.mod_revision.0)),
            lease: kv.lease,
        }
    }

    /// The id that its session names.
    pub(super) fn server_id(&self) -> Option<ServerId> {
        self.session.as_ref().ok().map(|session| ServerId(session.server_id))
    }

    /// Which implementation wrote its session. What can't be read can't be asked either.
    pub(super) fn kind(&self) -> Kind {
        self.session.as_ref().map_or(Kind::Foreign, Session::kind)
    }

    fn is_process_of(&self, other: &Self) -> bool {
        match (&self.session, &other.session) {
            (Ok(own), Ok(their)) => own.peer() == their.peer(),
            _ => false,
        }
    }
}

/// What wrote a session: `milvus-coord/<version>`, or `milvus/<version>` for the real one.
pub(super) fn software(session: &Session) -> String {
    match session.coord.as_str() {
        "" => format!("milvus/{}", session.version),
        coord => coord.to_owned(),
    }
}

/// All of them at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sessions {
    /// The revision.
    pub(super) at: Revision,
    /// By role in the order of [`COORDINATORS`]; in a role the ACTIVE one first, then by id.
    pub(super) instances: Vec<Instance>,
}

impl Sessions {
    /// Reads them.
    pub(super) async fn read(etcd: &Etcd, keys: &Keys, limit: Duration) -> Result<Self, CallError> {
        let range = keys.sessions();
        let listed = etcd.list(&range, limit).await?;
        Ok(Self::of(&range.start, &listed.value, listed.header.revision))
    }

    /// Those among `entries`, which are what stands below `prefix` at that revision.
    pub(super) fn of(prefix: &str, entries: &[KeyValue], at: Revision) -> Self {
        let name = |kv: &KeyValue| kv.key.strip_prefix(prefix).map(str::to_owned);
        let mut instances = Vec::new();
        for role in COORDINATORS {
            let own = format!("{role}-");
            let mut found: Vec<Instance> = entries
                .iter()
                .filter(|kv| name(kv).is_some_and(|name| name.starts_with(&own)))
                .map(|kv| Instance::new(role, kv, false))
                .collect();
            if let Some(kv) = entries.iter().find(|kv| name(kv).as_deref() == Some(role)) {
                let holder = Instance::new(role, kv, true);
                match found.iter_mut().find(|instance| instance.is_process_of(&holder)) {
                    Some(instance) => {
                        instance.epoch = holder.epoch;
                        instance.lease = holder.lease;
                    }
                    None => found.push(holder),
                }
            }
            found.sort_by_key(|instance| {
                (instance.epoch.is_none(), instance.session.is_err(), instance.server_id())
            });
            instances.extend(found);
        }
        Self { at, instances }
    }

    /// Who holds the role's ACTIVE key.
    pub(super) fn holder(&self, role: &str) -> Option<&Instance> {
        self.of_role(role).find(|instance| instance.epoch.is_some())
    }

    /// Everybody else of the role.
    pub(super) fn others(&self, role: &str) -> impl Iterator<Item = &Instance> {
        self.of_role(role).filter(|instance| instance.epoch.is_none())
    }

    fn of_role(&self, role: &str) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(move |instance| instance.role == role)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cli::testing;

    pub(in crate::cli) const PREFIX: &str = "by-dev/meta/session/";

    pub(in crate::cli) fn own_session(id: i64) -> Session {
        testing::own_session(id, format!("10.0.0.{id}:53100"))
    }

    pub(in crate::cli) fn milvus_session(id: i64) -> Session {
        testing::milvus_session(id, format!("10.0.0.{id}:53100"))
    }

    pub(in crate::cli) fn entry(name: &str, value: &[u8], revision: i64, lease: i64) -> KeyValue {
        KeyValue {
            key: format!("{PREFIX}{name}"),
            value: value.to_vec(),
            create_revision: Revision(revision),
            mod_revision: Revision(revision),
            lease: LeaseId(lease),
        }
    }

    /// Role, id, epoch and lease of each, in order.
    #[track_caller]
    fn check(entries: &[KeyValue], expected: &[(&str, Option<i64>, Option<i64>, i64)]) {
        let sessions = Sessions::of(PREFIX, entries, Revision(100));
        let seen: Vec<_> = sessions
            .instances
            .iter()
            .map(|found| {
                let id = found.server_id().map(|id| id.0);
                (found.role, id, found.epoch.map(|epoch| epoch.0), found.lease.0)
            })
            .collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn an_instance_and_its_active_key_are_one() {
        check(
            &[
                entry("id", b"13", 9, 0),
                entry("proxy-2", &milvus_session(2).encode(), 10, 2),
                // Its own key was put anew under a later lease; the ACTIVE key's counts.
                entry("rootcoord", &own_session(12).encode(), 61, 12),
                entry("rootcoord-12", &own_session(12).encode(), 70, 22),
                entry("rootcoord-7", &own_session(7).encode(), 20, 7),
                entry("rootcoord-9", &own_session(9).encode(), 30, 9),
            ],
            &[
                ("rootcoord", Some(12), Some(61), 12),
                ("rootcoord", Some(7), None, 7),
                ("rootcoord", Some(9), None, 9),
            ],
        );
    }

    #[test]
    fn without_active_standby_there_is_the_active_key_alone() {
        check(
            &[entry("rootcoord", &milvus_session(3).encode(), 5, 3)],
            &[("rootcoord", Some(3), Some(5), 3)],
        );
    }

    #[test]
    fn a_process_that_came_back_to_the_address_is_another_instance() {
        let back = Session { server_id: 8, ..own_session(3) };
        check(
            &[entry("rootcoord", &own_session(3).encode(), 5, 3), entry("rootcoord-8", &back.encode(), 7, 8)],
            &[("rootcoord", Some(3), Some(5), 3), ("rootcoord", Some(8), None, 8)],
        );
    }

    #[test]
    fn what_can_not_be_read_is_kept_with_its_reason() {
        let entries = [
            entry("datacoord-4", b"{", 4, 4),
            entry("querycoord", b"\xff", 6, 6),
            entry("querycoord-5", &own_session(5).encode(), 5, 5),
            entry("indexcoord", &milvus_session(1).encode(), 7, 1),
        ];
        check(
            &entries,
            &[
                ("datacoord", None, None, 4),
                ("querycoord", None, Some(6), 6),
                ("querycoord", Some(5), None, 5),
                ("indexcoord", Some(1), Some(7), 1),
            ],
        );
        let sessions = Sessions::of(PREFIX, &entries, Revision(8));
        assert!(sessions.holder("querycoord").unwrap().session.is_err());
        assert_eq!(sessions.holder("datacoord"), None);
        assert_eq!(sessions.others("querycoord").count(), 1);
    }
}
