//! Which proxies have a session: those whose reports ticks wait for.
//!
//! As the mirror shows it, and before it does: who asks for a timestamp and is unknown is looked
//! for in etcd itself. Sessions of other components are remembered only so that nobody
//! looks for them.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    election::session::Session,
    etcd::mirror::MirrorEvent,
    ids::{Revision, ServerId},
};

/// See the module.
#[derive(Debug)]
pub(super) struct ProxySessions {
    /// With a slash at the end.
    sessions: String,
    known: BTreeSet<ServerId>,
    /// Those that were seen in etcd before the mirror came up to that revision.
    early: BTreeMap<ServerId, Revision>,
    /// Everybody else, by key.
    others: BTreeMap<String, ServerId>,
    loading: Option<(BTreeSet<ServerId>, BTreeMap<String, ServerId>)>,
    /// How far the mirror has come.
    mirrored: Revision,
}

impl ProxySessions {
    /// `meta` is the full path without a slash at the end.
    pub(super) fn new(meta: &str) -> Self {
        Self {
            sessions: format!("{meta}/session/"),
            known: BTreeSet::new(),
            early: BTreeMap::new(),
            others: BTreeMap::new(),
            loading: None,
            mirrored: Revision(0),
        }
    }

    /// Takes one event of the mirror. Whether other proxies have a session now.
    pub(super) fn event(&mut self, event: &MirrorEvent) -> bool {
        match event {
            MirrorEvent::Reset => {
                self.loading = Some(<(BTreeSet<ServerId>, BTreeMap<String, ServerId>)>::default());
                false
            }
            MirrorEvent::Entry(kv) => {
                if let Some((proxies, others)) = &mut self.loading {
                    take(&self.sessions, &kv.key, &kv.value, proxies, others);
                }
                false
            }
            MirrorEvent::Loaded(header) => {
                self.mirrored = header.revision;
                let Some((mut proxies, others)) = self.loading.take() else { return false };
                self.others = others;
                self.early.retain(|_, seen| *seen > header.revision);
                proxies.extend(self.early.keys());
                let changed = proxies != self.known;
                self.known = proxies;
                changed
            }
            MirrorEvent::Put(kv) => {
                self.mirrored = self.mirrored.max(kv.mod_revision);
                if let Some((proxies, others)) = &mut self.loading {
                    take(&self.sessions, &kv.key, &kv.value, proxies, others);
                }
                if let Some(id) = proxy(&self.sessions, &kv.key) {
                    self.early.remove(&id);
                }
                take(&self.sessions, &kv.key, &kv.value, &mut self.known, &mut self.others)
            }
            MirrorEvent::Deleted(key, at) => {
                self.mirrored = self.mirrored.max(*at);
                self.others.remove(key);
                if let Some((_, others)) = &mut self.loading {
                    others.remove(key);
                }
                let Some(id) = proxy(&self.sessions, key) else { return false };
                if let Some((proxies, _)) = &mut self.loading {
                    proxies.remove(&id);
                }
                if self.early.get(&id).is_some_and(|seen| seen >= at) {
                    return false;
                }
                self.early.remove(&id);
                self.known.remove(&id)
            }
            MirrorEvent::UpTo(at) => {
                self.mirrored = self.mirrored.max(*at);
                false
            }
        }
    }

    /// All of them.
    pub(super) fn known(&self) -> &BTreeSet<ServerId> {
        &self.known
    }

    /// Whether there is nothing to be found out about that id: it is a proxy's, or somebody else's
    /// that has a session, or nobody's.
    pub(super) fn knows(&self, id: ServerId) -> bool {
        id.0 == 0 || self.known.contains(&id) || self.others.values().any(|other| *other == id)
    }

    /// Where a proxy's session is, if it has one.
    pub(super) fn key(&self, proxy: ServerId) -> String {
        format!("{}{PROXY}{}", self.sessions, proxy.0)
    }

    /// A proxy had a session at that revision. Whether that is news: the mirror, once it has come
    /// so far, knows better.
    pub(super) fn seen(&mut self, proxy: ServerId, at: Revision) -> bool {
        if self.mirrored >= at {
            return false;
        }
        self.early.insert(proxy, at);
        self.known.insert(proxy)
    }
}

/// Whose keys, below the sessions.
const PROXY: &str = "proxy-";

fn proxy(sessions: &str, key: &str) -> Option<ServerId> {
    key.strip_prefix(sessions)?.strip_prefix(PROXY)?.parse().ok().map(ServerId)
}

/// Notes a session. Whether it is that of a new proxy.
fn take(
    sessions: &str,
    key: &str,
    value: &[u8],
    proxies: &mut BTreeSet<ServerId>,
    others: &mut BTreeMap<String, ServerId>,
) -> bool {
    if let Some(id) = proxy(sessions, key) {
        return proxies.insert(id);
    }
    if key.starts_with(sessions)
        && let Ok(session) = Session::decode(value)
    {
        others.insert(key.to_owned(), ServerId(session.server_id));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::{call::Header, txn::KeyValue};

    fn kv(key: &str, at: i64) -> KeyValue {
        KeyValue { key: key.to_owned(), mod_revision: Revision(at), ..KeyValue::default() }
    }

    fn loaded(at: i64) -> MirrorEvent {
        MirrorEvent::Loaded(Header { revision: Revision(at), ..Header::default() })
    }

    const NINE: &str = "by-dev/meta/session/proxy-9";

    #[test]
    fn only_sessions_of_proxies_count() {
        let mut proxies = ProxySessions::new("by-dev/meta");
        proxies.event(&MirrorEvent::Reset);
        for key in
            ["by-dev/meta/session/proxy-7", "by-dev/meta/session/datanode-8", "by-dev/meta/session/proxy-x"]
        {
            assert!(!proxies.event(&MirrorEvent::Entry(kv(key, 1))));
        }
        assert!(proxies.event(&loaded(1)));
        assert_eq!(proxies.known(), &BTreeSet::from([ServerId(7)]));
        assert!(proxies.event(&MirrorEvent::Put(kv(NINE, 2))));
        assert!(!proxies.event(&MirrorEvent::Put(kv(NINE, 3))), "it is the same one");
        let gone = MirrorEvent::Deleted("by-dev/meta/session/proxy-7".to_owned(), Revision(5));
        assert!(proxies.event(&gone));
        assert_eq!(proxies.known(), &BTreeSet::from([ServerId(9)]));
    }

    #[test]
    fn a_session_that_ended_while_the_mirror_was_away_is_gone() {
        let mut proxies = ProxySessions::new("by-dev/meta");
        proxies.event(&MirrorEvent::Put(kv(NINE, 1)));
        proxies.event(&MirrorEvent::Reset);
        assert_eq!(proxies.known().len(), 1, "until the new snapshot is complete");
        assert!(proxies.event(&loaded(2)));
        assert!(proxies.known().is_empty());
    }

    #[test]
    fn a_proxy_that_etcd_shows_first_stays_until_the_mirror_has_seen_it_go() {
        let mut proxies = ProxySessions::new("by-dev/meta");
        proxies.event(&MirrorEvent::UpTo(Revision(10)));
        assert!(proxies.seen(ServerId(9), Revision(20)));
        assert!(!proxies.seen(ServerId(9), Revision(21)), "no news");
        proxies.event(&MirrorEvent::Reset);
        assert!(!proxies.event(&loaded(15)), "a snapshot from before it came");
        assert!(!proxies.event(&MirrorEvent::Deleted(NINE.to_owned(), Revision(18))), "an earlier life");
        assert!(proxies.knows(ServerId(9)));
        assert!(!proxies.event(&MirrorEvent::Put(kv(NINE, 19))));
        assert!(proxies.event(&MirrorEvent::Deleted(NINE.to_owned(), Revision(30))));
        assert!(!proxies.knows(ServerId(9)));
        assert!(!proxies.seen(ServerId(9), Revision(29)), "the mirror knows that it is gone");
        assert!(proxies.known().is_empty());
    }

    #[test]
    fn nobody_looks_for_other_components() {
        let mut proxies = ProxySessions::new("by-dev/meta");
        let value = br#"{"ServerID":8,"ServerName":"datacoord","Version":"2.3.5"}"#.to_vec();
        let datacoord = KeyValue { value, ..kv("by-dev/meta/session/datacoord", 1) };
        proxies.event(&MirrorEvent::Put(datacoord));
        assert!(proxies.knows(ServerId(8)) && proxies.knows(ServerId(0)) && !proxies.knows(ServerId(9)));
        assert_eq!(proxies.key(ServerId(9)), NINE);
        proxies.event(&MirrorEvent::Deleted("by-dev/meta/session/datacoord".to_owned(), Revision(2)));
        assert!(!proxies.knows(ServerId(8)));
    }
}
