//! What a set of keys holds. Older events than are known change nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::keys::{AccessKey, AccessKeys};
use crate::{etcd::txn::Op, ids::Revision, rootcoord::catalog::Undecodable};

/// The value of a user's key.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredUser {
    pub(super) encrypted_password: String,
}

#[derive(Debug)]
struct Entry {
    /// `None`: deleted, which counts until the mirror has come by.
    value: Option<Vec<u8>>,
    at: Revision,
}

#[derive(Debug, Default)]
pub(super) struct Entries {
    entries: BTreeMap<AccessKey, Entry>,
    pub(super) undecodable: BTreeMap<String, Undecodable>,
}

impl Entries {
    pub(super) fn apply(&mut self, keys: &AccessKeys, ops: &[Op], at: Revision) {
        for op in ops {
            match op {
                Op::Put { key, value, .. } => _ = self.put(keys, key, value, at),
                Op::Delete { key } => self.delete(keys, key, at),
            }
        }
    }

    /// Returns what is wrong with it, if it wasn't so before.
    pub(super) fn put(
        &mut self,
        keys: &AccessKeys,
        key: &str,
        value: &[u8],
        at: Revision,
    ) -> Option<Undecodable> {
        let what = match keys.parse(key) {
            None => "key",
            Some(parsed) => {
                if self.entries.get(&parsed).is_some_and(|entry| entry.at >= at) {
                    return None;
                }
                let decodable = is_decodable(&parsed, value);
                self.entries.insert(parsed, Entry { value: Some(value.to_vec()), at });
                if decodable {
                    self.undecodable.remove(key);
                    return None;
                }
                "value"
            }
        };
        let undecodable = Undecodable { what, at };
        self.undecodable.insert(key.to_owned(), undecodable).is_none().then_some(undecodable)
    }

    pub(super) fn delete(&mut self, keys: &AccessKeys, key: &str, at: Revision) {
        if let Some(parsed) = keys.parse(key) {
            if self.entries.get(&parsed).is_some_and(|entry| entry.at >= at) {
                return;
            }
            self.entries.insert(parsed, Entry { value: None, at });
        }
        self.undecodable.remove(key);
    }

    /// No event before this revision comes any more.
    pub(super) fn come_up_to(&mut self, at: Revision) {
        self.entries.retain(|_, entry| entry.value.is_some() || entry.at > at);
    }

    pub(super) fn get(&self, key: &AccessKey) -> Option<&[u8]> {
        self.entries.get(key)?.value.as_deref()
    }

    /// All that there is, by key.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&AccessKey, &[u8])> {
        self.entries.iter().filter_map(|(key, entry)| Some((key, entry.value.as_deref()?)))
    }

    /// The privileges under that id, in their stored form.
    pub(super) fn privileges<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a str> {
        let first = AccessKey::Privilege { grantee: id.to_owned(), privilege: String::new() };
        let there = self.entries.range(first..).filter(|(_, entry)| entry.value.is_some());
        there.map_while(move |(key, _)| match key {
            AccessKey::Privilege { grantee, privilege } if grantee == id => Some(privilege.as_str()),
            _ => None,
        })
    }
}

pub(super) fn stored_user(value: &[u8]) -> Option<StoredUser> {
    serde_json::from_slice(value).ok()
}

/// The id of a grantee: the part of a key.
pub(super) fn grantee_id(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().filter(|id| !id.is_empty() && !id.contains('/'))
}

fn is_decodable(key: &AccessKey, value: &[u8]) -> bool {
    match key {
        AccessKey::User(_) => stored_user(value).is_some(),
        AccessKey::Grantee(_) => grantee_id(value).is_some(),
        AccessKey::Privilege { .. } => std::str::from_utf8(value).is_ok(),
        AccessKey::Role(_) | AccessKey::UserRole { .. } => true,
    }
}
