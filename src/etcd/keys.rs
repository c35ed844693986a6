//! The names of the keys that every role uses. A role's own metadata keys stand with the role.
//!
//! | key | value | written by |
//! |---|---|---|
//! | `<meta>/session/id` | decimal text: the next server id | every component, once at start |
//! | `<meta>/session/<role>` | the session of the ACTIVE one, JSON | the winner of the election |
//! | `<meta>/session/<role>-<id>` | a session, JSON | every component |
//! | `<kv>/gid/timestamp` | window end: unix nanoseconds, 8 bytes, big-endian | rootcoord |
//! | `<kv>/gid/idTimestamp` | the same, of the ids | rootcoord |
//! | `<kv>/querycoord-id-allocator/idTimestamp` | the same | querycoord |
//! | `<kv>/milvus-coord/pause/<role>` | JSON: until when automatic takeover is paused, why, by whom | the operator |
//! | `<kv>/milvus-coord/history/<role>/<epoch>` | JSON: the takeover that began that term | the ACTIVE one, once it serves |
//! | `<root>/config/…` | a setting | the operator |
//!
//! `<meta>` and `<kv>` are the root path joined with `etcd.metaSubPath` and `etcd.kvSubPath`.

use crate::{
    etcd::mirror::KeyRange,
    ids::{Epoch, Role, ServerId},
};

/// Joins the parts of a path as Milvus does: one slash between two parts, none at the
/// end, none doubled.
pub fn join<S: AsRef<str>>(parts: impl IntoIterator<Item = S>) -> String {
    let mut joined = String::new();
    for part in parts {
        // Milvus keeps the slash that a root path begins with.
        if joined.is_empty() && part.as_ref().starts_with('/') {
            joined.push('/');
        }
        for name in part.as_ref().split('/').filter(|name| !name.is_empty()) {
            if !joined.is_empty() && !joined.ends_with('/') {
                joined.push('/');
            }
            joined.push_str(name);
        }
    }
    joined
}

/// Builds and reads keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    root: String,
    meta: String,
    kv: String,
}

/// What a key below `<meta>/session/` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionKey {
    /// The counter of server ids.
    Counter,
    /// The one session of a component that has only one at a time: the ACTIVE key of a coordinator.
    Exclusive {
        /// `rootcoord`, `datacoord`, `querycoord`, `indexcoord`.
        component: String,
    },
    /// One of a component's sessions.
    Instance {
        /// `rootcoord`, …, `proxy`, `datanode`, `querynode`, `indexnode`.
        component: String,
        /// Whose.
        server_id: ServerId,
    },
}

impl Keys {
    /// From `etcd.rootPath`, `etcd.metaSubPath` and `etcd.kvSubPath`.
    pub fn new(root_path: &str, meta_sub_path: &str, kv_sub_path: &str) -> Self {
        Self {
            root: join([root_path]),
            meta: join([root_path, meta_sub_path]),
            kv: join([root_path, kv_sub_path]),
        }
    }

    /// The root path, without a slash at its end.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Where metadata lies, without a slash at its end.
    pub fn meta(&self) -> &str {
        &self.meta
    }

    /// Where windows lie, without a slash at its end.
    pub fn kv(&self) -> &str {
        &self.kv
    }

    /// Everything of this Milvus cluster.
    pub fn everything(&self) -> KeyRange {
        KeyRange::prefix(&join_prefix(&self.root))
    }

    /// Everything below a path of the metadata: `root-coord`, `session`.
    pub fn meta_range(&self, path: &str) -> KeyRange {
        KeyRange::prefix(&join_prefix(&join([&self.meta, path])))
    }

    /// The counter of server ids.
    pub fn server_id_counter(&self) -> String {
        join([&self.meta, "session/id"])
    }

    /// All sessions and the counter.
    pub fn sessions(&self) -> KeyRange {
        self.meta_range("session")
    }

    /// The ACTIVE key of a role.
    pub fn active(&self, role: Role) -> String {
        self.exclusive(role.name())
    }

    /// The session key of a component that has only one at a time.
    pub fn exclusive(&self, component: &str) -> String {
        join([&self.meta, "session", component])
    }

    /// The session key of one instance.
    pub fn instance(&self, component: &str, server_id: ServerId) -> String {
        join([&self.meta, "session", &format!("{component}-{server_id}")])
    }

    /// What a key below `<meta>/session/` is; `None` for any other key.
    pub fn parse_session(&self, key: &str) -> Option<SessionKey> {
        let name = key.strip_prefix(&self.sessions().start)?;
        if name == "id" {
            return Some(SessionKey::Counter);
        }
        if name.is_empty() || name.contains('/') {
            return None;
        }
        if let Some((component, id)) = name.rsplit_once('-')
            && !component.is_empty()
            && let Ok(id) = id.parse::<i64>()
        {
            return Some(SessionKey::Instance { component: component.to_owned(), server_id: ServerId(id) });
        }
        Some(SessionKey::Exclusive { component: name.to_owned() })
    }

    /// The end of the window of timestamps.
    pub fn timestamp_window(&self) -> String {
        join([&self.kv, "gid/timestamp"])
    }

    /// The end of the window of a role's ids, if it gives out any.
    pub fn id_window(&self, role: Role) -> Option<String> {
        match role {
            Role::RootCoord => Some(join([&self.kv, "gid/idTimestamp"])),
            Role::QueryCoord => Some(join([&self.kv, "querycoord-id-allocator/idTimestamp"])),
            Role::DataCoord => None,
        }
    }

    /// All pauses of automatic takeover.
    pub fn pauses(&self) -> KeyRange {
        self.own("pause")
    }

    /// The pause of a role's automatic takeover.
    pub fn pause(&self, role: Role) -> String {
        join([&self.pauses().start, role.name()])
    }

    /// The past takeovers of a role, the newest last as long as revisions rise.
    pub fn takeovers(&self, role: Role) -> KeyRange {
        self.own(&join(["history", role.name()]))
    }

    /// The takeover of a role that began the term of `epoch`.
    pub fn takeover(&self, role: Role, epoch: Epoch) -> String {
        format!("{}{:020}", self.takeovers(role).start, epoch.0)
    }

    /// What Milvus does not know.
    fn own(&self, path: &str) -> KeyRange {
        KeyRange::prefix(&join_prefix(&join([&self.kv, "milvus-coord", path])))
    }

    /// Settings in etcd.
    pub fn config(&self) -> KeyRange {
        KeyRange::prefix(&join_prefix(&join([&self.root, "config"])))
    }

    /// The setting that a key holds, as it is written there.
    pub fn parse_config<'a>(&self, key: &'a str) -> Option<&'a str> {
        let setting = key.strip_prefix(&self.config().start)?;
        (!setting.is_empty()).then_some(setting)
    }
}

/// With the slash that keeps `by-dev2` out of `by-dev`.
fn join_prefix(path: &str) -> String {
    if path.is_empty() || path.ends_with('/') { path.to_owned() } else { format!("{path}/") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys() -> Keys {
        Keys::new("by-dev", "meta", "kv")
    }

    #[test]
    fn keys_are_milvus_s_and_ours_stand_apart() {
        let keys = keys();
        let all = [
            keys.server_id_counter(),
            keys.active(Role::RootCoord),
            keys.instance("rootcoord", ServerId(7)),
            keys.timestamp_window(),
            keys.id_window(Role::RootCoord).unwrap(),
            keys.id_window(Role::QueryCoord).unwrap(),
            keys.pause(Role::RootCoord),
            keys.takeover(Role::DataCoord, Epoch(61)),
            keys.config().start,
            keys.config().end,
            keys.everything().start,
        ];
        assert_eq!(
            all,
            [
                "by-dev/meta/session/id",
                "by-dev/meta/session/rootcoord",
                "by-dev/meta/session/rootcoord-7",
                "by-dev/kv/gid/timestamp",
                "by-dev/kv/gid/idTimestamp",
                "by-dev/kv/querycoord-id-allocator/idTimestamp",
                "by-dev/kv/milvus-coord/pause/rootcoord",
                "by-dev/kv/milvus-coord/history/datacoord/00000000000000000061",
                "by-dev/config/",
                "by-dev/config0",
                "by-dev/",
            ]
        );
        assert!(!keys.everything().contains("by-dev2/meta/session/id"));
    }

    #[test]
    fn paths_are_joined_as_milvus_joins_them() {
        for (parts, joined) in [
            (vec!["by-dev", "meta"], "by-dev/meta"),
            (vec!["by-dev/", "/meta/"], "by-dev/meta"),
            (vec!["a//b/", "c"], "a/b/c"),
            (vec!["/root", "meta"], "/root/meta"),
            (vec!["", "meta"], "meta"),
            (vec!["by-dev", ""], "by-dev"),
        ] {
            assert_eq!(join(&parts), joined, "{parts:?}");
        }
    }

    #[test]
    fn session_keys_are_told_apart() {
        let keys = keys();
        let parse = |name: &str| keys.parse_session(&format!("by-dev/meta/session/{name}"));
        assert_eq!(parse("id"), Some(SessionKey::Counter));
        assert_eq!(parse("rootcoord"), Some(SessionKey::Exclusive { component: "rootcoord".into() }));
        assert_eq!(
            parse("datanode-12"),
            Some(SessionKey::Instance { component: "datanode".into(), server_id: ServerId(12) })
        );
        assert_eq!(parse("proxy-x"), Some(SessionKey::Exclusive { component: "proxy-x".into() }));
        assert_eq!(parse(""), None);
        assert_eq!(parse("a/b"), None);
        assert_eq!(keys.parse_session("by-dev/meta/root-coord/x"), None);
    }

    #[test]
    fn settings_keep_their_spelling() {
        assert_eq!(keys().parse_config("by-dev/config/rootCoord/port"), Some("rootCoord/port"));
        assert_eq!(keys().parse_config("by-dev/configX"), None);
        assert_eq!(keys().parse_config("by-dev/config/"), None);
    }

    proptest! {
        #[test]
        fn what_is_built_can_be_parsed(component in "[a-z]{1,12}", id in 1_i64..) {
            prop_assume!(component != "id");
            let keys = keys();
            let instance = SessionKey::Instance { component: component.clone(), server_id: ServerId(id) };
            prop_assert_eq!(keys.parse_session(&keys.instance(&component, ServerId(id))), Some(instance));
            let exclusive = SessionKey::Exclusive { component: component.clone() };
            prop_assert_eq!(keys.parse_session(&keys.exclusive(&component)), Some(exclusive));
            prop_assert!(keys.sessions().contains(&keys.exclusive(&component)));
        }
    }
}
