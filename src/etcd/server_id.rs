//! The counter of server ids, shared with every component of the cluster.

use std::time::Duration;

use crate::{
    etcd::{
        Etcd,
        call::CallError,
        txn::{Guard, Op, Txn, TxnOutcome},
    },
    ids::ServerId,
};

/// Why there is no id.
#[derive(Debug, thiserror::Error)]
pub enum NoServerId {
    /// Etcd.
    #[error("server id counter")]
    Call(#[source] CallError),
    /// Somebody wrote something else there. It is left alone.
    #[error("{key} holds {value:?}, not a decimal number: set it above the largest server id in use")]
    Garbage {
        /// The counter.
        key: String,
        /// What it holds.
        value: String,
    },
}

/// Takes the next id. An attempt without an answer may have used one up; ids may have gaps.
///
/// # Errors
/// [`NoServerId`].
pub async fn allocate(etcd: &Etcd, key: &str, limit: Duration) -> Result<ServerId, NoServerId> {
    loop {
        let read = etcd.read(key, limit).await.map_err(NoServerId::Call)?.value;
        let id = match &read {
            None => 1,
            Some(kv) => std::str::from_utf8(&kv.value)
                .ok()
                .and_then(|text| text.parse::<i64>().ok())
                .filter(|id| (1..i64::MAX).contains(id))
                .ok_or_else(|| NoServerId::Garbage {
                    key: key.to_owned(),
                    value: String::from_utf8_lossy(&kv.value).into_owned(),
                })?,
        };
        let txn = Txn {
            guards: vec![Guard::unchanged(key, read.as_ref())],
            then: vec![Op::put(key, (id + 1).to_string())],
            otherwise: vec![],
        };
        match etcd.txn(txn, limit).await.map_err(NoServerId::Call)? {
            TxnOutcome::Done(_) => return Ok(ServerId(id)),
            TxnOutcome::GuardFailed(..) => {}
        }
    }
}
