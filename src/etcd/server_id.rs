//! The number of this process within the Milvus cluster, drawn from a counter that
//! all components share. A number that was drawn and lost is not used again.

use std::time::Duration;

use crate::{
    etcd::{
        Etcd,
        call::CallError,
        keys::Keys,
        txn::{Guard, Op, Txn, TxnOutcome},
    },
    ids::ServerId,
};

/// The counter's first value.
const FIRST: i64 = 1;

/// Why no number was drawn.
#[derive(Debug, thiserror::Error)]
pub enum NoServerId {
    /// The counter holds something else than a positive number. It is left as it is:
    /// a guess could give out a number twice.
    #[error("{key} holds {value:?}, not a server id; somebody must correct it")]
    Unusable {
        /// The counter.
        key: String,
        /// What it holds.
        value: String,
    },
    /// Etcd did not answer, or refused.
    #[error("no server id from etcd")]
    Etcd(#[from] CallError),
}

/// Draws a number; creates the counter if it is missing. `limit` is for each call.
///
/// # Errors
/// [`NoServerId`]. After an unknown outcome another attempt draws another number.
pub async fn draw_server_id(etcd: &Etcd, keys: &Keys, limit: Duration) -> Result<ServerId, NoServerId> {
    let key = keys.server_id_counter();
    let mut found = etcd.read(&key, limit).await?.value;
    // Each round that fails is one in which another process drew a number.
    loop {
        let drawn = match &found {
            Some(kv) => usable(&kv.value).ok_or_else(|| NoServerId::Unusable {
                key: key.clone(),
                value: String::from_utf8_lossy(&kv.value).into_owned(),
            })?,
            None => FIRST,
        };
        let txn = Txn {
            guards: vec![Guard::unchanged(&key, found.as_ref())],
            then: vec![Op::put(&key, (drawn + 1).to_string())],
            otherwise: vec![key.clone()],
        };
        match etcd.txn(txn, limit).await? {
            TxnOutcome::Done(_) => return Ok(ServerId(drawn)),
            TxnOutcome::GuardFailed(_, seen) => found = seen.into_iter().next().flatten(),
        }
    }
}

/// A number that can be given out and counted on from.
fn usable(value: &[u8]) -> Option<i64> {
    let number = str::from_utf8(value).ok()?.parse().ok()?;
    (FIRST..i64::MAX).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_positive_decimal_numbers_count() {
        assert_eq!(usable(b"7"), Some(7));
        assert_eq!(usable(b"007"), Some(7));
        for value in ["", "0", "-3", "7 ", "seven", "7.0", "9223372036854775807", "9223372036854775808"] {
            assert_eq!(usable(value.as_bytes()), None, "{value}");
        }
        assert_eq!(usable(b"\xff7"), None);
    }
}
