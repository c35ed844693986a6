use std::{collections::BTreeSet, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::etcd::{
    call::Header,
    commit::{Commit as _, memory::MemoryStore},
};

const PREFIX: &str = "by-dev/meta/root-coord/credential/";

/// The state on a store that nobody else looks at.
struct Bed {
    store: Arc<MemoryStore>,
    access: Access,
}

impl Bed {
    fn new(stored: &[(&str, &str)]) -> Self {
        let store = Arc::new(MemoryStore::default());
        for (path, value) in stored {
            store.put(&format!("{PREFIX}{path}"), *value);
        }
        let mut bed = Self { store, access: Access::new(AccessKeys::new("by-dev/meta")) };
        bed.load();
        bed
    }

    fn load(&mut self) -> News {
        self.access.event(&MirrorEvent::Reset);
        for kv in self.store.keys() {
            self.access.event(&MirrorEvent::Entry(kv));
        }
        self.store.take_events();
        self.access
            .event(&MirrorEvent::Loaded(Header { revision: self.store.revision(), ..Header::default() }))
    }

    fn hear(&mut self) -> Vec<News> {
        self.store.take_events().iter().map(|event| self.access.event(event)).collect()
    }

    /// Makes everything that is absent; returns the number of operations of each transaction.
    async fn ensure(&mut self, defaults: &Defaults) -> Vec<usize> {
        let mut writes = Vec::new();
        while let Some(write) = defaults.next(&self.access).expect("random numbers") {
            self.access.writing(&write.ops);
            let committed = self.store.commit_settled(&write).await.expect("as it was read");
            self.access.written(&write.ops, committed.revision);
            writes.push(write.ops.len());
        }
        writes
    }

    fn stored(&self) -> Vec<(String, String)> {
        let text = |kv: crate::etcd::txn::KeyValue| {
            let path = kv.key.strip_prefix(PREFIX).expect("nothing else is there").to_owned();
            (path, String::from_utf8(kv.value).expect("text"))
        };
        self.store.keys().into_iter().map(text).collect()
    }
}

#[tokio::test]
async fn an_empty_cluster_gets_what_milvus_makes_in_one_transaction() {
    let mut bed = Bed::new(&[]);
    assert_eq!(bed.ensure(&Defaults::default()).await, [8]);
    let mut stored = bed.stored();
    let root = stored.remove(stored.iter().position(|(path, _)| path == "users/root").expect("root"));
    let expected = [
        ("grantee-id/250dd41b686083b0/PrivilegeDescribeCollection", "root"),
        ("grantee-id/250dd41b686083b0/PrivilegeShowCollections", "root"),
        ("grantee-id/e03326696e8a3b16/PrivilegeIndexDetail", "root"),
        ("grantee-privileges/public/Collection/*.*", "e03326696e8a3b16"),
        ("grantee-privileges/public/Global/*.*", "250dd41b686083b0"),
        ("roles/admin", ""),
        ("roles/public", ""),
    ];
    assert_eq!(stored, expected.map(|(path, value)| (path.to_owned(), value.to_owned())));

    assert!(root.1.starts_with(r#"{"encrypted_password":"$2a$04$"#), "{}", root.1);
    let credential = bed.access.credential("root").expect("it was made");
    assert_eq!(bcrypt::verify("Milvus", &credential.encrypted_password).ok(), Some(true));
    assert!(bed.hear().iter().all(|news| news.foreign.is_none() && news.undecodable.is_empty()));
    assert_eq!(bed.ensure(&Defaults::default()).await, [] as [usize; 0]);
    assert_eq!((bed.access.users(), bed.access.roles()), (1, 2));
}

#[tokio::test]
async fn what_is_there_stays_as_it_is_readable_or_not() {
    let there = [
        ("users/root", "no JSON"),
        ("roles/admin", "x"),
        ("grantee-privileges/public/Global/*.*", "0123456789abcdef"),
        ("grantee-privileges/public/Collection/*.*", ""),
    ];
    let mut bed = Bed::new(&there);
    assert_eq!(bed.ensure(&Defaults::default()).await, [3]);
    let stored = bed.stored();
    for (path, value) in there {
        assert!(stored.contains(&(path.to_owned(), value.to_owned())), "{path}");
    }
    let granted: Vec<_> = stored.iter().filter(|(path, _)| path.starts_with("grantee-id/")).collect();
    assert_eq!(granted.len(), 2, "under the id that was there; nothing for the unreadable one: {granted:?}");
    assert!(granted.iter().all(|(path, _)| path.starts_with("grantee-id/0123456789abcdef/")));
    let keys: Vec<&str> = bed.access.undecodable().collect();
    assert_eq!(keys, [format!("{PREFIX}{}", there[3].0), format!("{PREFIX}users/root")]);
    let error = bed.access.credential("root").expect_err("unreadable");
    assert_eq!(error, NoCredential::Undecodable(format!("{PREFIX}users/root")));
}

#[tokio::test]
async fn a_default_is_not_made_over_what_somebody_else_has_made_meanwhile() {
    let bed = Bed::new(&[]);
    let write = Defaults::default().next(&bed.access).expect("random numbers").expect("nothing is there");
    bed.store.put(&format!("{PREFIX}users/root"), r#"{"encrypted_password":"theirs"}"#);
    bed.store.commit_settled(&write).await.expect_err("root is not absent");
    assert_eq!(bed.stored().len(), 1);
}

#[tokio::test]
async fn built_in_roles_are_made_in_as_many_transactions_as_they_need() {
    let privilege = |i: usize| {
        format!(
            r#"{{"object_type":"Collection","object_name":"c{i}","privilege":"Query","db_name":"default"}}"#
        )
    };
    let many: Vec<String> = (0..80).map(privilege).collect();
    let json = format!(r#"{{"db_ro":{{"privileges":[{}]}},"idle":{{}}}}"#, many.join(","));
    let roles = BuiltinRoles::parse(&json).expect("as in the guide");
    assert!(roles.contains("db_ro") && roles.contains("idle") && !roles.contains("public"));

    let mut bed = Bed::new(&[("grantee-privileges/db_ro/Collection/c7", "of_old")]);
    let writes = bed.ensure(&Defaults::default().with(&roles)).await;
    assert!(writes.len() > 3 && writes.iter().all(|&ops| ops <= 51), "{writes:?}");
    let policy = bed.access.list_policy();
    assert_eq!(policy.infos.len(), 83);
    let paths: BTreeSet<String> = bed.stored().into_iter().map(|(path, _)| path).collect();
    assert!(paths.contains("grantee-id/of_old/PrivilegeQuery"), "old releases' grants are continued");
    assert!(!paths.contains("grantee-privileges/db_ro/Collection/default.c7"));
    assert!(paths.contains("grantee-privileges/db_ro/Collection/default.c8"));
}

#[test]
fn built_in_roles_that_make_no_sense_are_refused() {
    let one = |object: &str, privilege: &str| {
        format!(
            r#"{{"r":{{"privileges":[{{"object_type":"Global","object_name":"{object}","privilege":"{privilege}"}}]}}}}"#
        )
    };
    assert!(BuiltinRoles::parse(&one("*", "*")).is_ok());
    assert!(matches!(BuiltinRoles::parse("[]"), Err(BadRoles::Json(_))));
    assert!(matches!(BuiltinRoles::parse(r#"{"a/b":{}}"#), Err(BadRoles::Name(name)) if name == "a/b"));
    assert!(matches!(BuiltinRoles::parse(&one("", "All")), Err(BadRoles::Name(_))));
    let unknown = BuiltinRoles::parse(&one("*", "Fly")).expect_err("no such privilege");
    assert_eq!(unknown.to_string(), r#"builtinRoles.roles: role r has the unknown privilege "Fly""#);
}

#[test]
fn an_unknown_user_has_milvus_s_error() {
    let error = Bed::new(&[]).access.credential("foo").expect_err("nobody is there");
    let error = MilvusError::from(&error);
    let text = "key not found[key=by-dev/meta/root-coord/credential/users/foo]";
    assert_eq!((error.code(), error.to_string().as_str()), (1000, text));
}

#[test]
fn policies_are_worded_as_proxies_keep_them() {
    let bed = Bed::new(&[
        ("grantee-privileges/db_ro/Collection/default.*", "id1"),
        ("grantee-privileges/db_ro/Collection/old", "id2"),
        ("grantee-privileges/db_ro/User/default.a.b", "id3"),
        ("grantee-privileges/none/Global/*.*", "id"),
        ("grantee-id/id1/PrivilegeQuery", "root"),
        ("grantee-id/id1/*", "root"),
        ("grantee-id/id2/PrivilegeLoad", "root"),
        ("grantee-id/id3/PrivilegeSelectUser", "root"),
        ("user-role-mapping/foo/db_ro", ""),
        ("user-role-mapping/foo/public", ""),
        ("users/foo", r#"{"encrypted_password":"x"}"#),
    ]);
    let policy = bed.access.list_policy();
    assert_eq!(
        policy.infos,
        [
            r#"{"PType":"p","V0":"db_ro","V1":"Collection-default.*","V2":"*"}"#,
            r#"{"PType":"p","V0":"db_ro","V1":"Collection-default.*","V2":"PrivilegeQuery"}"#,
            r#"{"PType":"p","V0":"db_ro","V1":"Collection-default.old","V2":"PrivilegeLoad"}"#,
            r#"{"PType":"p","V0":"db_ro","V1":"User-default.a","V2":"PrivilegeSelectUser"}"#,
        ]
    );
    assert_eq!(policy.user_roles, ["foo/db_ro", "foo/public"]);
}

#[test]
fn passwords_are_not_shown() {
    let bed = Bed::new(&[("users/foo", r#"{"encrypted_password":"secret"}"#)]);
    let shown = format!("{:?}", bed.access.credential("foo"));
    assert!(shown.contains("foo") && !shown.contains("secret"), "{shown}");
}

#[test]
fn own_deletes_count_before_the_mirror_has_heard_of_the_put() {
    let mut bed = Bed::new(&[]);
    let key = format!("{PREFIX}roles/r");
    bed.store.put(&key, "");
    let put = bed.store.take_events();
    let at = bed.store.delete(&key);
    bed.access.written(&[Op::delete(key.clone())], at);
    put.iter().for_each(|event| _ = bed.access.event(event));
    assert_eq!(bed.access.roles(), 0);
    bed.hear();
    bed.access.event(&MirrorEvent::UpTo(at));
    assert_eq!(bed.access.roles(), 0);
}

#[test]
fn a_snapshot_that_is_too_old_does_not_undo_own_writes() {
    let mut bed = Bed::new(&[("roles/a", "")]);
    bed.access.event(&MirrorEvent::Reset);
    let old = bed.store.keys();
    let before = bed.store.revision();
    let (key, gone) = (format!("{PREFIX}roles/b"), format!("{PREFIX}roles/a"));
    bed.store.put(&key, "");
    let at = bed.store.delete(&gone);
    bed.access.written(&[Op::put(key, ""), Op::delete(gone)], at);
    for kv in old {
        bed.access.event(&MirrorEvent::Entry(kv));
    }
    let news = bed.access.event(&MirrorEvent::Loaded(Header { revision: before, ..Header::default() }));
    assert!(news.loaded && bed.access.contains(&AccessKey::Role("b".to_owned())));
    assert_eq!(bed.access.roles(), 1);
}

#[test]
fn what_somebody_else_writes_counts_and_is_told_of() {
    let mut bed = Bed::new(&[]);
    bed.store.put(&format!("{PREFIX}users/foo"), "{}");
    bed.store.put(&format!("{PREFIX}tenants/x"), "");
    let at = bed.store.put("by-dev/meta/root-coord/other", "");
    let news = bed.hear();
    assert!(news[0].foreign.is_some() && news[0].undecodable[0].1.what == "value");
    assert_eq!(news[1].undecodable[0].1.what, "key");
    assert_eq!(news[2], News::default());
    assert!(at > Revision(0) && bed.access.contains(&AccessKey::User("foo".to_owned())));
    bed.store.put(&format!("{PREFIX}users/foo"), r#"{"encrypted_password":"x"}"#);
    bed.hear();
    assert!(bed.access.credential("foo").is_ok());
}

proptest! {
    /// Own writes and events of the mirror in any order that can be: at last memory is
    /// what etcd holds, and an own write is never unseen once it was acknowledged.
    #[test]
    fn memory_follows_etcd(steps in prop::collection::vec((0_u8..5, 0_u8..4, any::<bool>()), 0..60)) {
        let mut bed = Bed::new(&[]);
        let mut delayed = std::collections::VecDeque::new();
        for (what, which, put) in steps {
            let name = format!("r{which}");
            let key = format!("{PREFIX}roles/{name}");
            match what {
                0 | 1 => {
                    let at = if put { bed.store.put(&key, "") } else { bed.store.delete(&key) };
                    delayed.extend(bed.store.take_events());
                    if what == 0 {
                        let op = if put { Op::put(key, "") } else { Op::delete(key) };
                        bed.access.written(&[op], at);
                        prop_assert_eq!(bed.access.contains(&AccessKey::Role(name)), put);
                    }
                }
                2 => {
                    bed.load();
                    delayed.clear();
                }
                _ => if let Some(event) = delayed.pop_front() {
                    bed.access.event(&event);
                },
            }
        }
        delayed.iter().for_each(|event| _ = bed.access.event(event));
        bed.access.event(&MirrorEvent::UpTo(bed.store.revision()));
        let known: Vec<String> = (0..4)
            .map(|which| format!("r{which}"))
            .filter(|name| bed.access.contains(&AccessKey::Role(name.clone())))
            .map(|name| format!("{PREFIX}roles/{name}"))
            .collect();
        let stored: Vec<String> = bed.store.keys().into_iter().map(|kv| kv.key).collect();
        prop_assert_eq!(known, stored);
    }
}
