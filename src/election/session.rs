//! The value of a session key: one JSON object, the fields of Milvus 2.3.5 in its
//! order, and our own at the end, which real readers ignore.
//!
//! Readers of Milvus give up a whole prefix if one value below it is no JSON or its
//! `Version` no plain semantic version, so what is written here must stay that way.

use serde::{Deserialize, Serialize};

use crate::{
    election::standing::Peer,
    ids::{LeaseId, Role, ServerId},
};

/// The release that this process takes the place of, as sessions name it.
pub const MILVUS_VERSION: &str = "2.3.5";

/// What a session key holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Session {
    /// The process.
    #[serde(rename = "ServerID", default, skip_serializing_if = "is_zero")]
    pub server_id: i64,
    /// `rootcoord`, `proxy`, …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub server_name: String,
    /// `host:port` of its gRPC server.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// Set by coordinators.
    #[serde(default, skip_serializing_if = "is_false")]
    pub exclusive: bool,
    /// Set by nodes that drain.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stopping: bool,
    /// Always there.
    #[serde(default)]
    pub trigger_kill: bool,
    /// A plain semantic version.
    #[serde(default)]
    pub version: String,
    /// Filled by querynodes only.
    #[serde(default)]
    pub index_engine_version: IndexEngineVersion,
    /// The lease that the key ends with. For reading only: what is revoked is taken
    /// from the key itself.
    #[serde(rename = "LeaseID", default, skip_serializing_if = "is_zero")]
    pub lease_id: i64,
    /// Of the machine or container.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host_name: String,
    /// Set by indexnodes with a disk.
    #[serde(default, skip_serializing_if = "is_false")]
    pub enable_disk: bool,
    /// `milvus-coord/<version>`: marks our own kind. Absent in real Milvus.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub coord: String,
    /// Who should rather be ACTIVE: the higher one. Counts only beside the mark of our own kind.
    #[serde(default, skip_serializing_if = "is_zero32")]
    pub priority: i32,
}

/// Index engine versions of a querynode; `{}` for everybody else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IndexEngineVersion {
    /// Oldest that it reads.
    #[serde(default, skip_serializing_if = "is_zero32")]
    pub minimal_index_version: i32,
    /// The one that it writes.
    #[serde(default, skip_serializing_if = "is_zero32")]
    pub current_index_version: i32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(n: &i64) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero32(n: &i32) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(b: &bool) -> bool {
    !*b
}

/// Which implementation stands behind a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ours, and it speaks our protocol: its key may be replaced in place.
    Own,
    /// Milvus's, or ours of an unknown protocol: it reacts to the deletion of its key only.
    Foreign,
}

impl Session {
    /// The session of a coordinator of our kind.
    pub fn coordinator(role: Role, id: ServerId, address: String, host_name: String) -> Self {
        Self {
            server_id: id.0,
            server_name: role.name().to_owned(),
            address,
            exclusive: true,
            stopping: false,
            trigger_kill: true,
            version: MILVUS_VERSION.to_owned(),
            index_engine_version: IndexEngineVersion::default(),
            lease_id: 0,
            host_name,
            enable_disk: false,
            coord: format!("milvus-coord/{}", env!("CARGO_PKG_VERSION")),
            priority: 0,
        }
    }

    /// The same, naming the lease that its key will have.
    #[must_use]
    pub fn with_lease(&self, lease: LeaseId) -> Self {
        Self { lease_id: lease.0, ..self.clone() }
    }

    /// The bytes of the key's value.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a struct of strings and numbers is always JSON")
    }

    /// Reads a key's value.
    ///
    /// # Errors
    /// If it is no JSON object of this shape.
    pub fn decode(value: &[u8]) -> Result<Self, serde_json::Error> {
        // Serde would take an array for a struct, too.
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(value)?;
        serde_json::from_value(object.into())
    }

    /// Where it can be reached.
    pub fn peer(&self) -> Peer {
        Peer { server_id: ServerId(self.server_id), address: self.address.clone() }
    }

    /// Which implementation wrote it.
    pub fn kind(&self) -> Kind {
        let theirs = self.coord.strip_prefix("milvus-coord/").and_then(protocol);
        if theirs.is_some() && theirs == protocol(env!("CARGO_PKG_VERSION")) {
            Kind::Own
        } else {
            Kind::Foreign
        }
    }
}

/// Releases that agree in this speak the same protocol: the major version, or below 1.0 the minor one.
fn protocol(version: &str) -> Option<(u64, u64)> {
    let version = semver::Version::parse(version).ok()?;
    Some(if version.major == 0 { (0, version.minor) } else { (version.major, 0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Session {
        Session::coordinator(Role::RootCoord, ServerId(3), "127.0.0.1:53100".into(), "vm".into())
            .with_lease(LeaseId(7587899049178795489))
    }

    #[test]
    fn fields_are_in_milvus_order_with_our_mark_at_the_end() {
        assert_eq!(
            String::from_utf8(ours().encode()).unwrap(),
            format!(
                concat!(
                    r#"{{"ServerID":3,"ServerName":"rootcoord","Address":"127.0.0.1:53100","Exclusive":true,"#,
                    r#""TriggerKill":true,"Version":"2.3.5","IndexEngineVersion":{{}},"#,
                    r#""LeaseID":7587899049178795489,"HostName":"vm","Coord":"milvus-coord/{}"}}"#
                ),
                env!("CARGO_PKG_VERSION")
            )
        );
    }

    #[test]
    fn a_priority_stands_behind_the_mark() {
        let preferred = Session { priority: -7, ..ours() };
        let text = String::from_utf8(preferred.encode()).unwrap();
        assert!(text.ends_with(&format!(r#""Coord":"{}","Priority":-7}}"#, preferred.coord)), "{text}");
        assert_eq!(Session::decode(&preferred.encode()).unwrap(), preferred);
    }

    #[test]
    fn a_real_session_is_read_and_is_of_the_other_kind() {
        let value = br#"{"ServerID":3,"ServerName":"rootcoord","Address":"127.0.0.1:53100","Exclusive":true,"TriggerKill":true,"Version":"2.3.5","IndexEngineVersion":{},"LeaseID":7587899049178795489,"HostName":"vm"}"#;
        let real = Session::decode(value).unwrap();
        assert_eq!(real, Session { coord: String::new(), ..ours() });
        assert_eq!(real.kind(), Kind::Foreign);
        assert_eq!(real.encode(), value);
    }

    #[test]
    fn kind_follows_the_protocol_of_the_mark() {
        let kind_of = |coord: &str| Session { coord: coord.into(), ..ours() }.kind();
        assert_eq!(ours().kind(), Kind::Own);
        assert_eq!(kind_of("milvus-coord/0.1.99"), Kind::Own);
        for foreign in ["", "milvus-coord/", "milvus-coord/99.0.0", "milvus-coord/0.99.0", "other/0.1.0"] {
            assert_eq!(kind_of(foreign), Kind::Foreign, "{foreign}");
        }
    }

    #[test]
    fn garbage_is_an_error() {
        for garbage in ["", "{", "[]", "\u{fffd}", "{\"ServerID\":\"x\"}"] {
            assert!(Session::decode(garbage.as_bytes()).is_err(), "{garbage}");
        }
    }
}
