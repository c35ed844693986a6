//! Users, roles and grants in memory, as the mirror shows them and as the own writes have
//! made them.
//!
//! Every key carries its mod revision: own writes count from their acknowledgement, and an
//! event that is older than what is known changes nothing. While a snapshot of the mirror
//! is being loaded, the old state goes on being the answer.

mod defaults;
mod entries;
mod keys;
#[cfg(test)]
mod tests;
mod upkeep;

use std::collections::VecDeque;

use self::entries::{Entries, grantee_id, stored_user};
pub use self::{
    defaults::{BadRoles, BuiltinRoles, Defaults, Grant, NoHash, ROOT, hash_password},
    keys::{AccessKey, AccessKeys, Grantee},
    upkeep::Upkeep,
};
use crate::{
    etcd::{mirror::MirrorEvent, txn::Op},
    ids::Revision,
    rootcoord::catalog::News,
    rpc::merr::{Kind, MilvusError},
};

/// What is known of a user.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The name.
    pub user: String,
    /// The bcrypt hash of the password.
    pub encrypted_password: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Why there is no credential. The name of each key is the full one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCredential {
    /// There is no such user.
    #[error("key not found[key={0}]")]
    NotFound(String),
    /// There is one, of whom nothing can be read.
    #[error("the value of {0} can't be decoded")]
    Undecodable(String),
}

impl From<&NoCredential> for MilvusError {
    fn from(error: &NoCredential) -> Self {
        match error {
            NoCredential::NotFound(key) => Self::new(Kind::IoKeyNotFound).with("key", key),
            NoCredential::Undecodable(_) => Self::new(Kind::ServiceInternal).saying(&error.to_string()),
        }
    }
}

/// All that proxies have to know to let users pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// One text per privilege of a role on an object; proxies compare them byte by byte.
    pub infos: Vec<String>,
    /// `<user>/<role>`
    pub user_roles: Vec<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Access {
    keys: AccessKeys,
    entries: Entries,
    loading: Option<Entries>,
    /// Own writes that the mirror has not come up to.
    ahead: VecDeque<(Revision, Vec<Op>)>,
    /// The own write that is on the wire.
    pending: Vec<Op>,
    /// How far the mirror has come.
    mirrored: Revision,
}

impl Access {
    /// Nobody may do anything.
    pub fn new(keys: AccessKeys) -> Self {
        Self {
            keys,
            entries: Entries::default(),
            loading: None,
            ahead: VecDeque::new(),
            pending: Vec::new(),
            mirrored: Revision(0),
        }
    }

    /// The names of all keys.
    pub fn keys(&self) -> &AccessKeys {
        &self.keys
    }

    /// Takes one event of the mirror.
    pub fn event(&mut self, event: &MirrorEvent) -> News {
        let mut news = News::default();
        let range = self.keys.range();
        match event {
            MirrorEvent::Entry(kv) | MirrorEvent::Put(kv) if !range.contains(&kv.key) => {}
            MirrorEvent::Deleted(key, _) if !range.contains(key) => {}
            MirrorEvent::Reset => self.loading = Some(Entries::default()),
            MirrorEvent::Entry(kv) => {
                if let Some(loading) = &mut self.loading {
                    loading.put(&self.keys, &kv.key, &kv.value, kv.mod_revision);
                }
            }
            MirrorEvent::Loaded(header) => news = self.loaded(header.revision),
            MirrorEvent::Put(kv) => {
                let own = self.is_own(kv.mod_revision, |op| match op {
                    Op::Put { key, value, .. } => *key == kv.key && *value == kv.value,
                    Op::Delete { .. } => false,
                });
                let undecodable = self.entries.put(&self.keys, &kv.key, &kv.value, kv.mod_revision);
                news.undecodable.extend(undecodable.map(|undecodable| (kv.key.clone(), undecodable)));
                if let Some(loading) = &mut self.loading {
                    loading.put(&self.keys, &kv.key, &kv.value, kv.mod_revision);
                }
                news.foreign = (!own).then(|| (kv.key.clone(), kv.mod_revision));
                self.caught_up_before(kv.mod_revision);
            }
            MirrorEvent::Deleted(key, at) => {
                let own = self.is_own(*at, |op| matches!(op, Op::Delete { key: own } if own == key));
                self.entries.delete(&self.keys, key, *at);
                if let Some(loading) = &mut self.loading {
                    loading.delete(&self.keys, key, *at);
                }
                news.foreign = (!own).then(|| (key.clone(), *at));
                self.caught_up_before(*at);
            }
            MirrorEvent::UpTo(at) => self.caught_up_to(*at),
        }
        news
    }

    fn loaded(&mut self, at: Revision) -> News {
        let mut news = News::default();
        let Some(mut loaded) = self.loading.take() else { return news };
        if at < self.mirrored {
            // Etcd was restored: own writes may be gone.
            self.ahead.clear();
        }
        self.mirrored = at;
        self.ahead.retain(|(own, _)| *own > at);
        for (own, ops) in &self.ahead {
            loaded.apply(&self.keys, ops, *own);
        }
        let is_new = |key: &String| !self.entries.undecodable.contains_key(key);
        let found = loaded.undecodable.iter().filter(|(key, _)| is_new(key));
        news.undecodable = found.map(|(key, undecodable)| (key.clone(), *undecodable)).collect();
        news.loaded = true;
        self.entries = loaded;
        news
    }

    fn is_own(&self, at: Revision, is: impl Fn(&Op) -> bool) -> bool {
        self.ahead.iter().any(|(own, _)| *own == at) || self.pending.iter().any(is)
    }

    /// Events of one revision come one by one, so only earlier ones are complete.
    fn caught_up_before(&mut self, at: Revision) {
        self.caught_up_to(Revision(at.0 - 1));
    }

    fn caught_up_to(&mut self, at: Revision) {
        self.mirrored = self.mirrored.max(at);
        self.ahead.retain(|(own, _)| *own > at);
        self.entries.come_up_to(at);
    }

    /// These changes are about to be written, in one transaction.
    pub fn writing(&mut self, ops: &[Op]) {
        ops.clone_into(&mut self.pending);
    }

    /// They are in etcd.
    pub fn written(&mut self, ops: &[Op], at: Revision) {
        self.pending.clear();
        self.entries.apply(&self.keys, ops, at);
        if let Some(loading) = &mut self.loading {
            loading.apply(&self.keys, ops, at);
        }
        self.ahead.push_back((at, ops.to_vec()));
    }

    /// They are not, and won't be, in etcd.
    pub fn not_written(&mut self) {
        self.pending.clear();
    }

    /// The term is over: from here on the mirror alone counts.
    pub fn end_term(&mut self) {
        self.pending.clear();
        self.ahead.clear();
    }

    /// A user by name.
    ///
    /// # Errors
    /// [`NoCredential`]
    pub fn credential(&self, user: &str) -> Result<Credential, NoCredential> {
        let key = AccessKey::User(user.to_owned());
        let Some(value) = self.entries.get(&key) else {
            // Of a user without a name, too, as Milvus spells it.
            return Err(NoCredential::NotFound(self.keys.build(&key).trim_end_matches('/').to_owned()));
        };
        let stored = stored_user(value).ok_or_else(|| NoCredential::Undecodable(self.keys.build(&key)))?;
        Ok(Credential { user: user.to_owned(), encrypted_password: stored.encrypted_password })
    }

    /// Everything that proxies go by. What can't be decoded grants nothing.
    pub fn list_policy(&self) -> Policy {
        let mut policy = Policy::default();
        for (key, value) in self.entries.iter() {
            match key {
                AccessKey::UserRole { user, role } => policy.user_roles.push(format!("{user}/{role}")),
                AccessKey::Grantee(grantee) => {
                    let privileges = grantee_id(value).into_iter().flat_map(|id| self.entries.privileges(id));
                    policy.infos.extend(privileges.map(|privilege| policy_info(grantee, privilege)));
                }
                AccessKey::User(_) | AccessKey::Role(_) | AccessKey::Privilege { .. } => {}
            }
        }
        policy
    }

    /// How many users there are.
    pub fn users(&self) -> usize {
        self.entries.iter().filter(|(key, _)| matches!(key, AccessKey::User(_))).count()
    }

    /// How many roles there are.
    pub fn roles(&self) -> usize {
        self.entries.iter().filter(|(key, _)| matches!(key, AccessKey::Role(_))).count()
    }

    /// Whether there is such a key, decodable or not.
    pub fn contains(&self, key: &AccessKey) -> bool {
        self.entries.get(key).is_some()
    }

    /// The keys that can't be decoded.
    pub fn undecodable(&self) -> impl Iterator<Item = &str> {
        self.entries.undecodable.keys().map(String::as_str)
    }

    /// The id of a grantee; `Some(None)`: there is one that can't be decoded.
    fn id_of(&self, grantee: &Grantee) -> Option<Option<&str>> {
        self.entries.get(&AccessKey::Grantee(grantee.clone())).map(grantee_id)
    }
}

/// One privilege as proxies keep it. Nothing is escaped, as in Milvus.
pub fn policy_info(grantee: &Grantee, privilege: &str) -> String {
    let Grantee { role, object_type, .. } = grantee;
    let (db, name) = grantee.db_and_name();
    format!(r#"{{"PType":"p","V0":"{role}","V1":"{object_type}-{db}.{name}","V2":"{privilege}"}}"#)
}
