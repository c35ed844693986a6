//! One stream of keep-alives for one lease.

use std::{sync::Arc, time::Duration};

use crate::{
    etcd::{
        call::{CallError, Refusal},
        classify::{Failure, classify},
        connections::{Connection, Etcd, Shared, header},
        lane::Slot,
        lease_clock::Renewal,
    },
    ids::LeaseId,
};

const WHAT: &str = "lease keep-alive";

/// An open stream.
#[derive(Debug)]
pub(crate) struct KeepAlives {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    sender: etcd_client::LeaseKeeper,
    answers: etcd_client::LeaseKeepAliveStream,
}

impl Etcd {
    /// The current connection, for a stream. A connection that can't be opened is given up.
    pub(crate) async fn stream_connection(&self) -> Result<(Arc<Slot>, Connection), Failure> {
        let slot = self.line().current();
        match slot.connection(&self.shared).await {
            Ok(connection) => Ok((slot, connection)),
            Err(failure) => {
                self.line().give_up(&slot);
                Err(failure.into())
            }
        }
    }

    /// Opens a stream, which renews the lease for the first time.
    pub(crate) async fn keep_alives(&self, lease: LeaseId) -> Result<KeepAlives, CallError> {
        let end = |failure: Failure| failure.of_write(WHAT, &self.shared.endpoints);
        let (slot, mut connection) = self.stream_connection().await.map_err(end)?;
        match connection.lease.keep_alive(lease.0).await {
            Ok((sender, answers)) => {
                Ok(KeepAlives { shared: Arc::clone(&self.shared), slot, sender, answers })
            }
            Err(error) => {
                let failure = classify(error);
                if matches!(failure, Failure::StaleLogin(_)) {
                    self.line().reopen(&slot);
                }
                Err(end(failure))
            }
        }
    }
}

impl KeepAlives {
    /// The connection that it goes by.
    pub(crate) fn slot(&self) -> Arc<Slot> {
        Arc::clone(&self.slot)
    }

    /// Renews the lease. Not to be called again after an error or an unfinished call:
    /// the next answer would be taken for that of another question.
    pub(crate) async fn renew(&mut self) -> Result<Renewal, CallError> {
        let endpoints = self.shared.endpoints.clone();
        let end = |error| classify(error).of_write(WHAT, &endpoints);
        let (floor, sent) = self.shared.before_sending();
        self.sender.keep_alive().await.map_err(end)?;
        let Some(answer) = self.answers.message().await.map_err(end)? else {
            return Err(Failure::Lost("etcd ended the stream".into()).of_write(WHAT, &endpoints));
        };
        let header = header(answer.header());
        self.shared.heard(&floor, header);
        let ttl = u64::try_from(answer.ttl()).unwrap_or(0);
        if ttl == 0 {
            return Err(CallError::Refused { what: WHAT, refusal: Refusal::LeaseNotFound });
        }
        Ok(Renewal {
            sent,
            answered: self.shared.clock.boot(),
            ttl: Duration::from_secs(ttl),
            raft_term: header.raft_term,
        })
    }
}
