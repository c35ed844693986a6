//! Etcd's lease service.

use std::pin::Pin;

use etcd_client::proto::{
    PbLeaseGrantRequest, PbLeaseGrantResponse, PbLeaseKeepAliveRequest, PbLeaseKeepAliveResponse,
    PbLeaseLeasesRequest, PbLeaseLeasesResponse, PbLeaseRevokeRequest, PbLeaseRevokeResponse, PbLeaseService,
    PbLeaseStatus, PbLeaseTimeToLiveRequest, PbLeaseTimeToLiveResponse,
};
use futures::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::{Fates, Front, unexpected};
use crate::fake_etcd::{
    cluster::{Answer, KeepAlive, Proposal},
    refusal::Refusal,
};

#[tonic::async_trait]
impl PbLeaseService for Front {
    type LeaseKeepAliveStream = Pin<Box<dyn Stream<Item = Result<PbLeaseKeepAliveResponse, Status>> + Send>>;

    async fn lease_grant(
        &self,
        request: Request<PbLeaseGrantRequest>,
    ) -> Result<Response<PbLeaseGrantResponse>, Status> {
        self.enter(&request).await?;
        let origin = self.origin(&request);
        match self.propose(Proposal::Grant(request.into_inner()), origin).await? {
            Answer::Grant(mut response) => {
                response.header = self.header(response.header);
                Ok(Response::new(response))
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn lease_revoke(
        &self,
        request: Request<PbLeaseRevokeRequest>,
    ) -> Result<Response<PbLeaseRevokeResponse>, Status> {
        self.enter(&request).await?;
        let origin = self.origin(&request);
        match self.propose(Proposal::Revoke(request.into_inner()), origin).await? {
            Answer::Revoke(mut response) => {
                response.header = self.header(response.header);
                Ok(Response::new(response))
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<PbLeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        self.enter(&request).await?;
        let wants_leader = request.metadata().get("hasleader").is_some_and(|value| value == "true");
        let front = self.clone();
        let mut requests = request.into_inner();
        let answers = async_stream::try_stream! {
            loop {
                let request = tokio::select! {
                    biased;
                    request = requests.message() => request,
                    () = front.streams_end(), if wants_leader => Err(Refusal::NoLeader.into()),
                };
                let Some(request) = request? else { break };
                yield front.keep_alive(request.id).await?;
            }
        };
        Ok(Response::new(Box::pin(answers)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<PbLeaseTimeToLiveRequest>,
    ) -> Result<Response<PbLeaseTimeToLiveResponse>, Status> {
        self.enter(&request).await?;
        let request = request.into_inner();
        tokio::time::timeout(self.request_timeout(), self.leader())
            .await
            .map_err(|_| Status::from(Refusal::NoLeader))?;
        let mut response = self.etcd.look(|cluster, now| match cluster.lessor().get(request.id) {
            Some(lease) => PbLeaseTimeToLiveResponse {
                header: None,
                id: request.id,
                ttl: i64::try_from(lease.expires.saturating_sub(now).as_secs()).unwrap_or(i64::MAX),
                granted_ttl: lease.ttl,
                keys: if request.keys {
                    cluster.store().keys_of_lease(request.id).into_iter().collect()
                } else {
                    Vec::new()
                },
            },
            None => PbLeaseTimeToLiveResponse { id: request.id, ttl: -1, ..Default::default() },
        });
        response.header = self.header(None);
        Ok(Response::new(response))
    }

    async fn lease_leases(
        &self,
        request: Request<PbLeaseLeasesRequest>,
    ) -> Result<Response<PbLeaseLeasesResponse>, Status> {
        self.enter(&request).await?;
        let leases =
            self.etcd.look(|cluster, _| cluster.lessor().all().map(|(id, _)| PbLeaseStatus { id }).collect());
        Ok(Response::new(PbLeaseLeasesResponse { header: self.header(None), leases }))
    }
}

impl Front {
    async fn keep_alive(&self, id: i64) -> Result<PbLeaseKeepAliveResponse, Status> {
        let takes = self.etcd.fates(Fates::draw_read);
        tokio::time::sleep(takes).await;
        // Etcd makes the header before it renews.
        let header = self.header(None);
        let settled = tokio::time::timeout(
            self.request_timeout(),
            self.etcd.wait_for(|cluster, now| {
                if cluster.is_hung(self.member) {
                    return None;
                }
                match cluster.keep_alive(self.member, id, now) {
                    KeepAlive::Renewed(ttl) => Some(ttl),
                    KeepAlive::Gone => Some(0),
                    KeepAlive::Ending | KeepAlive::NoLeader => None,
                }
            }),
        );
        match settled.await {
            Ok(ttl) => Ok(PbLeaseKeepAliveResponse { header, id, ttl }),
            Err(_) => Err(Refusal::NoLeader.into()),
        }
    }

    /// Waits until this member ends the streams that ask for a leader.
    pub(super) async fn streams_end(&self) {
        self.etcd.wait_for(|cluster, now| cluster.ends_streams(self.member, now).then_some(())).await;
    }
}
