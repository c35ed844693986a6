//! What clients ask etcd about itself.

use std::pin::Pin;

use etcd_client::proto::{
    PbAlarmMember, PbAlarmRequest, PbAlarmResponse, PbClusterService, PbDefragmentRequest,
    PbDefragmentResponse, PbDowngradeRequest, PbDowngradeResponse, PbHashKvRequest, PbHashKvResponse,
    PbHashRequest, PbHashResponse, PbMaintenanceService, PbMember, PbMemberAddRequest, PbMemberAddResponse,
    PbMemberListRequest, PbMemberListResponse, PbMemberPromoteRequest, PbMemberPromoteResponse,
    PbMemberRemoveRequest, PbMemberRemoveResponse, PbMemberUpdateRequest, PbMemberUpdateResponse,
    PbMoveLeaderRequest, PbMoveLeaderResponse, PbSnapshotRequest, PbSnapshotResponse, PbStatusRequest,
    PbStatusResponse,
};
use futures::Stream;
use tonic::{Request, Response, Status};

use super::{Front, member_id};

/// The release whose behaviour is imitated.
const VERSION: &str = "3.5.21";
const DEACTIVATE: i32 = 2;
const NO_SPACE: i32 = 1;

fn not_here<T>() -> Result<T, Status> {
    Err(Status::unimplemented("not part of this etcd"))
}

#[tonic::async_trait]
impl PbMaintenanceService for Front {
    type SnapshotStream = Pin<Box<dyn Stream<Item = Result<PbSnapshotResponse, Status>> + Send>>;

    async fn alarm(&self, request: Request<PbAlarmRequest>) -> Result<Response<PbAlarmResponse>, Status> {
        self.enter(&request).await?;
        self.read_revision(false).await?;
        if request.get_ref().action == DEACTIVATE {
            self.etcd.with(|cluster, _| cluster.set_out_of_space(false));
        }
        let raised = self.etcd.look(|cluster, _| cluster.is_out_of_space());
        let alarm = PbAlarmMember { member_id: member_id(self.member), alarm: NO_SPACE };
        let alarms = raised.then_some(alarm).into_iter().collect();
        Ok(Response::new(PbAlarmResponse { header: self.header(None), alarms }))
    }

    async fn status(&self, request: Request<PbStatusRequest>) -> Result<Response<PbStatusResponse>, Status> {
        self.enter(&request).await?;
        let header = self.header(None);
        let leader = self.etcd.look(|cluster, _| cluster.leader().map_or(0, member_id));
        Ok(Response::new(PbStatusResponse {
            version: VERSION.to_owned(),
            leader,
            raft_term: header.as_ref().map_or(0, |header| header.raft_term),
            header,
            ..Default::default()
        }))
    }

    async fn defragment(
        &self,
        _: Request<PbDefragmentRequest>,
    ) -> Result<Response<PbDefragmentResponse>, Status> {
        not_here()
    }

    async fn hash(&self, _: Request<PbHashRequest>) -> Result<Response<PbHashResponse>, Status> {
        not_here()
    }

    async fn hash_kv(&self, _: Request<PbHashKvRequest>) -> Result<Response<PbHashKvResponse>, Status> {
        not_here()
    }

    async fn snapshot(
        &self,
        _: Request<PbSnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        not_here()
    }

    async fn move_leader(
        &self,
        _: Request<PbMoveLeaderRequest>,
    ) -> Result<Response<PbMoveLeaderResponse>, Status> {
        not_here()
    }

    async fn downgrade(
        &self,
        _: Request<PbDowngradeRequest>,
    ) -> Result<Response<PbDowngradeResponse>, Status> {
        not_here()
    }
}

#[tonic::async_trait]
impl PbClusterService for Front {
    async fn member_list(
        &self,
        request: Request<PbMemberListRequest>,
    ) -> Result<Response<PbMemberListResponse>, Status> {
        self.enter(&request).await?;
        let size = self.etcd.look(|cluster, _| cluster.size());
        let member =
            |index| PbMember { id: member_id(index), name: format!("etcd-{index}"), ..Default::default() };
        Ok(Response::new(PbMemberListResponse {
            header: self.header(None),
            members: (0..size).map(member).collect(),
        }))
    }

    async fn member_add(
        &self,
        _: Request<PbMemberAddRequest>,
    ) -> Result<Response<PbMemberAddResponse>, Status> {
        not_here()
    }

    async fn member_remove(
        &self,
        _: Request<PbMemberRemoveRequest>,
    ) -> Result<Response<PbMemberRemoveResponse>, Status> {
        not_here()
    }

    async fn member_update(
        &self,
        _: Request<PbMemberUpdateRequest>,
    ) -> Result<Response<PbMemberUpdateResponse>, Status> {
        not_here()
    }

    async fn member_promote(
        &self,
        _: Request<PbMemberPromoteRequest>,
    ) -> Result<Response<PbMemberPromoteResponse>, Status> {
        not_here()
    }
}
