//! How long a lease still lives by etcd's own clock: for operators. What a process may
//! conclude about its own lease, the lease keeper says.

use std::{io, time::Duration};

use tokio::time::{sleep, timeout};

use crate::{
    etcd::{
        call::{CallError, Refusal},
        classify::{Failure, classify},
        connections::{Etcd, header},
    },
    ids::LeaseId,
};

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

impl Etcd {
    /// How long the lease lives if nobody renews it, in whole seconds. `None`: it is over.
    ///
    /// # Errors
    /// [`CallError`], when there is no answer within `limit`.
    pub async fn time_to_live(&self, lease: LeaseId, limit: Duration) -> Result<Option<Duration>, CallError> {
        let mut last = None;
        let asking = async {
            loop {
                match self.ask_time_to_live(lease).await {
                    Err(failure @ (Failure::NotSent(_) | Failure::StaleLogin(_) | Failure::Lost(_))) => {
                        last = Some(failure);
                        self.use_another_member();
                        sleep(PAUSE).await;
                    }
                    settled => return settled,
                }
            }
        };
        let end = match timeout(limit, asking).await {
            Ok(Ok(left)) => return Ok(left),
            Ok(Err(Failure::Refused(Refusal::LeaseNotFound))) => return Ok(None),
            Ok(Err(failure)) => failure,
            Err(_) => last.unwrap_or_else(|| Failure::Lost(io::Error::from(io::ErrorKind::TimedOut).into())),
        };
        Err(end.of_read("lease time-to-live", self.endpoints()))
    }

    async fn ask_time_to_live(&self, lease: LeaseId) -> Result<Option<Duration>, Failure> {
        let mut connection = self.line().current().connection(&self.shared).await?;
        let (floor, _) = self.shared.before_sending();
        let response = connection.lease.time_to_live(lease.0, None).await.map_err(classify)?;
        // The leader knows the time, but the header is that of the member that was asked.
        self.shared.heard(&floor, header(response.header()));
        // Etcd says -1 of a lease that it does not have.
        Ok(u64::try_from(response.ttl()).ok().map(Duration::from_secs))
    }
}
