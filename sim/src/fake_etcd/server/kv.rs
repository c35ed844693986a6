//! Etcd's KV service.

use std::pin::Pin;

use etcd_client::proto::{
    PbCompactionRequest, PbCompactionResponse, PbDeleteRequest, PbDeleteResponse, PbKvService, PbPutRequest,
    PbPutResponse, PbRangeRequest, PbRangeResponse, PbRangeStreamResponse, PbTxnRequest, PbTxnResponse,
};
use futures::Stream;
use tonic::{Request, Response, Status};

use super::{Front, unexpected};
use crate::fake_etcd::{
    cluster::{Answer, Proposal},
    txn,
};

#[tonic::async_trait]
impl PbKvService for Front {
    type RangeStreamStream = Pin<Box<dyn Stream<Item = Result<PbRangeStreamResponse, Status>> + Send>>;

    async fn range(&self, request: Request<PbRangeRequest>) -> Result<Response<PbRangeResponse>, Status> {
        self.enter(&request).await?;
        let request = request.into_inner();
        txn::check_key(&request.key)?;
        let revision = self.read_revision(request.serializable).await?;
        let mut response = self.etcd.look(|cluster, _| cluster.store().range(&request, revision))?;
        response.header = self.header(response.header);
        Ok(Response::new(response))
    }

    async fn range_stream(
        &self,
        _: Request<PbRangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        Err(Status::unimplemented("unknown method RangeStream for service etcdserverpb.KV"))
    }

    async fn put(&self, request: Request<PbPutRequest>) -> Result<Response<PbPutResponse>, Status> {
        self.enter(&request).await?;
        let origin = self.origin(&request);
        let request = request.into_inner();
        txn::check_put(&request)?;
        txn::check_size(&request)?;
        match self.propose(Proposal::Put(request), origin).await? {
            Answer::Put(mut response) => {
                response.header = self.header(response.header);
                Ok(Response::new(response))
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn delete_range(
        &self,
        request: Request<PbDeleteRequest>,
    ) -> Result<Response<PbDeleteResponse>, Status> {
        self.enter(&request).await?;
        let origin = self.origin(&request);
        let request = request.into_inner();
        txn::check_key(&request.key)?;
        match self.propose(Proposal::Delete(request), origin).await? {
            Answer::Delete(mut response) => {
                response.header = self.header(response.header);
                Ok(Response::new(response))
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn txn(&self, request: Request<PbTxnRequest>) -> Result<Response<PbTxnResponse>, Status> {
        self.enter(&request).await?;
        let origin = self.origin(&request);
        let request = request.into_inner();
        txn::check(&request)?;
        if txn::is_read_only(&request) {
            let revision = self.read_revision(txn::is_serializable(&request)).await?;
            let mut response = self.etcd.look(|cluster, _| txn::read(cluster.store(), &request, revision))?;
            response.header = self.header(response.header);
            return Ok(Response::new(response));
        }
        txn::check_size(&request)?;
        match self.propose(Proposal::Txn(request), origin).await? {
            Answer::Txn(mut response) => {
                response.header = self.header(response.header);
                Ok(Response::new(response))
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn compact(
        &self,
        request: Request<PbCompactionRequest>,
    ) -> Result<Response<PbCompactionResponse>, Status> {
        self.enter(&request).await?;
        let origin = self.origin(&request);
        match self.propose(Proposal::Compact(request.into_inner()), origin).await? {
            Answer::Compact(mut response) => {
                response.header = self.header(response.header);
                Ok(Response::new(response))
            }
            other => Err(unexpected(&other)),
        }
    }
}
