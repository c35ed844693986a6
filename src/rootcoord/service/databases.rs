//! Databases.

use milvus_proto::{
    common::Status as Answer,
    milvus::{CreateDatabaseRequest, DropDatabaseRequest, ListDatabasesRequest, ListDatabasesResponse},
};
use tonic::{Request, Response};

use super::{Asked, Outcome, RootCoordService, request_id};
use crate::{
    rootcoord::{ddl, keys::Repeatable},
    rpc::merr::{MilvusError, success},
};

impl RootCoordService {
    pub(super) async fn create_database(&self, request: Request<CreateDatabaseRequest>) -> Outcome<Answer> {
        self.ddl(request, |request| ddl::Request::CreateDatabase {
            id: request_id(Repeatable::CreateDatabase, request.base.as_ref()),
            name: request.db_name,
        })
        .await
    }

    pub(super) async fn drop_database(&self, request: Request<DropDatabaseRequest>) -> Outcome<Answer> {
        self.ddl(request, |request| ddl::Request::DropDatabase { name: request.db_name }).await
    }

    pub(super) async fn list_databases(
        &self,
        request: Request<ListDatabasesRequest>,
    ) -> Outcome<ListDatabasesResponse> {
        let asked = Asked::of(&request);
        let failed = |error: MilvusError| ListDatabasesResponse {
            status: Some(error.into()),
            ..ListDatabasesResponse::default()
        };
        if asked.not_ready {
            return Ok(Response::new(failed(self.not_ready())));
        }
        let caller = self.caller(request.get_ref().base.as_ref());
        let listed = self.parts.core.list_databases(caller).await.map(|databases| ListDatabasesResponse {
            status: Some(success()),
            created_timestamp: databases.iter().map(|database| database.created_time).collect(),
            db_names: databases.into_iter().map(|database| database.name).collect(),
        });
        self.answer(&asked, listed, failed)
    }
}
