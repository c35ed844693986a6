//! Aliases.

use milvus_proto::{
    common::Status as Answer,
    milvus::{
        AlterAliasRequest, CreateAliasRequest, DescribeAliasRequest, DescribeAliasResponse, DropAliasRequest,
        ListAliasesRequest, ListAliasesResponse,
    },
};
use tonic::Request;

use super::{Outcome, RootCoordService};
use crate::{
    rootcoord::{aliases, ddl, events::Method},
    rpc::merr::{MilvusError, success},
};

impl RootCoordService {
    pub(super) async fn create_alias(&self, request: Request<CreateAliasRequest>) -> Outcome<Answer> {
        self.ddl(request, |request| ddl::Request::CreateAlias {
            db: request.db_name,
            alias: request.alias,
            collection: request.collection_name,
        })
        .await
    }

    pub(super) async fn alter_alias(&self, request: Request<AlterAliasRequest>) -> Outcome<Answer> {
        self.ddl(request, |request| ddl::Request::AlterAlias {
            db: request.db_name,
            alias: request.alias,
            collection: request.collection_name,
        })
        .await
    }

    pub(super) async fn drop_alias(&self, request: Request<DropAliasRequest>) -> Outcome<Answer> {
        self.ddl(request, |request| ddl::Request::DropAlias { db: request.db_name, alias: request.alias })
            .await
    }

    pub(super) async fn describe_alias(
        &self,
        request: Request<DescribeAliasRequest>,
    ) -> Outcome<DescribeAliasResponse> {
        let failed = |error: MilvusError| DescribeAliasResponse {
            status: Some(error.into()),
            ..DescribeAliasResponse::default()
        };
        self.ask(request, Method::DescribeAlias, failed, |catalog, request| {
            let found = aliases::describe(catalog, &request.db_name, &request.alias)?;
            Ok(DescribeAliasResponse {
                status: Some(success()),
                db_name: request.db_name.clone(),
                alias: request.alias.clone(),
                collection: found.name.clone(),
            })
        })
        .await
    }

    pub(super) async fn list_aliases(
        &self,
        request: Request<ListAliasesRequest>,
    ) -> Outcome<ListAliasesResponse> {
        let failed = |error: MilvusError| ListAliasesResponse {
            status: Some(error.into()),
            ..ListAliasesResponse::default()
        };
        self.ask(request, Method::ListAliases, failed, |catalog, request| {
            Ok(ListAliasesResponse {
                status: Some(success()),
                aliases: aliases::list(catalog, &request.db_name, &request.collection_name)?,
                db_name: request.db_name.clone(),
                // Left out by Milvus.
                collection_name: String::new(),
            })
        })
        .await
    }
}
