//! The etcd keys of users, roles and grants.
//!
//! | key, below `<meta>/root-coord/credential/` | value |
//! |---|---|
//! | `users/<user>` | JSON: `{"encrypted_password":"<bcrypt>"}` |
//! | `roles/<role>` | empty |
//! | `user-role-mapping/<user>/<role>` | empty |
//! | `grantee-privileges/<role>/<object type>/<db>.<object>` | the grantee's id |
//! | `grantee-privileges/<role>/<object type>/<object>` | the same, of before there were databases |
//! | `grantee-id/<id>/<privilege>` | who granted it |
//!
//! The ACTIVE one writes them; they have no history, and what is gone is deleted.

use md5::{Digest as _, Md5};

use crate::{etcd::mirror::KeyRange, rootcoord::keys::DEFAULT_DB_NAME};

const CREDENTIAL: &str = "root-coord/credential/";
const USERS: &str = "users/";
const ROLES: &str = "roles/";
const USER_ROLES: &str = "user-role-mapping/";
const GRANTEES: &str = "grantee-privileges/";
const PRIVILEGES: &str = "grantee-id/";

/// The objects on which a role has privileges.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grantee {
    /// Whose.
    pub role: String,
    /// `Global`, `Collection`, `User`
    pub object_type: String,
    /// `<db>.<name>`, either of which may be `*`; in old releases the name alone.
    pub object: String,
}

impl Grantee {
    /// With a database; no name stands for `default`.
    pub fn new(role: &str, object_type: &str, db: &str, name: &str) -> Self {
        let db = if db.is_empty() { DEFAULT_DB_NAME } else { db };
        Self { role: role.to_owned(), object_type: object_type.to_owned(), object: format!("{db}.{name}") }
    }

    /// As it was written before there were databases.
    pub fn without_db(role: &str, object_type: &str, name: &str) -> Self {
        Self { role: role.to_owned(), object_type: object_type.to_owned(), object: name.to_owned() }
    }

    /// Database and name. Of a name with points in it only what is before the second one
    /// counts, as in Milvus.
    pub fn db_and_name(&self) -> (&str, &str) {
        let mut parts = self.object.split('.');
        match (parts.next(), parts.next()) {
            (Some(db), Some(name)) => (db, name),
            _ => (DEFAULT_DB_NAME, &self.object),
        }
    }

    /// The id that it gets when it is written for the first time.
    pub fn new_id(&self) -> String {
        let digest = Md5::digest(self.path());
        // Eight of sixteen bytes: hexadecimal digits 8 to 23.
        digest[4..12].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn path(&self) -> String {
        format!("{CREDENTIAL}{GRANTEES}{}/{}/{}", self.role, self.object_type, self.object)
    }
}

/// A key taken apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccessKey {
    /// A user.
    User(String),
    /// A role.
    Role(String),
    /// A user has a role.
    UserRole {
        /// Who.
        user: String,
        /// Which.
        role: String,
    },
    /// A role has privileges on objects.
    Grantee(Grantee),
    /// One of these privileges.
    Privilege {
        /// Id of the grantee.
        grantee: String,
        /// In its stored form: `PrivilegeQuery`, or `*`.
        privilege: String,
    },
}

/// The keys below one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKeys {
    /// With a slash at the end.
    meta: String,
}

impl AccessKeys {
    /// `meta` is the full path without a slash at the end: `by-dev/meta`.
    pub fn new(meta: &str) -> Self {
        Self { meta: format!("{meta}/") }
    }

    /// What the mirror shall keep.
    pub fn range(&self) -> KeyRange {
        KeyRange::prefix(&format!("{}{CREDENTIAL}", self.meta))
    }

    /// The full key.
    pub fn build(&self, key: &AccessKey) -> String {
        let path = match key {
            AccessKey::User(user) => format!("{CREDENTIAL}{USERS}{user}"),
            AccessKey::Role(role) => format!("{CREDENTIAL}{ROLES}{role}"),
            AccessKey::UserRole { user, role } => format!("{CREDENTIAL}{USER_ROLES}{user}/{role}"),
            AccessKey::Grantee(grantee) => grantee.path(),
            AccessKey::Privilege { grantee, privilege } => {
                format!("{CREDENTIAL}{PRIVILEGES}{grantee}/{privilege}")
            }
        };
        format!("{}{path}", self.meta)
    }

    /// What a key means; `None` if it isn't one of these.
    pub fn parse(&self, key: &str) -> Option<AccessKey> {
        let path = key.strip_prefix(&self.meta)?.strip_prefix(CREDENTIAL)?;
        if let Some(path) = path.strip_prefix(USERS) {
            let [user] = parts(path)?;
            return Some(AccessKey::User(user));
        }
        if let Some(path) = path.strip_prefix(ROLES) {
            let [role] = parts(path)?;
            return Some(AccessKey::Role(role));
        }
        if let Some(path) = path.strip_prefix(USER_ROLES) {
            let [user, role] = parts(path)?;
            return Some(AccessKey::UserRole { user, role });
        }
        if let Some(path) = path.strip_prefix(GRANTEES) {
            let [role, object_type, object] = parts(path)?;
            return Some(AccessKey::Grantee(Grantee { role, object_type, object }));
        }
        let [grantee, privilege] = parts(path.strip_prefix(PRIVILEGES)?)?;
        Some(AccessKey::Privilege { grantee, privilege })
    }
}

/// The names in a path, if there are so many and none is empty.
fn parts<const N: usize>(path: &str) -> Option<[String; N]> {
    let parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    parts.try_into().ok().filter(|parts: &[String; N]| parts.iter().all(|part| !part.is_empty()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys() -> AccessKeys {
        AccessKeys::new("by-dev/meta")
    }

    #[track_caller]
    fn check(key: &AccessKey, path: &str) {
        let text = format!("by-dev/meta/root-coord/credential/{path}");
        assert_eq!(keys().build(key), text);
        assert_eq!(keys().parse(&text).as_ref(), Some(key));
        assert!(keys().range().contains(&text));
    }

    #[test]
    fn keys_are_spelled_as_milvus_spells_them() {
        let [user, role, privilege] = ["foo", "db_ro", "PrivilegeQuery"].map(str::to_owned);
        check(&AccessKey::User(user.clone()), "users/foo");
        check(&AccessKey::Role(role.clone()), "roles/db_ro");
        check(&AccessKey::UserRole { user, role }, "user-role-mapping/foo/db_ro");
        let grantee = Grantee::new("db_ro", "Collection", "", "*");
        check(&AccessKey::Grantee(grantee), "grantee-privileges/db_ro/Collection/default.*");
        let old = Grantee::without_db("db_ro", "Collection", "books");
        check(&AccessKey::Grantee(old), "grantee-privileges/db_ro/Collection/books");
        let grantee = "250dd41b686083b0".to_owned();
        check(&AccessKey::Privilege { grantee, privilege }, "grantee-id/250dd41b686083b0/PrivilegeQuery");
    }

    #[test]
    fn other_keys_are_none_of_these() {
        for path in [
            "root-coord/credential/users",
            "root-coord/credential/users/",
            "root-coord/credential/users/a/b",
            "root-coord/credential/roles/a/b",
            "root-coord/credential/user-role-mapping/a",
            "root-coord/credential/user-role-mapping/a//b",
            "root-coord/credential/grantee-privileges/a/Global",
            "root-coord/credential/grantee-privileges/a/Global/*.*/b",
            "root-coord/credential/grantee-id/0",
            "root-coord/credential/tenants/a",
            "root-coord/credentials/users/a",
        ] {
            assert_eq!(keys().parse(&format!("by-dev/meta/{path}")), None, "{path}");
        }
    }

    #[test]
    fn ids_of_grantees_are_those_that_milvus_computes() {
        assert_eq!(Grantee::new("public", "Global", "*", "*").new_id(), "250dd41b686083b0");
        assert_eq!(Grantee::new("public", "Collection", "*", "*").new_id(), "e03326696e8a3b16");
    }

    #[test]
    fn objects_are_taken_apart_as_milvus_does() {
        for (object, db, name) in [
            ("default.books", "default", "books"),
            ("books", "default", "books"),
            ("*", "default", "*"),
            ("*.*", "*", "*"),
            ("db.a.b", "db", "a"),
            ("db.", "db", ""),
        ] {
            assert_eq!(Grantee::without_db("r", "Collection", object).db_and_name(), (db, name), "{object}");
        }
    }

    fn any_key() -> impl Strategy<Value = AccessKey> {
        let name = "[^/]{1,8}";
        prop_oneof![
            name.prop_map(AccessKey::User),
            name.prop_map(AccessKey::Role),
            (name, name).prop_map(|(user, role)| AccessKey::UserRole { user, role }),
            (name, name, name).prop_map(|(role, object_type, object)| {
                AccessKey::Grantee(Grantee { role, object_type, object })
            }),
            (name, name).prop_map(|(grantee, privilege)| AccessKey::Privilege { grantee, privilege }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_built_parses_back(key in any_key()) {
            prop_assert_eq!(keys().parse(&keys().build(&key)), Some(key));
        }

        #[test]
        fn what_parses_is_what_was_built(path in "(users|roles|user-role-mapping|grantee-privileges|grantee-id)?[a-z*./]{0,12}") {
            let text = format!("by-dev/meta/root-coord/credential/{path}");
            if let Some(key) = keys().parse(&text) {
                prop_assert_eq!(keys().build(&key), text);
            }
        }
    }
}
