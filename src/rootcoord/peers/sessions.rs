//! Who can be called: the mirror's view of sessions, as clients follow it.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::watch;

use crate::{
    election::{session::Session, standing::Peer},
    etcd::{
        keys::{Keys, SessionKey},
        mirror::{KeyRange, MirrorEvent},
        txn::KeyValue,
    },
    ids::{Role, ServerId},
    rpc::clients::Nodes,
};

/// What proxies are called in session keys.
const PROXY: &str = "proxy";

#[derive(Clone, Debug, Default)]
struct Listed {
    proxies: BTreeMap<ServerId, Peer>,
    data_coord: Option<Peer>,
    query_coord: Option<Peer>,
}

/// Who came and went.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) joined: Vec<Peer>,
    pub(super) left: Vec<Peer>,
    /// How many proxies there are now.
    pub(super) proxies: usize,
}

/// See the module. A change is seen when its revision is complete, a snapshot when it is.
#[derive(Debug)]
pub(super) struct Sessions {
    keys: Keys,
    now: Listed,
    loading: Option<Listed>,
    proxies: watch::Sender<Nodes>,
    data_coord: watch::Sender<Option<Peer>>,
    query_coord: watch::Sender<Option<Peer>>,
}

impl Sessions {
    pub(super) fn new(keys: Keys) -> Self {
        Self {
            keys,
            now: Listed::default(),
            loading: None,
            proxies: watch::Sender::default(),
            data_coord: watch::Sender::default(),
            query_coord: watch::Sender::default(),
        }
    }

    pub(super) fn ranges(&self) -> Vec<KeyRange> {
        vec![self.keys.sessions()]
    }

    pub(super) fn proxies(&self) -> watch::Receiver<Nodes> {
        self.proxies.subscribe()
    }

    pub(super) fn data_coord(&self) -> watch::Receiver<Option<Peer>> {
        self.data_coord.subscribe()
    }

    pub(super) fn query_coord(&self) -> watch::Receiver<Option<Peer>> {
        self.query_coord.subscribe()
    }

    /// Takes the mirror's next event.
    pub(super) fn hear(&mut self, event: &MirrorEvent) -> Changes {
        match event {
            MirrorEvent::Reset => self.loading = Some(Listed::default()),
            MirrorEvent::Entry(kv) => {
                if let Some(loading) = &mut self.loading {
                    loading.put(&self.keys, kv);
                }
            }
            MirrorEvent::Loaded(_) => {
                if let Some(loaded) = self.loading.take() {
                    self.now = loaded;
                }
                return self.publish();
            }
            MirrorEvent::Put(kv) => self.now.put(&self.keys, kv),
            MirrorEvent::Deleted(key, _) => self.now.set(&self.keys, key, None),
            MirrorEvent::UpTo(_) => return self.publish(),
        }
        Changes { proxies: self.proxies.borrow().len(), ..Changes::default() }
    }

    fn publish(&self) -> Changes {
        let set = |sender: &watch::Sender<Option<Peer>>, now: &Option<Peer>| {
            sender.send_if_modified(|known| {
                let changed = known != now;
                known.clone_from(now);
                changed
            });
        };
        set(&self.data_coord, &self.now.data_coord);
        set(&self.query_coord, &self.now.query_coord);
        let now = &self.now.proxies;
        let mut changes = Changes { proxies: now.len(), ..Changes::default() };
        self.proxies.send_if_modified(|known| {
            if **known == *now {
                return false;
            }
            let absent = |peer: &&Peer, from: &BTreeMap<ServerId, Peer>| !from.contains_key(&peer.server_id);
            changes.joined = now.values().filter(|peer| absent(peer, known)).cloned().collect();
            changes.left = known.values().filter(|peer| absent(peer, now)).cloned().collect();
            *known = Arc::new(now.clone());
            true
        });
        changes
    }
}

impl Listed {
    fn put(&mut self, keys: &Keys, kv: &KeyValue) {
        // The observer says what can't be read, and until when that lasts.
        self.set(keys, &kv.key, Session::decode(&kv.value).ok());
    }

    fn set(&mut self, keys: &Keys, key: &str, session: Option<Session>) {
        match keys.parse_session(key) {
            // The key says who it is: it ends with the process.
            Some(SessionKey::Instance { component, server_id }) if component == PROXY => match session {
                Some(Session { address, .. }) => {
                    self.proxies.insert(server_id, Peer { server_id, address });
                }
                None => {
                    self.proxies.remove(&server_id);
                }
            },
            Some(SessionKey::Exclusive { component }) => {
                let peer = session.map(|session| session.peer());
                match Role::from_name(&component) {
                    Some(Role::DataCoord) => self.data_coord = peer,
                    Some(Role::QueryCoord) => self.query_coord = peer,
                    Some(Role::RootCoord) | None => {}
                }
            }
            Some(SessionKey::Instance { .. } | SessionKey::Counter) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        etcd::call::Header,
        ids::{LeaseId, Revision},
    };

    fn kv(name: &str, id: i64, address: &str) -> KeyValue {
        let value = format!(r#"{{"ServerID":{id},"Address":"{address}"}}"#);
        KeyValue {
            key: format!("by-dev/meta/session/{name}"),
            value: value.into_bytes(),
            create_revision: Revision(1),
            mod_revision: Revision(1),
            lease: LeaseId(1),
        }
    }

    fn peer(id: i64, address: &str) -> Peer {
        Peer { server_id: ServerId(id), address: address.to_owned() }
    }

    fn deleted(name: &str) -> MirrorEvent {
        MirrorEvent::Deleted(format!("by-dev/meta/session/{name}"), Revision(2))
    }

    const DONE: MirrorEvent = MirrorEvent::UpTo(Revision(2));

    #[test]
    fn a_snapshot_is_compared_with_what_was_known() {
        let mut sessions = Sessions::new(Keys::new("by-dev", "meta", "kv"));
        let load = |sessions: &mut Sessions, entries: Vec<KeyValue>| {
            sessions.hear(&MirrorEvent::Reset);
            for kv in entries {
                assert_eq!(sessions.hear(&MirrorEvent::Entry(kv)).joined, []);
            }
            sessions.hear(&MirrorEvent::Loaded(Header::default()))
        };
        let first = vec![
            kv("proxy-5", 5, "a:1"),
            kv("proxy-6", 6, "b:1"),
            kv("proxy-x", 9, "c:1"),
            kv("datanode-7", 7, "d:1"),
            kv("datacoord", 2, "dc:1"),
            kv("datacoord-2", 2, "dc:1"),
        ];
        let changes = load(&mut sessions, first);
        assert_eq!((&*changes.joined, changes.proxies), (&[peer(5, "a:1"), peer(6, "b:1")][..], 2));
        assert_eq!(*sessions.data_coord().borrow(), Some(peer(2, "dc:1")));
        assert_eq!(*sessions.query_coord().borrow(), None);
        let changes = load(&mut sessions, vec![kv("proxy-6", 6, "b:1"), kv("querycoord", 3, "qc:1")]);
        assert_eq!(changes, Changes { joined: vec![], left: vec![peer(5, "a:1")], proxies: 1 });
        assert_eq!(*sessions.data_coord().borrow(), None);
        assert_eq!(*sessions.query_coord().borrow(), Some(peer(3, "qc:1")));
    }

    #[test]
    fn changes_are_followed() {
        let mut sessions = Sessions::new(Keys::new("by-dev", "meta", "kv"));
        let proxies = sessions.proxies();
        sessions.hear(&MirrorEvent::Put(kv("proxy-5", 5, "a:1")));
        assert!(!proxies.has_changed().expect("there is a sender"), "the revision may have more");
        assert_eq!(sessions.hear(&DONE).joined, [peer(5, "a:1")]);
        sessions.hear(&MirrorEvent::Put(kv("proxy-5", 5, "a:2")));
        assert_eq!(sessions.hear(&DONE), Changes { proxies: 1, ..Changes::default() });
        assert_eq!(proxies.borrow()[&ServerId(5)], peer(5, "a:2"), "an update is no new one");
        sessions.hear(&MirrorEvent::Put(kv("proxy-8", 8, "a:2")));
        sessions.hear(&deleted("proxy-5"));
        let changes = sessions.hear(&DONE);
        assert_eq!((changes.joined, changes.left), (vec![peer(8, "a:2")], vec![peer(5, "a:2")]));

        let mut active = sessions.data_coord();
        sessions.hear(&MirrorEvent::Put(kv("datacoord", 2, "dc:1")));
        sessions.hear(&DONE);
        assert_eq!(*active.borrow_and_update(), Some(peer(2, "dc:1")));
        sessions.hear(&DONE);
        assert!(!active.has_changed().expect("there is a sender"));
        sessions.hear(&deleted("datacoord"));
        sessions.hear(&DONE);
        assert_eq!(*active.borrow_and_update(), None);
    }
}
