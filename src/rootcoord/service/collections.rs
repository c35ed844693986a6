//! Collections.

use milvus_proto::{
    common::{KeyDataPair, KeyValuePair, Status as Answer},
    milvus::{
        AlterCollectionRequest, BoolResponse, CreateCollectionRequest, DescribeCollectionRequest,
        DescribeCollectionResponse, DropCollectionRequest, HasCollectionRequest, RenameCollectionRequest,
        ShowCollectionsRequest, ShowCollectionsResponse,
    },
};
use tonic::Request;

use super::{Outcome, RootCoordService, request_id};
use crate::{
    ids::CollectionId,
    rootcoord::{
        catalog::{Catalog, Past},
        collections::Rename,
        ddl,
        error::{DdlError, NoCollection},
        events::Method,
        keys::Repeatable,
        model::Collection,
    },
    rpc::merr::{MilvusError, success},
    tso::hybrid::Timestamp,
};

/// Who asks: other coordinators also see by id what is half made or half gone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sees {
    /// What everybody sees.
    Visible,
    /// Everything, by id.
    All,
}

impl RootCoordService {
    pub(super) async fn create_collection(
        &self,
        request: Request<CreateCollectionRequest>,
    ) -> Outcome<Answer> {
        self.ddl(request, |request| ddl::Request::CreateCollection(Box::new(request))).await
    }

    pub(super) async fn drop_collection(&self, request: Request<DropCollectionRequest>) -> Outcome<Answer> {
        self.ddl(request, |request| ddl::Request::DropCollection {
            replicated: ddl::is_replicated(request.base.as_ref()),
            db: request.db_name,
            name: request.collection_name,
        })
        .await
    }

    pub(super) async fn alter_collection(&self, request: Request<AlterCollectionRequest>) -> Outcome<Answer> {
        self.ddl(request, |request| ddl::Request::AlterCollection {
            db: request.db_name,
            name: request.collection_name,
            properties: request.properties.into_iter().map(|pair| (pair.key, pair.value)).collect(),
        })
        .await
    }

    pub(super) async fn rename_collection(
        &self,
        request: Request<RenameCollectionRequest>,
    ) -> Outcome<Answer> {
        self.ddl(request, |request| {
            ddl::Request::RenameCollection(Rename {
                request: request_id(Repeatable::RenameCollection, request.base.as_ref()),
                source: request.base.as_ref().map_or(0, |base| base.source_id),
                db: request.db_name,
                old: request.old_name,
                new: request.new_name,
                new_db: request.new_db_name,
            })
        })
        .await
    }

    /// Why there is none is never told, as in Milvus.
    pub(super) async fn has_collection(
        &self,
        request: Request<HasCollectionRequest>,
    ) -> Outcome<BoolResponse> {
        let failed = |error: MilvusError| BoolResponse { status: Some(error.into()), value: false };
        self.ask(request, Method::HasCollection, failed, |catalog, request| {
            let (db, name) = (&request.db_name, &request.collection_name);
            let value = match past(request.time_stamp) {
                Some(ts) => catalog.past_by_name(db, name, ts).is_ok(),
                None => find(catalog, db, name, CollectionId(0), Sees::Visible).is_ok(),
            };
            Ok(BoolResponse { status: Some(success()), value })
        })
        .await
    }

    pub(super) async fn describe_collection(
        &self,
        request: Request<DescribeCollectionRequest>,
    ) -> Outcome<DescribeCollectionResponse> {
        self.describe(request, Sees::Visible).await
    }

    pub(super) async fn describe_collection_internal(
        &self,
        request: Request<DescribeCollectionRequest>,
    ) -> Outcome<DescribeCollectionResponse> {
        self.describe(request, Sees::All).await
    }

    async fn describe(
        &self,
        request: Request<DescribeCollectionRequest>,
        sees: Sees,
    ) -> Outcome<DescribeCollectionResponse> {
        let failed = |error: MilvusError| DescribeCollectionResponse {
            status: Some(error.into()),
            ..DescribeCollectionResponse::default()
        };
        self.ask(request, Method::DescribeCollection, failed, |catalog, request| {
            let (name, id) = (&request.collection_name, CollectionId(request.collection_id));
            let Past { collection, partitions } = match past(request.time_stamp) {
                Some(ts) if name.is_empty() => {
                    catalog.past_by_id(&request.db_name, id, ts, sees == Sees::All)?
                }
                Some(ts) => catalog.past_by_name(&request.db_name, name, ts)?,
                None => {
                    let record = find(catalog, &request.db_name, name, id, sees)?;
                    catalog.present(record, sees == Sees::All && name.is_empty())?
                }
            };
            let aliases = catalog.aliases_of(collection.id).map(str::to_owned).collect();
            Ok(described(collection, partitions, aliases, request.db_name.clone()))
        })
        .await
    }

    pub(super) async fn show_collections(
        &self,
        request: Request<ShowCollectionsRequest>,
    ) -> Outcome<ShowCollectionsResponse> {
        let failed = |error: MilvusError| ShowCollectionsResponse {
            status: Some(error.into()),
            ..ShowCollectionsResponse::default()
        };
        self.ask(request, Method::ShowCollections, failed, |catalog, request| {
            let mut shown: Vec<&Collection> = match past(request.time_stamp) {
                Some(ts) => catalog.past_collections(&request.db_name, ts)?,
                None => {
                    let database = catalog.named(&request.db_name);
                    let unknown = || DdlError::UnknownDatabase(request.db_name.clone());
                    catalog.collections(database.ok_or_else(unknown)?.id).collect()
                }
            };
            shown.sort_by_key(|record| record.id);
            Ok(ShowCollectionsResponse {
                status: Some(success()),
                collection_names: shown.iter().map(|record| record.name.clone()).collect(),
                collection_ids: shown.iter().map(|record| record.id.0).collect(),
                created_timestamps: shown.iter().map(|record| record.created.0).collect(),
                created_utc_timestamps: shown.iter().map(|record| record.created.physical_millis()).collect(),
                ..ShowCollectionsResponse::default()
            })
        })
        .await
    }
}

/// The time that a request asks about; nothing, if that is now.
fn past(time_stamp: u64) -> Option<Timestamp> {
    (time_stamp != 0 && time_stamp != u64::MAX).then_some(Timestamp(time_stamp))
}

/// By name if one is given, else by id.
pub(super) fn find<'a>(
    catalog: &'a Catalog,
    db: &str,
    name: &str,
    id: CollectionId,
    sees: Sees,
) -> Result<&'a Collection, NoCollection> {
    if name.is_empty() {
        let found = match sees {
            Sees::All => catalog.record(id),
            Sees::Visible => catalog.visible(id),
        };
        return found.ok_or(NoCollection::Id(id));
    }
    let missing = || NoCollection::Name { db: db.to_owned(), name: name.to_owned() };
    catalog.lookup(catalog.named(db).ok_or_else(missing)?, name)
}

fn described(
    collection: Collection,
    partitions: usize,
    aliases: Vec<String>,
    db_name: String,
) -> DescribeCollectionResponse {
    let schema = collection.schema();
    // In old data it is missing.
    let shards_num = match collection.shards_num {
        0 => i32::try_from(collection.shards.len()).unwrap_or(i32::MAX),
        number => number,
    };
    let (virtual_channel_names, physical_channel_names) =
        collection.shards.into_iter().map(|shard| (shard.virtual_channel, shard.physical_channel)).unzip();
    DescribeCollectionResponse {
        status: Some(success()),
        schema: Some(schema),
        collection_id: collection.id.0,
        virtual_channel_names,
        physical_channel_names,
        created_timestamp: collection.created.0,
        created_utc_timestamp: collection.created.physical_millis(),
        shards_num,
        aliases,
        start_positions: collection
            .start_positions
            .into_iter()
            .map(|(key, data)| KeyDataPair { key, data })
            .collect(),
        consistency_level: collection.consistency_level,
        collection_name: collection.name,
        properties: collection
            .properties
            .into_iter()
            .map(|(key, value)| KeyValuePair { key, value })
            .collect(),
        db_name,
        num_partitions: i64::try_from(partitions).unwrap_or(i64::MAX),
    }
}
