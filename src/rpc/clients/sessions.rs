//! Where everybody is, as the mirror of the sessions shows it.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::target::{Nodes, Target};
use crate::{
    election::{observer::MirrorListener, session::Session, standing::Peer},
    etcd::{
        keys::{Keys, SessionKey},
        mirror::{KeyRange, MirrorEvent},
        txn::KeyValue,
    },
    ids::{Role, ServerId},
};

const PROXY: &str = "proxy";

/// Hears the mirror, and tells followers.
#[derive(Debug)]
pub struct Sessions {
    keys: Keys,
    /// Set while a snapshot is loaded: what was known before stays until it is complete.
    loading: Mutex<Option<Known>>,
    coordinators: [(Role, watch::Sender<Option<Peer>>); 3],
    proxies: watch::Sender<Nodes>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    coordinators: Vec<(Role, Peer)>,
    proxies: BTreeMap<ServerId, Peer>,
}

/// Whose session a key holds, as far as anybody here follows it.
enum Whose {
    Coordinator(Role),
    Proxy(ServerId),
}

impl Sessions {
    /// Knows nobody yet.
    pub fn new(keys: Keys) -> Self {
        Self {
            keys,
            loading: Mutex::default(),
            coordinators: Role::ALL.map(|role| (role, watch::Sender::new(None))),
            proxies: watch::Sender::new(Nodes::default()),
        }
    }

    /// To follow whoever holds a role's ACTIVE key.
    pub fn coordinator(&self, role: Role) -> Target {
        let [(_, first), ..] = &self.coordinators;
        let sender = self.coordinators.iter().find(|(other, _)| *other == role).map_or(first, |(_, s)| s);
        Target::Coordinator(role, sender.subscribe())
    }

    /// The proxies.
    pub fn proxies(&self) -> watch::Receiver<Nodes> {
        self.proxies.subscribe()
    }

    fn whose(&self, key: &str) -> Option<Whose> {
        match self.keys.parse_session(key)? {
            SessionKey::Exclusive { component } => Role::from_name(&component).map(Whose::Coordinator),
            SessionKey::Instance { component, server_id } if component == PROXY => {
                Some(Whose::Proxy(server_id))
            }
            SessionKey::Instance { .. } | SessionKey::Counter => None,
        }
    }

    fn put(&self, kv: &KeyValue) {
        let Some(whose) = self.whose(&kv.key) else { return };
        let peer = match Session::decode(&kv.value) {
            Ok(session) => session.peer(),
            Err(error) => {
                // Calls go on to where the last readable value pointed.
                tracing::error!(key = kv.key, %error, "session is not readable");
                return;
            }
        };
        if let Some(known) = &mut *self.loading.lock() {
            match whose {
                Whose::Coordinator(role) => known.coordinators.push((role, peer)),
                Whose::Proxy(id) => drop(known.proxies.insert(id, Peer { server_id: id, ..peer })),
            }
            return;
        }
        match whose {
            Whose::Coordinator(role) => self.set(role, Some(peer)),
            Whose::Proxy(id) => {
                let peer = Peer { server_id: id, ..peer };
                self.proxies.send_if_modified(|nodes| {
                    let news = nodes.get(&id) != Some(&peer);
                    if news {
                        Arc::make_mut(nodes).insert(id, peer);
                    }
                    news
                });
            }
        }
    }

    fn deleted(&self, key: &str) {
        match self.whose(key) {
            Some(Whose::Coordinator(role)) => self.set(role, None),
            Some(Whose::Proxy(id)) => {
                self.proxies.send_if_modified(|nodes| {
                    nodes.contains_key(&id) && Arc::make_mut(nodes).remove(&id).is_some()
                });
            }
            None => {}
        }
    }

    fn set(&self, role: Role, peer: Option<Peer>) {
        for (other, sender) in &self.coordinators {
            if *other == role {
                sender.send_if_modified(|known| {
                    let news = *known != peer;
                    known.clone_from(&peer);
                    news
                });
            }
        }
    }

    fn replace(&self, known: Known) {
        for role in Role::ALL {
            let peer = known.coordinators.iter().rev().find(|(other, _)| *other == role);
            self.set(role, peer.map(|(_, peer)| peer.clone()));
        }
        self.proxies.send_if_modified(|nodes| {
            let news = **nodes != known.proxies;
            if news {
                *nodes = Nodes::new(known.proxies);
            }
            news
        });
    }
}

impl MirrorListener for Sessions {
    fn ranges(&self) -> Vec<KeyRange> {
        vec![self.keys.sessions()]
    }

    fn hear(&self, event: &MirrorEvent) {
        match event {
            MirrorEvent::Reset => *self.loading.lock() = Some(Known::default()),
            MirrorEvent::Entry(kv) | MirrorEvent::Put(kv) => self.put(kv),
            MirrorEvent::Deleted(key, _) => self.deleted(key),
            MirrorEvent::Loaded(_) => {
                let known = self.loading.lock().take();
                if let Some(known) = known {
                    self.replace(known);
                }
            }
            MirrorEvent::UpTo(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{etcd::call::Header, ids::Revision};

    fn kv(key: &str, value: &str) -> KeyValue {
        KeyValue { key: format!("by-dev/meta/session/{key}"), value: value.into(), ..Default::default() }
    }

    fn session(id: i64, address: &str) -> String {
        format!(
            r#"{{"ServerID":{id},"ServerName":"x","Address":"{address}","TriggerKill":true,"Version":"2.3.5"}}"#
        )
    }

    fn put(sessions: &Sessions, key: &str, value: &str) {
        sessions.hear(&MirrorEvent::Put(kv(key, value)));
    }

    fn delete(sessions: &Sessions, key: &str) {
        sessions.hear(&MirrorEvent::Deleted(kv(key, "").key, Revision(1)));
    }

    fn sessions() -> Sessions {
        Sessions::new(Keys::new("by-dev", "meta", "kv"))
    }

    fn peer(id: i64, address: &str) -> Peer {
        Peer { server_id: ServerId(id), address: address.to_owned() }
    }

    #[test]
    fn coordinators_and_proxies_are_told_apart_from_all_others() {
        let sessions = sessions();
        let (mut root, mut data) =
            (sessions.coordinator(Role::RootCoord), sessions.coordinator(Role::DataCoord));
        let proxies = sessions.proxies();
        put(&sessions, "rootcoord-3", &session(3, "a:1"));
        put(&sessions, "id", "17");
        put(&sessions, "datanode-5", &session(5, "d:1"));
        put(&sessions, "indexcoord", &session(6, "i:1"));
        assert_eq!((root.now(), data.now()), (None, None));
        put(&sessions, "rootcoord", &session(3, "a:1"));
        put(&sessions, "proxy-8", &session(8, "p:1"));
        assert_eq!((root.now(), data.now()), (Some(peer(3, "a:1")), None));
        assert_eq!(**proxies.borrow(), BTreeMap::from([(ServerId(8), peer(8, "p:1"))]));
        delete(&sessions, "rootcoord");
        delete(&sessions, "proxy-8");
        delete(&sessions, "proxy-9");
        assert_eq!(root.now(), None);
        assert!(proxies.borrow().is_empty());
    }

    #[test]
    fn what_is_not_readable_changes_nothing() {
        let sessions = sessions();
        let mut root = sessions.coordinator(Role::RootCoord);
        put(&sessions, "rootcoord", &session(3, "a:1"));
        put(&sessions, "rootcoord", "{");
        assert_eq!(root.now(), Some(peer(3, "a:1")));
    }

    #[test]
    fn a_snapshot_takes_the_place_of_all_that_was_known_when_it_is_complete() {
        let sessions = sessions();
        let mut root = sessions.coordinator(Role::RootCoord);
        let proxies = sessions.proxies();
        put(&sessions, "rootcoord", &session(3, "a:1"));
        put(&sessions, "proxy-8", &session(8, "p:1"));
        sessions.hear(&MirrorEvent::Reset);
        sessions.hear(&MirrorEvent::Entry(kv("proxy-9", &session(9, "p:2"))));
        assert_eq!(root.now(), Some(peer(3, "a:1")));
        assert_eq!(proxies.borrow().len(), 1);
        sessions.hear(&MirrorEvent::Loaded(Header::default()));
        assert_eq!(root.now(), None);
        assert_eq!(**proxies.borrow(), BTreeMap::from([(ServerId(9), peer(9, "p:2"))]));
    }

    #[test]
    fn followers_are_woken_by_news_only() {
        let sessions = sessions();
        put(&sessions, "proxy-8", &session(8, "p:1"));
        let mut proxies = sessions.proxies();
        proxies.borrow_and_update();
        put(&sessions, "proxy-8", &session(8, "p:1"));
        assert!(!proxies.has_changed().unwrap());
        put(&sessions, "proxy-8", &session(8, "p:2"));
        assert!(proxies.has_changed().unwrap());
    }
}
