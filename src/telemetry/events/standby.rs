//! Registration, standby, and what is seen of the ACTIVE key.

use std::{error::Error, fmt, fmt::Write};

use tracing::{debug, error, info, warn};

use crate::{
    election::standing::Peer,
    etcd::txn::KeyValue,
    ids::{Revision, ServerId},
    telemetry::{events::Events, log::Chain},
};

impl Events {
    /// It runs as one of a pair, and is not the active one so far.
    pub fn standby_mode_entered(&self) {
        info!("{} enter standby mode successfully", self.role.title());
    }

    /// The own session stands in etcd.
    pub fn session_registered(&self, id: ServerId, key: &str, value: &str) {
        info!(key, value, "put session key into etcd");
        info!(ServerName = self.role.name(), serverID = id.0, "Service registered successfully");
    }

    /// It follows from now on.
    pub fn standby_entered(&self) {
        info!("serverName: {} enter STANDBY mode", self.role);
    }

    /// It still follows. To be said at once and then every ten seconds.
    pub fn in_standby(&self) {
        info!("serverName: {} is in STANDBY ...", self.role);
    }

    /// It asks for the ACTIVE key.
    pub fn registration_tried(&self) {
        info!("try to register as ACTIVE {} service...", self.role);
    }

    /// Etcd did not answer that, or refused it.
    pub fn registration_failed(&self, cause: &(dyn Error + 'static)) {
        error!(error = %Chain(cause), "register active key to etcd failed");
    }

    /// Somebody else has the ACTIVE key.
    pub fn already_registered(&self) {
        info!("ACTIVE {} has already been registered", self.role);
    }

    /// Without active-standby: it waits for the holder of the key to go. To be said every ten seconds.
    pub fn holder_awaited(&self, holder: &Peer) {
        warn!(
            holder = holder.server_id.0,
            address = holder.address,
            "ACTIVE {} is held by another instance and active-standby is off: waiting for it to go",
            self.role
        );
    }

    /// Changes of the ACTIVE key will be noticed.
    pub fn watch_started(&self, active_key: &str) {
        info!("{} start to watch ACTIVE key {active_key}", self.role);
    }

    /// Somebody put a key that decides who is active.
    pub fn watched_key_put(&self, kv: &KeyValue) {
        debug!(ADD = %KeyValueText::Put(kv), "watch the ACTIVE key");
    }

    /// A key that decides who is active is gone: the ACTIVE key, or its holder's session.
    ///
    /// A verdict can say so before etcd does, and the ACTIVE key is then replaced and never
    /// deleted. The line is due all the same, for those who wait for it: with the victim's
    /// epoch as the revision.
    pub fn watched_key_deleted(&self, key: &str, at: Revision) {
        debug!(DELETE = %KeyValueText::Deleted(key, at), "watch the ACTIVE key");
    }

    /// The holder of the ACTIVE key is gone.
    pub fn watch_stopped(&self, active_key: &str) {
        info!("stop watching ACTIVE key");
        info!("stop watching ACTIVE key {active_key}");
    }
}

/// A key as Go prints it: protobuf's compact text.
#[derive(Clone, Copy, Debug)]
pub enum KeyValueText<'a> {
    /// It was put.
    Put(&'a KeyValue),
    /// It was deleted at that revision.
    Deleted(&'a str, Revision),
}

impl fmt::Display for KeyValueText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(kv) => {
                f.write_str("key:")?;
                bytes(f, kv.key.as_bytes())?;
                write!(f, " create_revision:{} mod_revision:{}", kv.create_revision, kv.mod_revision)?;
                f.write_str(" value:")?;
                bytes(f, &kv.value)?;
                if kv.lease.0 != 0 {
                    write!(f, " lease:{}", kv.lease)?;
                }
            }
            Self::Deleted(key, at) => {
                f.write_str("key:")?;
                bytes(f, key.as_bytes())?;
                write!(f, " mod_revision:{at}")?;
            }
        }
        f.write_char(' ')
    }
}

fn bytes(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_char('"')?;
    for &byte in bytes {
        match byte {
            b'\n' => f.write_str(r"\n")?,
            b'\r' => f.write_str(r"\r")?,
            b'\t' => f.write_str(r"\t")?,
            b'"' => f.write_str("\\\"")?,
            b'\\' => f.write_str(r"\\")?,
            0x20..=0x7e => f.write_char(byte.into())?,
            other => write!(f, r"\{other:03o}")?,
        }
    }
    f.write_char('"')
}
