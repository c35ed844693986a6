//! Partitions.

use milvus_proto::{
    common::Status as Answer,
    milvus::{
        BoolResponse, CreatePartitionRequest, DropPartitionRequest, HasPartitionRequest,
        ShowPartitionsRequest, ShowPartitionsResponse,
    },
};
use tonic::Request;

use super::{
    Outcome, RootCoordService,
    collections::{Sees, find},
};
use crate::{
    ids::CollectionId,
    rootcoord::{ddl, events::Method, model::Partition},
    rpc::merr::{MilvusError, success},
};

impl RootCoordService {
    pub(super) async fn create_partition(&self, request: Request<CreatePartitionRequest>) -> Outcome<Answer> {
        self.ddl(request, |request| ddl::Request::CreatePartition {
            db: request.db_name,
            collection: request.collection_name,
            partition: request.partition_name,
        })
        .await
    }

    pub(super) async fn drop_partition(&self, request: Request<DropPartitionRequest>) -> Outcome<Answer> {
        self.ddl(request, |request| ddl::Request::DropPartition {
            replicated: ddl::is_replicated(request.base.as_ref()),
            db: request.db_name,
            collection: request.collection_name,
            partition: request.partition_name,
        })
        .await
    }

    pub(super) async fn has_partition(&self, request: Request<HasPartitionRequest>) -> Outcome<BoolResponse> {
        let failed = |error: MilvusError| BoolResponse { status: Some(error.into()), value: false };
        self.ask(request, Method::HasPartition, failed, |catalog, request| {
            let (db, name) = (&request.db_name, &request.collection_name);
            let record = find(catalog, db, name, CollectionId(0), Sees::Visible)?;
            let mut partitions = catalog.visible_partitions(record.id);
            let value = partitions.any(|partition| partition.name == request.partition_name);
            Ok(BoolResponse { status: Some(success()), value })
        })
        .await
    }

    pub(super) async fn show_partitions(
        &self,
        request: Request<ShowPartitionsRequest>,
    ) -> Outcome<ShowPartitionsResponse> {
        self.show(request, Sees::Visible).await
    }

    pub(super) async fn show_partitions_internal(
        &self,
        request: Request<ShowPartitionsRequest>,
    ) -> Outcome<ShowPartitionsResponse> {
        self.show(request, Sees::All).await
    }

    async fn show(
        &self,
        request: Request<ShowPartitionsRequest>,
        sees: Sees,
    ) -> Outcome<ShowPartitionsResponse> {
        let failed = |error: MilvusError| ShowPartitionsResponse {
            status: Some(error.into()),
            ..ShowPartitionsResponse::default()
        };
        self.ask(request, Method::ShowPartitions, failed, |catalog, request| {
            let (name, id) = (&request.collection_name, CollectionId(request.collection_id));
            let record = find(catalog, &request.db_name, name, id, sees)?;
            let shown: Vec<&Partition> = match sees {
                Sees::All if name.is_empty() => catalog.partitions(record.id).collect(),
                _ => catalog.visible_partitions(record.id).collect(),
            };
            Ok(ShowPartitionsResponse {
                status: Some(success()),
                partition_names: shown.iter().map(|partition| partition.name.clone()).collect(),
                partition_i_ds: shown.iter().map(|partition| partition.id.0).collect(),
                created_timestamps: shown.iter().map(|partition| partition.created.0).collect(),
                created_utc_timestamps: shown
                    .iter()
                    .map(|partition| partition.created.physical_millis())
                    .collect(),
                ..ShowPartitionsResponse::default()
            })
        })
        .await
    }
}
