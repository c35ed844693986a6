//! The keys that all roles share.

use crate::ids::{Role, ServerId};

/// Joins as Milvus does: no doubled and no trailing slashes.
fn join(parts: &[&str]) -> String {
    parts
        .iter()
        .flat_map(|part| part.split('/'))
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("/")
}

/// Builders below `etcd.rootPath`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    root: String,
    meta: String,
    kv: String,
}

impl Keys {
    /// Keys below `root`, with the sub paths for metadata and for plain values.
    pub fn new(root: &str, meta: &str, kv: &str) -> Self {
        Self { root: join(&[root]), meta: join(&[root, meta]), kv: join(&[root, kv]) }
    }

    /// `<root>/`, the range that is watched.
    pub fn root_prefix(&self) -> String {
        format!("{}/", self.root)
    }

    /// `<meta>`.
    pub fn meta(&self) -> &str {
        &self.meta
    }

    /// `<kv>`.
    pub fn kv(&self) -> &str {
        &self.kv
    }

    /// `<meta>/session/`.
    pub fn sessions(&self) -> String {
        format!("{}/session/", self.meta)
    }

    /// The counter of server ids.
    pub fn server_id_counter(&self) -> String {
        format!("{}/session/id", self.meta)
    }

    /// The ACTIVE key of a role.
    pub fn active(&self, role: Role) -> String {
        format!("{}/session/{role}", self.meta)
    }

    /// An instance's own session.
    pub fn session(&self, role: Role, id: ServerId) -> String {
        format!("{}/session/{role}-{id}", self.meta)
    }

    /// `<root>/config/`.
    pub fn config(&self) -> String {
        format!("{}/config/", self.root)
    }
}
