//! What the mirror shows of sessions, and of the ACTIVE key above all; and of pauses.
//!
//! The observer is where the mirror's events arrive: it keeps these, passes
//! everything on to the role and whoever else listens, and publishes the newest
//! state. Changes may be skipped by readers of that state, never reordered.

use std::{collections::BTreeMap, fmt, sync::Arc};

use tokio::sync::watch;

use crate::{
    election::{
        life::Holder,
        pause::Pause,
        session::{Kind, Session},
        standing::Peer,
        verdict::Victim,
    },
    etcd::{
        keys::Keys,
        mirror::{KeyRange, MirrorEvent},
        txn::KeyValue,
    },
    ids::{Epoch, LeaseId, Revision, Role, ServerId},
};

/// A session as it stands in etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The value.
    pub session: Session,
    /// When it was last put.
    pub mod_revision: Revision,
    /// The lease that the key really has.
    pub lease: LeaseId,
}

/// The newest state of all sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Everything up to here is in it.
    pub at: Revision,
    /// Whether the watch is followed, rather than a snapshot being loaded.
    pub in_step: bool,
    /// By what follows `<meta>/session/`: `rootcoord`, `rootcoord-9`, `proxy-7`, …
    pub sessions: BTreeMap<String, Listed>,
    /// Values that are no sessions, by the same names.
    pub unreadable: BTreeMap<String, (Revision, LeaseId)>,
    /// Pauses of automatic takeover by the names of their roles, and when they were put.
    pub pauses: BTreeMap<String, (Pause, Revision)>,
}

impl Observed {
    /// Who holds the role's ACTIVE key. A value that can't be read belongs to nobody
    /// that could be asked or judged; only its end counts.
    pub fn holder(&self, role: Role) -> Option<Holder> {
        if let Some(listed) = self.sessions.get(role.name()) {
            return Some(Holder {
                victim: Victim {
                    epoch: Epoch(listed.mod_revision.0),
                    server_id: ServerId(listed.session.server_id),
                },
                kind: listed.session.kind(),
                lease: listed.lease,
                address: listed.session.address.clone(),
            });
        }
        let (revision, lease) = *self.unreadable.get(role.name())?;
        Some(Holder {
            victim: Victim { epoch: Epoch(revision.0), server_id: ServerId(-1) },
            kind: Kind::Foreign,
            lease,
            address: String::new(),
        })
    }

    /// The session behind the ACTIVE key.
    pub fn active(&self, role: Role) -> Option<&Listed> {
        self.sessions.get(role.name())
    }

    /// All instances of the role with a session of their own, ACTIVE or not.
    pub fn instances(&self, role: Role) -> impl Iterator<Item = &Listed> {
        let prefix = format!("{role}-");
        self.sessions
            .range(prefix.clone()..)
            .take_while(move |(name, _)| name.starts_with(&prefix))
            .map(|(_, listed)| listed)
    }

    /// All proxies, each with its id and internal address.
    pub fn proxies(&self) -> Vec<Peer> {
        self.sessions
            .range("proxy".to_owned()..)
            .take_while(|(name, _)| name.starts_with("proxy"))
            .map(|(_, listed)| listed.session.peer())
            .collect()
    }

    /// The pause of the role's automatic takeover, and when it was put.
    pub fn pause(&self, role: Role) -> Option<&(Pause, Revision)> {
        self.pauses.get(role.name())
    }

    fn put(&mut self, place: Place<'_>, kv: &KeyValue) {
        match place {
            Place::Session(name) => self.put_session(name, kv),
            Place::Pause(role) => self.put_pause(role, kv),
        }
    }

    fn put_pause(&mut self, role: &str, kv: &KeyValue) {
        match Pause::decode(&kv.value) {
            Ok(pause) => {
                self.pauses.insert(role.to_owned(), (pause, kv.mod_revision));
            }
            Err(error) => {
                tracing::error!(
                    key = kv.key, %error,
                    "pause in etcd can not be read and counts as none; `milvus-coord resume` removes it"
                );
                self.pauses.remove(role);
            }
        }
    }

    fn delete(&mut self, place: Place<'_>) {
        match place {
            Place::Session(name) => {
                self.sessions.remove(name);
                self.unreadable.remove(name);
            }
            Place::Pause(role) => {
                self.pauses.remove(role);
            }
        }
    }

    fn put_session(&mut self, name: &str, kv: &KeyValue) {
        // The counter of server ids lies among the sessions.
        if name == "id" {
            return;
        }
        match Session::decode(&kv.value) {
            Ok(session) => {
                self.unreadable.remove(name);
                let listed = Listed { session, mod_revision: kv.mod_revision, lease: kv.lease };
                self.sessions.insert(name.to_owned(), listed);
            }
            Err(error) => {
                tracing::error!(
                    key = kv.key, %error,
                    "session value in etcd can not be read, skip it; delete the key if its writer is gone"
                );
                self.sessions.remove(name);
                self.unreadable.insert(name.to_owned(), (kv.mod_revision, kv.lease));
            }
        }
    }
}

/// Hears every event of the mirror, in order.
pub trait MirrorListener: Send + Sync {
    /// What it needs to hear of. It hears of what others need, too.
    fn ranges(&self) -> Vec<KeyRange>;

    /// One event. Must not block.
    fn hear(&self, event: &MirrorEvent);
}

/// What a key is to the observer.
#[derive(Clone, Copy, Debug)]
enum Place<'a> {
    Session(&'a str),
    Pause(&'a str),
}

/// See the module.
pub struct Observer {
    /// `<meta>/session/`.
    sessions: String,
    /// `<kv>/milvus-coord/pause/`.
    pauses: String,
    /// A snapshot that is not complete yet.
    loading: Option<Observed>,
    published: watch::Sender<Observed>,
    listeners: Vec<Arc<dyn MirrorListener>>,
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}

impl Observer {
    /// An observer that publishes there.
    pub fn new(
        keys: &Keys,
        published: watch::Sender<Observed>,
        listeners: Vec<Arc<dyn MirrorListener>>,
    ) -> Self {
        let (sessions, pauses) = (keys.sessions().start, keys.pauses().start);
        Self { sessions, pauses, loading: None, published, listeners }
    }

    fn place<'a>(&self, key: &'a str) -> Option<Place<'a>> {
        let session = key.strip_prefix(&self.sessions).map(Place::Session);
        session.or_else(|| key.strip_prefix(&self.pauses).map(Place::Pause))
    }

    /// Takes the mirror's next event.
    pub fn hear(&mut self, event: &MirrorEvent) {
        // The others first: whoever sees the published state may rely on theirs.
        self.listeners.iter().for_each(|listener| listener.hear(event));
        match event {
            MirrorEvent::Reset => {
                self.loading = Some(Observed::default());
                self.published.send_modify(|observed| observed.in_step = false);
            }
            MirrorEvent::Entry(kv) => {
                if let Some(place) = self.place(&kv.key)
                    && let Some(loading) = self.loading.as_mut()
                {
                    loading.put(place, kv);
                }
            }
            MirrorEvent::Loaded(header) => {
                if let Some(loaded) = self.loading.take() {
                    self.published.send_replace(Observed { at: header.revision, in_step: true, ..loaded });
                }
            }
            MirrorEvent::Put(kv) => {
                if let Some(place) = self.place(&kv.key) {
                    // Published with the revision's end, so that one transaction is seen whole.
                    self.published.send_if_modified(|observed| {
                        observed.put(place, kv);
                        false
                    });
                }
            }
            MirrorEvent::Deleted(key, _) => {
                if let Some(place) = self.place(key) {
                    self.published.send_if_modified(|observed| {
                        observed.delete(place);
                        false
                    });
                }
            }
            MirrorEvent::UpTo(revision) => self.published.send_modify(|observed| {
                observed.at = observed.at.max(*revision);
                observed.in_step = true;
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::call::Header;

    fn kv(name: &str, value: &[u8], revision: i64) -> KeyValue {
        KeyValue {
            key: format!("by-dev/meta/session/{name}"),
            value: value.to_vec(),
            create_revision: Revision(revision),
            mod_revision: Revision(revision),
            lease: LeaseId(5),
        }
    }

    fn session(id: i64) -> Vec<u8> {
        Session::coordinator(Role::RootCoord, ServerId(id), format!("h{id}:1"), "h".into()).encode()
    }

    fn observer() -> (Observer, watch::Receiver<Observed>) {
        let (published, observed) = watch::channel(Observed::default());
        (Observer::new(&Keys::new("by-dev", "meta", "kv"), published, vec![]), observed)
    }

    #[test]
    fn a_snapshot_replaces_all_at_once() {
        let (mut observer, observed) = observer();
        observer.hear(&MirrorEvent::Reset);
        observer.hear(&MirrorEvent::Entry(kv("rootcoord", &session(1), 4)));
        assert_eq!(observed.borrow().holder(Role::RootCoord), None);
        observer.hear(&MirrorEvent::Loaded(Header { revision: Revision(9), ..Header::default() }));
        let now = observed.borrow().clone();
        assert_eq!((now.at, now.in_step), (Revision(9), true));
        let holder = now.holder(Role::RootCoord).unwrap();
        assert_eq!(holder.victim, Victim { epoch: Epoch(4), server_id: ServerId(1) });
        assert_eq!((holder.kind, holder.lease, holder.address.as_str()), (Kind::Own, LeaseId(5), "h1:1"));
        observer.hear(&MirrorEvent::Reset);
        observer.hear(&MirrorEvent::Loaded(Header { revision: Revision(12), ..Header::default() }));
        assert_eq!(observed.borrow().holder(Role::RootCoord), None);
    }

    #[test]
    fn readers_wake_once_a_revision_and_see_it_whole() {
        let (mut observer, mut observed) = observer();
        observed.mark_unchanged();
        observer.hear(&MirrorEvent::Put(kv("rootcoord-2", &session(2), 10)));
        observer.hear(&MirrorEvent::Put(kv("rootcoord-3", &session(3), 10)));
        observer.hear(&MirrorEvent::Put(kv("rootcoord", &session(2), 10)));
        assert!(!observed.has_changed().unwrap());
        observer.hear(&MirrorEvent::UpTo(Revision(10)));
        assert!(observed.has_changed().unwrap());
        let now = observed.borrow().clone();
        let ids: Vec<_> = now.instances(Role::RootCoord).map(|listed| listed.session.server_id).collect();
        assert_eq!(ids, [2, 3]);
        observer.hear(&MirrorEvent::Deleted("by-dev/meta/session/rootcoord".to_owned(), Revision(11)));
        observer.hear(&MirrorEvent::UpTo(Revision(11)));
        assert_eq!(observed.borrow().holder(Role::RootCoord), None);
    }

    #[test]
    fn a_pause_is_seen_and_garbage_in_its_place_is_none() {
        const KEY: &str = "by-dev/kv/milvus-coord/pause/rootcoord";
        let (mut observer, observed) = observer();
        let pause = Pause { since_ms: 1, until_ms: 9, ..Pause::default() };
        let put = |value: &[u8], revision| KeyValue { key: KEY.to_owned(), ..kv("", value, revision) };
        observer.hear(&MirrorEvent::Put(put(&pause.encode(), 10)));
        observer.hear(&MirrorEvent::UpTo(Revision(10)));
        assert_eq!(observed.borrow().pause(Role::RootCoord), Some(&(pause.clone(), Revision(10))));
        assert_eq!(observed.borrow().pause(Role::DataCoord), None);
        observer.hear(&MirrorEvent::Put(put(b"forever", 11)));
        observer.hear(&MirrorEvent::UpTo(Revision(11)));
        assert_eq!(observed.borrow().pause(Role::RootCoord), None);
        observer.hear(&MirrorEvent::Put(put(&pause.encode(), 12)));
        observer.hear(&MirrorEvent::Deleted(KEY.to_owned(), Revision(13)));
        observer.hear(&MirrorEvent::UpTo(Revision(13)));
        assert_eq!(observed.borrow().pause(Role::RootCoord), None);
    }

    #[test]
    fn an_unreadable_holder_is_somebody_that_nobody_can_judge() {
        let (mut observer, observed) = observer();
        observer.hear(&MirrorEvent::Put(kv("rootcoord", b"garbage", 10)));
        observer.hear(&MirrorEvent::UpTo(Revision(10)));
        let holder = observed.borrow().holder(Role::RootCoord).unwrap();
        assert_eq!((holder.victim.server_id, holder.kind), (ServerId(-1), Kind::Foreign));
        observer.hear(&MirrorEvent::Put(kv("rootcoord", &session(1), 11)));
        observer.hear(&MirrorEvent::UpTo(Revision(11)));
        assert_eq!(observed.borrow().holder(Role::RootCoord).unwrap().kind, Kind::Own);
    }
}
