//! Which proxies have a session, as the mirror shows it: those whose reports ticks wait for.

use std::collections::BTreeSet;

use crate::{etcd::mirror::MirrorEvent, ids::ServerId};

/// See the module.
#[derive(Debug)]
pub(super) struct ProxySessions {
    prefix: String,
    known: BTreeSet<ServerId>,
    loading: Option<BTreeSet<ServerId>>,
}

impl ProxySessions {
    /// `meta` is the full path without a slash at the end.
    pub(super) fn new(meta: &str) -> Self {
        Self { prefix: format!("{meta}/session/proxy-"), known: BTreeSet::new(), loading: None }
    }

    /// Takes one event of the mirror. Whether others have a session now.
    pub(super) fn event(&mut self, event: &MirrorEvent) -> bool {
        match event {
            MirrorEvent::Reset => {
                self.loading = Some(BTreeSet::new());
                false
            }
            MirrorEvent::Entry(kv) => {
                if let (Some(loading), Some(id)) = (&mut self.loading, id(&self.prefix, &kv.key)) {
                    loading.insert(id);
                }
                false
            }
            MirrorEvent::Loaded(_) => match self.loading.take() {
                Some(loaded) if loaded != self.known => {
                    self.known = loaded;
                    true
                }
                _ => false,
            },
            MirrorEvent::Put(kv) => id(&self.prefix, &kv.key).is_some_and(|id| {
                if let Some(loading) = &mut self.loading {
                    loading.insert(id);
                }
                self.known.insert(id)
            }),
            MirrorEvent::Deleted(key, _) => id(&self.prefix, key).is_some_and(|id| {
                if let Some(loading) = &mut self.loading {
                    loading.remove(&id);
                }
                self.known.remove(&id)
            }),
            MirrorEvent::UpTo(_) => false,
        }
    }

    /// All of them.
    pub(super) fn known(&self) -> &BTreeSet<ServerId> {
        &self.known
    }
}

fn id(prefix: &str, key: &str) -> Option<ServerId> {
    key.strip_prefix(prefix)?.parse().ok().map(ServerId)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        etcd::{call::Header, txn::KeyValue},
        ids::Revision,
    };

    fn kv(key: &str) -> KeyValue {
        KeyValue { key: key.to_owned(), ..KeyValue::default() }
    }

    #[test]
    fn only_sessions_of_proxies_count() {
        let mut proxies = ProxySessions::new("by-dev/meta");
        proxies.event(&MirrorEvent::Reset);
        for key in
            ["by-dev/meta/session/proxy-7", "by-dev/meta/session/datanode-8", "by-dev/meta/session/proxy-x"]
        {
            assert!(!proxies.event(&MirrorEvent::Entry(kv(key))));
        }
        assert!(proxies.event(&MirrorEvent::Loaded(Header::default())));
        assert_eq!(proxies.known(), &BTreeSet::from([ServerId(7)]));
        assert!(proxies.event(&MirrorEvent::Put(kv("by-dev/meta/session/proxy-9"))));
        assert!(!proxies.event(&MirrorEvent::Put(kv("by-dev/meta/session/proxy-9"))), "it is the same one");
        assert!(proxies.event(&MirrorEvent::Deleted("by-dev/meta/session/proxy-7".to_owned(), Revision(5))));
        assert_eq!(proxies.known(), &BTreeSet::from([ServerId(9)]));
    }

    #[test]
    fn a_session_that_ended_while_the_mirror_was_away_is_gone() {
        let mut proxies = ProxySessions::new("by-dev/meta");
        proxies.event(&MirrorEvent::Put(kv("by-dev/meta/session/proxy-9")));
        proxies.event(&MirrorEvent::Reset);
        assert_eq!(proxies.known().len(), 1, "until the new snapshot is complete");
        assert!(proxies.event(&MirrorEvent::Loaded(Header::default())));
        assert!(proxies.known().is_empty());
    }
}
