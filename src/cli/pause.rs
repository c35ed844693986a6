//! `pause` and `resume`: whether standbys take a role over by themselves.
//!
//! Both write into etcd, where all instances see it; none needs to be asked.

use std::{io::Write, time::Duration};

use jiff::tz::TimeZone;

use super::{
    exit::Exit,
    failure::Failure,
    rows::local_time,
    sessions::{Instance, Sessions, software},
};
use crate::{
    clock::{Clock, UnixNanos},
    election::{pause::Pause, session::Kind},
    etcd::{
        Etcd,
        call::CallError,
        keys::Keys,
        txn::{Guard, KeyValue, Op, Txn, TxnOutcome},
    },
    ids::{LeaseId, Role},
};

/// For each call to etcd.
const LIMIT: Duration = Duration::from_secs(5);
/// How often it is tried anew because somebody else was faster.
const TRIES: u32 = 3;

/// What `pause` is asked for.
#[derive(Clone, Debug)]
pub struct PauseOptions {
    /// Which coordinator.
    pub role: Role,
    /// For how long.
    pub length: Duration,
    /// In the operator's words; may be empty.
    pub reason: String,
}

/// Why automatic takeover is as it was, or may be.
#[derive(Debug, thiserror::Error)]
pub enum NotPaused {
    /// Etcd was not read, or took nothing; or nobody knows.
    #[error("nobody knows whether that was carried out: `milvus-coord status` shows a pause")]
    Etcd(#[source] CallError),
    /// It changed each time.
    #[error("others change the pause at the same time: try again")]
    Contended,
}

/// Keeps the standbys of a role from taking it over by themselves, for a while.
///
/// # Errors
/// [`Failure::Pause`], [`Failure::Sessions`], [`Failure::Output`].
pub async fn pause(
    etcd: &Etcd,
    keys: &Keys,
    clock: &dyn Clock,
    options: PauseOptions,
    out: &mut (dyn Write + Send),
) -> Result<Exit, Failure> {
    let PauseOptions { role, length, reason } = options;
    let sessions = Sessions::read(etcd, keys, LIMIT).await?;
    let since = clock.wall();
    let until: UnixNanos = since + length;
    let pause = Pause { since_ms: since.millis(), until_ms: until.millis(), reason, by: operator() };
    // Etcd counts whole seconds: rather too long, the instances end it in time.
    let ttl = Duration::from_secs(length.as_secs_f64().ceil() as u64);
    let lease = etcd.grant(ttl, LIMIT).await.map_err(NotPaused::Etcd)?.value.lease;
    let key = keys.pause(role);
    let put = Op::Put { key: key.clone(), value: pause.encode(), lease: Some(lease) };
    let replaced = match replace(etcd, &key, Some(put)).await {
        Ok(replaced) => replaced,
        Err(error) => {
            // It ends by itself, too.
            let _ = etcd.revoke(lease, LIMIT).await;
            return Err(error.into());
        }
    };
    end_lease(etcd, replaced.as_ref()).await;

    let shown = i64::try_from(pause.until_ms).ok().and_then(|ms| local_time(ms, &TimeZone::system()));
    writeln!(out, "automatic takeover of {role} is paused until {}", shown.unwrap_or_default())?;
    for foreign in sessions.instances.iter().filter(|instance| is_foreign(instance, role)) {
        if let Ok(session) = &foreign.session {
            let (id, software) = (session.server_id, software(session));
            writeln!(out, "{role} {id} at {} is {software} and does not heed it", session.address)?;
        }
    }
    out.flush()?;
    Ok(Exit::Done)
}

/// Ends a pause, if there is one.
///
/// # Errors
/// [`Failure::Pause`], [`Failure::Output`].
pub async fn resume(
    etcd: &Etcd,
    keys: &Keys,
    role: Role,
    out: &mut (dyn Write + Send),
) -> Result<Exit, Failure> {
    let removed = replace(etcd, &keys.pause(role), None).await?;
    end_lease(etcd, removed.as_ref()).await;
    match removed {
        Some(_) => writeln!(out, "automatic takeover of {role} is resumed")?,
        None => writeln!(out, "automatic takeover of {role} was not paused")?,
    }
    out.flush()?;
    Ok(Exit::Done)
}

/// Puts the key, or deletes it; returns what stood there.
async fn replace(etcd: &Etcd, key: &str, put: Option<Op>) -> Result<Option<KeyValue>, NotPaused> {
    for _ in 0..TRIES {
        let found = etcd.read(key, LIMIT).await.map_err(NotPaused::Etcd)?.value;
        let op = match (&put, &found) {
            (Some(put), _) => put.clone(),
            (None, Some(_)) => Op::delete(key),
            (None, None) => return Ok(None),
        };
        let txn =
            Txn { guards: vec![Guard::unchanged(key, found.as_ref())], then: vec![op], otherwise: vec![] };
        if let TxnOutcome::Done(_) = etcd.txn(txn, LIMIT).await.map_err(NotPaused::Etcd)? {
            return Ok(found);
        }
    }
    Err(NotPaused::Contended)
}

/// The lease of what was replaced: nothing hangs on it any more, and it would end by itself.
async fn end_lease(etcd: &Etcd, replaced: Option<&KeyValue>) {
    if let Some(kv) = replaced.filter(|kv| kv.lease != LeaseId(0)) {
        let _ = etcd.revoke(kv.lease, LIMIT).await;
    }
}

fn is_foreign(instance: &Instance, role: Role) -> bool {
    instance.role == role.name() && instance.kind() == Kind::Foreign
}

/// `user@host`, as far as they are known.
fn operator() -> String {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    match nix::unistd::User::from_uid(nix::unistd::getuid()) {
        Ok(Some(user)) => format!("{}@{host}", user.name),
        _ => host,
    }
}

#[cfg(test)]
mod tests;
