//! Transactions as plain data: what is compared, what is done.

use crate::{
    etcd::call::Header,
    ids::{LeaseId, Revision},
};

/// A key with its value as etcd stores it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyValue {
    /// Printable in all of Milvus's keys.
    pub key: String,
    /// Raw bytes.
    pub value: Vec<u8>,
    /// When the key came into being.
    pub create_revision: Revision,
    /// When it was last put.
    pub mod_revision: Revision,
    /// The lease that it ends with; 0: none.
    pub lease: LeaseId,
}

/// What must hold of a key for a transaction to be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The key's last put was at this revision.
    ModIs(String, Revision),
    /// The key does not exist.
    Absent(String),
    /// The value, byte for byte, is this. False on a missing key.
    ValueIs(String, Vec<u8>),
    /// The value sorts below this one (big-endian numbers of equal width compare as numbers).
    /// False on a missing key.
    ValueBelow(String, Vec<u8>),
}

impl Guard {
    /// The key that it looks at.
    pub fn key(&self) -> &str {
        match self {
            Self::ModIs(key, _) | Self::Absent(key) | Self::ValueIs(key, _) | Self::ValueBelow(key, _) => key,
        }
    }

    /// The guard for replacing what was read: `Absent` where nothing was.
    pub fn unchanged(key: &str, read: Option<&KeyValue>) -> Self {
        match read {
            Some(kv) => Self::ModIs(key.to_owned(), kv.mod_revision),
            None => Self::Absent(key.to_owned()),
        }
    }
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Put a key, bound to a lease if one is given.
    Put {
        /// Which key.
        key: String,
        /// What it shall hold.
        value: Vec<u8>,
        /// Ends the key when it ends.
        lease: Option<LeaseId>,
    },
    /// Delete one key.
    Delete {
        /// Which key.
        key: String,
    },
}

impl Op {
    /// A put without a lease.
    pub fn put(key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self::Put { key: key.into(), value: value.into(), lease: None }
    }

    /// A delete.
    pub fn delete(key: impl Into<String>) -> Self {
        Self::Delete { key: key.into() }
    }

    /// The key that it changes.
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// If all guards hold, the operations are carried out at one revision; else the
/// `otherwise` keys are read, at one revision too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// All must hold.
    pub guards: Vec<Guard>,
    /// Carried out if they do. No key twice: etcd refuses that.
    pub then: Vec<Op>,
    /// Read if one does not.
    pub otherwise: Vec<String>,
}

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxnOutcome {
    /// All guards held; what was put now has the header's revision.
    Done(Header),
    /// One did not; the `otherwise` keys in their order, `None` where missing.
    GuardFailed(Header, Vec<Option<KeyValue>>),
}
