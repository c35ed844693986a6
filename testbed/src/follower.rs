//! A client that finds the ACTIVE rootcoord and follows it as Milvus 2.3.5's own
//! clients do: it learns of a new one only by a failing call.
//!
//! One call is made up to ten times, with growing pauses between; what a failure
//! means is decided by [`judge`]. All callers of one process share a connection,
//! which is replaced at most once a second.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;
use tonic::Code;

use crate::{
    grpc::{Direct, Failure, Span},
    session::Sessions,
};

/// How often a call is made (`grpc.client.maxMaxAttempts`).
const ATTEMPTS: u32 = 10;

/// At most this often a connection is replaced (`grpc.client.minResetInterval`).
const RESET_INTERVAL: Duration = Duration::from_secs(1);

/// At most this often the sessions are looked up without need (`grpc.client.minSessionCheckInterval`).
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// What follows from the outcome of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The caller gets this outcome.
    Return,
    /// Once more on the same connection.
    Again,
    /// Once more; the connection is kept if the sessions still name its server.
    AgainAfterCheck,
    /// Once more, on a new connection.
    AgainElsewhere,
}

/// What Milvus's clients do after a failed attempt.
pub fn judge(failure: &Failure) -> Next {
    match failure {
        Failure::Nobody(_) | Failure::Connect { .. } => Next::AgainElsewhere,
        Failure::Answer(status) if status.retriable => Next::Again,
        Failure::Answer(_) => Next::Return,
        Failure::Grpc(status) => match status.code() {
            Code::Cancelled | Code::DeadlineExceeded => Next::AgainAfterCheck,
            Code::Unimplemented => Next::Return,
            _ => Next::AgainElsewhere,
        },
    }
}

/// The pause after the `attempt`-th attempt, counted from 0.
pub fn pause(attempt: u32) -> Duration {
    Duration::from_millis(200 << attempt.min(10)).min(Duration::from_secs(10))
}

/// One call, from its first attempt to its result.
#[derive(Clone, Debug)]
pub struct Made<T> {
    /// When the attempt that gave the outcome began.
    pub last_attempt: Instant,
    /// How many attempts there were.
    pub attempts: u32,
    /// The server id of the instance that gave the outcome.
    pub server: Option<i64>,
    /// The outcome.
    pub outcome: Result<T, Failure>,
}

/// The client. Clones share the connection, as the callers of one process do.
#[derive(Clone, Debug)]
pub struct Follower {
    sessions: Sessions,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    connection: Option<(u64, Direct)>,
    number: u64,
    last_reset: Option<Instant>,
    last_check: Option<Instant>,
}

impl Follower {
    /// A client that looks the ACTIVE key up in `sessions`. Connects at its first call.
    pub fn new(sessions: Sessions) -> Self {
        Self { sessions, shared: Arc::default() }
    }

    /// A client of another process: with a connection of its own.
    #[must_use]
    pub fn separate(&self) -> Self {
        Self::new(self.sessions.clone())
    }

    /// The connection, made if there is none.
    async fn connection(&self) -> Result<(u64, Direct), Failure> {
        let mut shared = self.shared.lock().await;
        if let Some(connection) = &shared.connection {
            return Ok(connection.clone());
        }
        let active = match self.sessions.active().await {
            Ok(Some(active)) => active,
            Ok(None) => return Err(Failure::Nobody("no ACTIVE key".to_owned())),
            Err(e) => return Err(Failure::Nobody(e.to_string())),
        };
        let direct = Direct::connect(&active.address, Some(active.server_id)).await?;
        shared.number += 1;
        let connection = (shared.number, direct);
        shared.connection = Some(connection.clone());
        Ok(connection)
    }

    /// Forgets connection `number`, unless one was forgotten within the last second.
    async fn reset(&self, number: u64) {
        let mut shared = self.shared.lock().await;
        let now = Instant::now();
        let too_soon = shared.last_reset.is_some_and(|last| now - last < RESET_INTERVAL);
        if !too_soon && shared.connection.as_ref().is_some_and(|(current, _)| *current == number) {
            shared.connection = None;
            shared.last_reset = Some(now);
        }
    }

    /// Whether the sessions name another server than `server` as ACTIVE, or none.
    async fn moved(&self, server: Option<i64>) -> bool {
        {
            let mut shared = self.shared.lock().await;
            let now = Instant::now();
            if shared.last_check.is_some_and(|last| now - last < CHECK_INTERVAL) {
                return false;
            }
            shared.last_check = Some(now);
        }
        match self.sessions.active().await {
            Ok(active) => active.map(|a| a.server_id) != server,
            Err(_) => false,
        }
    }

    /// Makes a call, with as many attempts as a Milvus component would make.
    pub async fn call<T, F>(&self, call: impl Fn(Direct) -> F) -> Made<T>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut connection = self.connection().await;
        let mut attempt = 0;
        loop {
            let last_attempt = Instant::now();
            let (server, failure) = match &connection {
                Ok((number, direct)) => match call(direct.clone()).await {
                    Ok(value) => {
                        let (attempts, server) = (attempt + 1, direct.server_id());
                        return Made { last_attempt, attempts, server, outcome: Ok(value) };
                    }
                    Err(failure) => {
                        let (number, server) = (*number, direct.server_id());
                        let elsewhere = match judge(&failure) {
                            Next::Return => {
                                return Made {
                                    last_attempt,
                                    attempts: attempt + 1,
                                    server,
                                    outcome: Err(failure),
                                };
                            }
                            Next::Again => false,
                            Next::AgainAfterCheck => self.moved(server).await,
                            Next::AgainElsewhere => true,
                        };
                        if elsewhere {
                            self.reset(number).await;
                            connection = self.connection().await;
                        }
                        (server, failure)
                    }
                },
                Err(failure) => {
                    let failure = failure.clone();
                    connection = self.connection().await;
                    (None, failure)
                }
            };
            attempt += 1;
            if attempt == ATTEMPTS {
                return Made { last_attempt, attempts: attempt, server, outcome: Err(failure) };
            }
            // The pause comes first, even when a new connection is there already.
            tokio::time::sleep(pause(attempt - 1)).await;
        }
    }

    /// `AllocTimestamp`.
    ///
    /// # Errors
    /// The last attempt's.
    pub async fn alloc_timestamp(&self, count: u32) -> Result<Span, Failure> {
        self.call(|to| async move { to.alloc_timestamp(count).await }).await.outcome
    }

    /// `AllocID`.
    ///
    /// # Errors
    /// The last attempt's.
    pub async fn alloc_id(&self, count: u32) -> Result<Span, Failure> {
        self.call(|to| async move { to.alloc_id(count).await }).await.outcome
    }

    /// `CreateDatabase`.
    ///
    /// # Errors
    /// The last attempt's.
    pub async fn create_database(&self, name: &str) -> Result<(), Failure> {
        self.call(|to| async move { to.create_database(name).await }).await.outcome
    }

    /// `DropDatabase`.
    ///
    /// # Errors
    /// The last attempt's.
    pub async fn drop_database(&self, name: &str) -> Result<(), Failure> {
        self.call(|to| async move { to.drop_database(name).await }).await.outcome
    }

    /// `ListDatabases`: the names, sorted.
    ///
    /// # Errors
    /// The last attempt's.
    pub async fn list_databases(&self) -> Result<Vec<String>, Failure> {
        self.call(|to| async move { to.list_databases().await }).await.outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_judged_as_milvus_clients_do() {
        let grpc = |code, text: &str| Failure::Grpc(Box::new(tonic::Status::new(code, text)));
        let answer = |retriable| {
            Failure::Answer(milvus_proto::common::Status { code: 1, retriable, ..Default::default() })
        };
        for (failure, expected) in [
            (Failure::Nobody(String::new()), Next::AgainElsewhere),
            (grpc(Code::Unknown, "node not match[expectedNodeID=1][actualNodeID=2]"), Next::AgainElsewhere),
            (grpc(Code::Unavailable, "gone"), Next::AgainElsewhere),
            (grpc(Code::DeadlineExceeded, ""), Next::AgainAfterCheck),
            (grpc(Code::Unimplemented, ""), Next::Return),
            (answer(true), Next::Again),
            (answer(false), Next::Return),
        ] {
            assert_eq!(judge(&failure), expected, "{failure}");
        }
    }

    #[test]
    fn pauses_double_up_to_ten_seconds() {
        let pauses: Vec<u64> = (0..9).map(|k| u64::try_from(pause(k).as_millis()).unwrap()).collect();
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]);
    }
}
