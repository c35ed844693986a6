//! How a call is carried through: which member is asked, when another one is, and
//! when it is over.
//!
//! A read is repeated, and asked of two members at once if the first keeps silent:
//! it does no harm. A write is sent once; if no answer settles it, its end is
//! [`CallError::Unknown`], and what to do about that is the caller's business.

use std::{future::Future, io, sync::Arc, time::Duration};

use etcd_client::Error;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::etcd::{
    call::{Answer, CallError, Header, Refusal},
    classify::{BoxError, Failure, classify},
    connections::{Connection, Etcd},
    lane::{OpenFailure, Slot},
};

/// How often a login may turn out stale before the user is told that it is denied.
const STALE_LOGINS: u32 = 3;

/// How long to wait after that many failures in a row.
fn pause_after(failures: u32) -> Duration {
    let millis = 10_u64 << failures.min(6);
    Duration::from_millis(millis.min(500))
}

fn timed_out() -> BoxError {
    io::Error::from(io::ErrorKind::TimedOut).into()
}

impl From<OpenFailure> for Failure {
    fn from(failure: OpenFailure) -> Self {
        match failure {
            OpenFailure::Denied(text) => Self::Refused(Refusal::Denied(text)),
            failed @ OpenFailure::Failed { .. } => Self::NotSent(failed.into()),
        }
    }
}

impl Etcd {
    /// Asks until there is an answer or `limit` is over.
    pub(crate) async fn ask<T, F, A>(
        &self,
        what: &'static str,
        limit: Duration,
        ask: F,
    ) -> Result<Answer<T>, CallError>
    where
        F: Fn(Connection) -> A,
        A: Future<Output = Result<(Header, T), Error>>,
    {
        let mut last = None;
        let asking = self.ask_for_ever(&ask, &mut last);
        let end = match timeout(limit, asking).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(failure)) => failure,
            Err(_) => {
                if limit >= self.shared.hedge_after {
                    self.use_another_member();
                }
                last.unwrap_or_else(|| Failure::Lost(timed_out()))
            }
        };
        Err(end.of_read(what, &self.shared.endpoints))
    }

    /// Ends with an answer, or with a failure that repeating doesn't mend.
    async fn ask_for_ever<T, F, A>(&self, ask: &F, last: &mut Option<Failure>) -> Result<Answer<T>, Failure>
    where
        F: Fn(Connection) -> A,
        A: Future<Output = Result<(Header, T), Error>>,
    {
        let line = self.line();
        let mut failures = 0;
        let mut stale_logins = 0;
        let mut attempts = FuturesUnordered::new();
        attempts.push(self.attempt(line.current(), ask));
        let hedge = sleep(self.shared.hedge_after);
        tokio::pin!(hedge);
        loop {
            tokio::select! {
                Some((slot, result)) = attempts.next() => match result {
                    Ok(answer) => {
                        line.prefer(&slot);
                        return Ok(answer);
                    }
                    Err(failure @ (Failure::Refused(_) | Failure::AnswerTooLarge(_))) => return Err(failure),
                    Err(failure @ Failure::StaleLogin(_)) => {
                        stale_logins += 1;
                        if stale_logins >= STALE_LOGINS {
                            return Err(failure);
                        }
                        line.reopen(&slot);
                        *last = Some(failure);
                    }
                    Err(failure) => {
                        line.give_up(&slot);
                        *last = Some(failure);
                    }
                },
                () = &mut hedge, if attempts.len() == 1 => {
                    attempts.push(self.attempt(line.spare(), ask));
                }
            }
            if attempts.is_empty() {
                failures += 1;
                sleep(pause_after(failures)).await;
                attempts.push(self.attempt(line.current(), ask));
                hedge.as_mut().reset(Instant::now() + self.shared.hedge_after);
            }
        }
    }

    async fn attempt<T, F, A>(&self, slot: Arc<Slot>, ask: &F) -> (Arc<Slot>, Result<Answer<T>, Failure>)
    where
        F: Fn(Connection) -> A,
        A: Future<Output = Result<(Header, T), Error>>,
    {
        let connection = match slot.connection(&self.shared).await {
            Ok(connection) => connection,
            Err(failure) => return (slot, Err(failure.into())),
        };
        let (floor, sent) = self.shared.before_sending();
        let result = match ask(connection).await {
            Ok((header, value)) => {
                self.shared.answered(&floor, header);
                Ok(Answer { header, sent, value })
            }
            Err(error) => Err(classify(error)),
        };
        (slot, result)
    }

    /// Sends a write once, to the first member that can be reached, and waits for its end.
    pub(crate) async fn tell<T, F, A>(
        &self,
        what: &'static str,
        limit: Duration,
        tell: F,
    ) -> Result<Answer<T>, CallError>
    where
        F: Fn(Connection) -> A,
        A: Future<Output = Result<(Header, T), Error>>,
    {
        let line = self.line();
        let deadline = Instant::now() + limit;
        let end = |failure: Failure| Err(failure.of_write(what, &self.shared.endpoints));
        let mut failures = 0;
        let mut stale_logins = 0;
        loop {
            let slot = line.current();
            let not_sent = match timeout_at(deadline, slot.connection(&self.shared)).await {
                Err(_) => {
                    line.give_up(&slot);
                    return end(Failure::NotSent(timed_out()));
                }
                Ok(Err(failure)) => Failure::from(failure),
                Ok(Ok(connection)) => {
                    let (floor, sent) = self.shared.before_sending();
                    match timeout_at(deadline, tell(connection)).await {
                        Ok(Ok((header, value))) => {
                            self.shared.answered(&floor, header);
                            return Ok(Answer { header, sent, value });
                        }
                        Ok(Err(error)) => classify(error),
                        Err(_) => Failure::Lost(timed_out()),
                    }
                }
            };
            match not_sent {
                Failure::NotSent(_) => line.give_up(&slot),
                Failure::StaleLogin(_) if stale_logins + 1 < STALE_LOGINS => {
                    stale_logins += 1;
                    line.reopen(&slot);
                }
                failure @ (Failure::Refused(_) | Failure::StaleLogin(_)) => return end(failure),
                failure @ (Failure::Lost(_) | Failure::AnswerTooLarge(_)) => {
                    line.give_up(&slot);
                    return end(failure);
                }
            }
            failures += 1;
            let pause = pause_after(failures);
            if Instant::now() + pause >= deadline {
                return end(not_sent);
            }
            sleep(pause).await;
        }
    }
}
