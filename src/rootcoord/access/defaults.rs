//! The users, roles and grants that every cluster has: decisions only.
//!
//! Only what is *absent* is made. What is there stays as it is, readable or not.

use std::collections::{BTreeMap, BTreeSet};

use milvus_proto::common::ObjectPrivilege;
use serde::Deserialize;

use super::{
    Access,
    entries::StoredUser,
    keys::{AccessKey, Grantee},
};
use crate::{
    etcd::{
        store::Write,
        txn::{Guard, Op},
    },
    rootcoord::keys::DEFAULT_DB_NAME,
};

/// The user that may do everything.
pub const ROOT: &str = "root";

/// Root's password until somebody changes it.
const ROOT_PASSWORD: &str = "Milvus";

/// Of bcrypt, as in Milvus: the least that there is.
const COST: u32 = 4;

/// Anything may be put in its place.
const ANY: &str = "*";

/// Etcd takes 128 operations and 128 compares; a grant needs up to two and three.
const MOST_OPS: usize = 50;

/// A password could not be hashed, because the system gives no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the password of {ROOT} can't be hashed")]
pub struct NoHash(#[from] bcrypt::BcryptError);

/// The hash of a password in the form that Milvus stores. Takes about a millisecond.
///
/// # Errors
/// [`NoHash`]
pub fn hash_password(password: &str) -> Result<String, NoHash> {
    Ok(bcrypt::hash_with_result(password, COST)?.format_for_version(bcrypt::Version::TwoA))
}

/// A privilege that a role shall have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Whose.
    pub role: String,
    /// `Global`, `Collection`, `User`
    pub object_type: String,
    /// A database, `*`, or nothing for `default`.
    pub db: String,
    /// A name or `*`.
    pub object_name: String,
    /// In its stored form: `PrivilegeQuery`, or `*`.
    pub privilege: String,
}

/// Why `builtinRoles.roles` can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BadRoles {
    /// It is no JSON of the expected form.
    #[error("builtinRoles.roles not invalid, should be json format")]
    Json(#[from] serde_json::Error),
    /// A privilege that Milvus doesn't have.
    #[error("builtinRoles.roles: role {role} has the unknown privilege {privilege:?}")]
    Privilege {
        /// Whose.
        role: String,
        /// As it is written there.
        privilege: String,
    },
    /// A role, an object type or an object without a name, or with a slash in it.
    #[error("builtinRoles.roles: {0:?} is no name")]
    Name(String),
}

/// Roles that the configuration describes and that can't be dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuiltinRoles {
    names: BTreeSet<String>,
    grants: Vec<Grant>,
}

#[derive(Deserialize)]
struct RoleDetails {
    #[serde(default)]
    privileges: Vec<PrivilegeDetails>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct PrivilegeDetails {
    object_type: String,
    object_name: String,
    privilege: String,
    db_name: String,
}

impl BuiltinRoles {
    /// From the text of `builtinRoles.roles`:
    /// `{"role": {"privileges": [{"object_type", "object_name", "privilege", "db_name"}]}}`.
    ///
    /// # Errors
    /// [`BadRoles`]
    pub fn parse(json: &str) -> Result<Self, BadRoles> {
        let parsed: BTreeMap<String, RoleDetails> = serde_json::from_str(json)?;
        let mut roles = Self::default();
        for (role, details) in parsed {
            check_name(&role)?;
            for details in details.privileges {
                roles.grants.push(grant(&role, details)?);
            }
            roles.names.insert(role);
        }
        Ok(roles)
    }

    /// Whether a role is one of these.
    pub fn contains(&self, role: &str) -> bool {
        self.names.contains(role)
    }
}

fn check_name(name: &str) -> Result<(), BadRoles> {
    if name.is_empty() || name.contains('/') { Err(BadRoles::Name(name.to_owned())) } else { Ok(()) }
}

fn grant(role: &str, details: PrivilegeDetails) -> Result<Grant, BadRoles> {
    let PrivilegeDetails { object_type, object_name, privilege, db_name } = details;
    [&object_type, &object_name].into_iter().try_for_each(|name| check_name(name))?;
    if !db_name.is_empty() {
        check_name(&db_name)?;
    }
    let stored = if privilege == ANY { privilege } else { format!("Privilege{privilege}") };
    if stored != ANY && ObjectPrivilege::from_str_name(&stored).is_none() {
        let privilege = stored["Privilege".len()..].to_owned();
        return Err(BadRoles::Privilege { role: role.to_owned(), privilege });
    }
    Ok(Grant { role: role.to_owned(), object_type, db: db_name, object_name, privilege: stored })
}

/// What has to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Whether there is the user [`ROOT`].
    root: bool,
    roles: Vec<String>,
    grants: Vec<Grant>,
}

impl Default for Defaults {
    fn default() -> Self {
        let public = |object_type: &str, privilege: ObjectPrivilege| Grant {
            role: "public".to_owned(),
            object_type: object_type.to_owned(),
            db: ANY.to_owned(),
            object_name: ANY.to_owned(),
            privilege: privilege.as_str_name().to_owned(),
        };
        Self {
            root: true,
            roles: vec!["admin".to_owned(), "public".to_owned()],
            grants: vec![
                public("Global", ObjectPrivilege::PrivilegeDescribeCollection),
                public("Global", ObjectPrivilege::PrivilegeShowCollections),
                public("Collection", ObjectPrivilege::PrivilegeIndexDetail),
            ],
        }
    }
}

impl Defaults {
    /// Nothing has to be there.
    pub fn none() -> Self {
        Self { root: false, roles: Vec::new(), grants: Vec::new() }
    }

    /// These roles, too.
    #[must_use]
    pub fn with(mut self, builtin: &BuiltinRoles) -> Self {
        self.roles.extend(builtin.names.iter().cloned());
        self.grants.extend(builtin.grants.iter().cloned());
        self
    }

    /// The next transaction that makes what is absent; `None`: everything is there. To be
    /// asked again after each, because a long list takes several.
    ///
    /// # Errors
    /// [`NoHash`]
    pub fn next(&self, access: &Access) -> Result<Option<Write>, NoHash> {
        let mut plan = Plan { access, write: Write::default(), put: BTreeSet::new() };
        if self.root && plan.lacks(&AccessKey::User(ROOT.to_owned())) {
            let user = StoredUser { encrypted_password: hash_password(ROOT_PASSWORD)? };
            let value = serde_json::to_vec(&user).expect("a text has a JSON form");
            plan.put(AccessKey::User(ROOT.to_owned()), value);
        }
        for role in &self.roles {
            if plan.has_room() && plan.lacks(&AccessKey::Role(role.clone())) {
                plan.put(AccessKey::Role(role.clone()), "");
            }
        }
        for grant in &self.grants {
            if plan.has_room() {
                plan.grant(grant, ROOT);
            }
        }
        Ok((!plan.write.ops.is_empty()).then_some(plan.write))
    }
}

/// A transaction in the making.
struct Plan<'a> {
    access: &'a Access,
    write: Write,
    put: BTreeSet<AccessKey>,
}

impl Plan<'_> {
    fn has_room(&self) -> bool {
        self.write.ops.len() < MOST_OPS
    }

    fn lacks(&self, key: &AccessKey) -> bool {
        !self.access.contains(key) && !self.put.contains(key)
    }

    /// Puts a key that is absent.
    fn put(&mut self, key: AccessKey, value: impl Into<Vec<u8>>) {
        let text = self.access.keys().build(&key);
        self.write.guards.push(Guard::Absent(text.clone()));
        self.write.ops.push(Op::put(text, value));
        self.put.insert(key);
    }

    /// Gives a role a privilege that it doesn't have: grantee and privilege together.
    fn grant(&mut self, grant: &Grant, grantor: &str) {
        let Grant { role, object_type, db, object_name, privilege } = grant;
        let grantee = Grantee::new(role, object_type, db, object_name);
        // Only where the database is named, as in Milvus.
        let old = (db == DEFAULT_DB_NAME).then(|| Grantee::without_db(role, object_type, object_name));
        let stored = [old.as_ref(), Some(&grantee)].into_iter().flatten();
        let found = stored.into_iter().find_map(|grantee| Some((grantee, self.access.id_of(grantee)?)));
        let id = match found {
            // What can't be read can't be granted to.
            Some((_, None)) => return,
            Some((_, Some(id))) => id.to_owned(),
            None => grantee.new_id(),
        };
        let wanted = AccessKey::Privilege { grantee: id.clone(), privilege: privilege.clone() };
        if !self.lacks(&wanted) {
            return;
        }
        match found {
            Some((grantee, _)) => {
                let key = self.access.keys().build(&AccessKey::Grantee(grantee.clone()));
                let guard = Guard::ValueIs(key, id.into_bytes());
                if !self.write.guards.contains(&guard) {
                    self.write.guards.push(guard);
                }
            }
            None => {
                if self.lacks(&AccessKey::Grantee(grantee.clone())) {
                    let old = old.map(|old| self.access.keys().build(&AccessKey::Grantee(old)));
                    self.write.guards.extend(old.map(Guard::Absent));
                    self.put(AccessKey::Grantee(grantee), id);
                }
            }
        }
        self.put(wanted, grantor);
    }
}
