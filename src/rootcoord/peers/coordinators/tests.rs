use std::{sync::Arc, time::Duration};

use milvus_proto::{
    common::{KeyDataPair, KeyValuePair, MsgBase, MsgType},
    data::{AlterCollectionRequest, GcConfirmRequest, WatchChannelsRequest},
    index::DropIndexRequest,
    query::{ReleaseCollectionRequest, ReleasePartitionsRequest, SyncNewCreatedPartitionRequest},
    schema::{CollectionSchema, FieldSchema},
};
use tokio::time::Instant;

use crate::{
    ids::{CollectionId, DbId, PartitionId},
    rootcoord::{
        model::{Collection, Partition, Shard, State},
        peers::{
            Peers as _,
            testing::{A, Asked, B, Bed, Mood, OWN, refusal, until},
        },
    },
    rpc::merr::{Kind, MilvusError},
    tso::hybrid::Timestamp,
};

fn collection() -> Collection {
    Collection {
        id: CollectionId(7),
        db: DbId(1),
        name: "c".to_owned(),
        description: "d".to_owned(),
        auto_id: true,
        enable_dynamic_field: true,
        fields: Arc::new([FieldSchema { field_id: 100, name: "pk".to_owned(), ..FieldSchema::default() }]),
        shards: vec![Shard { virtual_channel: "dml_0_7v0".to_owned(), physical_channel: "dml_0".to_owned() }],
        shards_num: 1,
        start_positions: vec![("dml_0".to_owned(), vec![1, 2])],
        consistency_level: 2,
        properties: [("k".to_owned(), "v".to_owned())].into(),
        created: Timestamp(99),
        state: State::Creating,
    }
}

fn partition() -> Partition {
    Partition {
        id: PartitionId(8),
        collection: CollectionId(7),
        name: "p".to_owned(),
        created: Timestamp(99),
        state: State::Creating,
    }
}

#[expect(deprecated, reason = "datacoord reads it")]
fn schema() -> CollectionSchema {
    CollectionSchema {
        name: "c".to_owned(),
        description: "d".to_owned(),
        auto_id: true,
        fields: collection().fields.to_vec(),
        enable_dynamic_field: false,
    }
}

#[tokio::test(start_paused = true)]
async fn datacoord_is_asked_as_milvus_asks_it() {
    let mut bed = Bed::new();
    let toy = bed.data_coord(3, A);
    let (collection, id) = (collection(), CollectionId(7));
    let clients = &*bed.clients;
    clients.watch_channels(&collection).await.expect("it is well");
    clients.drop_indexes(id).await.expect("it is well");
    clients.collection_altered(&collection, &[PartitionId(8)]).await.expect("it is well");
    assert_eq!(clients.garbage_is_gone(id, None).await, Ok(true));
    assert_eq!(clients.garbage_is_gone(id, Some(PartitionId(8))).await, Ok(false));
    let positions = vec![KeyDataPair { key: "dml_0".to_owned(), data: vec![1, 2] }];
    let expected = [
        Asked::WatchChannels(WatchChannelsRequest {
            collection_id: 7,
            channel_names: vec!["dml_0_7v0".to_owned()],
            start_positions: positions.clone(),
            schema: Some(schema()),
            create_timestamp: 99,
        }),
        Asked::DropIndex(DropIndexRequest {
            collection_id: 7,
            drop_all: true,
            ..DropIndexRequest::default()
        }),
        Asked::Altered(AlterCollectionRequest {
            collection_id: 7,
            schema: Some(schema()),
            partition_i_ds: vec![8],
            start_positions: positions,
            properties: vec![KeyValuePair { key: "k".to_owned(), value: "v".to_owned() }],
        }),
        Asked::GcConfirm(GcConfirmRequest { collection_id: 7, partition_id: -1 }),
        Asked::GcConfirm(GcConfirmRequest { collection_id: 7, partition_id: 8 }),
    ];
    assert_eq!(toy.take_asked(), expected);
}

#[tokio::test(start_paused = true)]
async fn querycoord_is_asked_as_milvus_asks_it() {
    let mut bed = Bed::new();
    let toy = bed.query_coord(4, A);
    let id = CollectionId(7);
    let clients = &*bed.clients;
    clients.release_collection(id).await.expect("it is well");
    clients.release_partitions(id, &[]).await.expect("there is nothing to do");
    clients.release_partitions(id, &[PartitionId(8)]).await.expect("it is well");
    clients.partition_created(&partition()).await.expect("it is well");
    let mut asked = toy.take_asked();
    for asked in &mut asked {
        let base = match asked {
            Asked::ReleaseCollection(request) => request.base.as_mut(),
            Asked::ReleasePartitions(request) => request.base.as_mut(),
            Asked::PartitionCreated(request) => request.base.as_mut(),
            _ => None,
        };
        let now = std::mem::take(&mut base.expect("a base").timestamp);
        assert!(now > 1_600_000_000 && now < 1 << 34, "unix seconds: {now}");
    }
    let base = |kind: MsgType| {
        Some(MsgBase { msg_type: kind.into(), source_id: OWN.0, target_id: 4, ..MsgBase::default() })
    };
    let expected = [
        Asked::ReleaseCollection(ReleaseCollectionRequest {
            base: base(MsgType::ReleaseCollection),
            db_id: 0,
            collection_id: 7,
            node_id: OWN.0,
        }),
        Asked::ReleasePartitions(ReleasePartitionsRequest {
            base: base(MsgType::ReleasePartitions),
            db_id: 0,
            collection_id: 7,
            partition_i_ds: vec![8],
            node_id: 0,
        }),
        Asked::PartitionCreated(SyncNewCreatedPartitionRequest {
            base: base(MsgType::ReleasePartitions),
            collection_id: 7,
            partition_id: 8,
        }),
    ];
    assert_eq!(asked, expected);
}

#[tokio::test(start_paused = true)]
async fn coordinators_refusals_have_milvus_s_words() {
    let mut bed = Bed::new();
    let toys = [bed.data_coord(3, A), bed.query_coord(4, B)];
    let (collection, partition, id) = (collection(), partition(), CollectionId(7));
    let answer = |kind: Kind| {
        for toy in &toys {
            toy.mood.send_replace(Mood::Answering(refusal(kind)));
        }
    };
    let clients = &*bed.clients;
    answer(Kind::ServiceInternal);
    let text = |result: Result<(), MilvusError>| {
        let error = result.expect_err("they refuse");
        assert_eq!(error.code(), 65535, "{error}");
        error.to_string()
    };
    let why = "service internal error: sick";
    assert_eq!(
        [
            text(clients.watch_channels(&collection).await),
            text(clients.drop_indexes(id).await),
            text(clients.collection_altered(&collection, &[]).await),
            text(clients.release_collection(id).await),
            text(clients.release_partitions(id, &[PartitionId(8)]).await),
            text(clients.partition_created(&partition).await),
        ],
        [
            format!("failed to watch channels, code: UnexpectedError, reason: {why}"),
            why.to_owned(),
            why.to_owned(),
            format!("failed to release collection, code: UnexpectedError, reason: {why}"),
            format!("release partition failed, reason: {why}"),
            format!("sync new partition failed, reason: {why}"),
        ]
    );
    assert!(clients.garbage_is_gone(id, None).await.is_err(), "not known is not gone");

    answer(Kind::CollectionNotFound);
    clients.drop_indexes(id).await.expect("there are none");
    answer(Kind::CollectionNotLoaded);
    clients.release_collection(id).await.expect("there is nothing to release");
    answer(Kind::PartitionNotLoaded);
    clients.release_partitions(id, &[PartitionId(8)]).await.expect("there is nothing to release");
}

#[tokio::test(start_paused = true)]
async fn the_active_coordinator_is_followed() {
    let mut bed = Bed::new();
    let began = Instant::now();
    let error = bed.clients.drop_indexes(CollectionId(7)).await.expect_err("there is nobody");
    assert_eq!(error.to_string(), "find no available datacoord, check datacoord state");
    assert!(began.elapsed() <= Duration::from_secs(60), "{:?}", began.elapsed());
    let first = bed.data_coord(3, A);
    bed.clients.drop_indexes(CollectionId(7)).await.expect("it is well");
    first.mood.send_replace(Mood::Hanging);
    let clients = bed.clients.clone();
    let (result, second) = tokio::join!(clients.drop_indexes(CollectionId(8)), async {
        until(|| first.asked.lock().len() > 1).await;
        bed.data_coord(9, B)
    });
    assert_eq!(result, Ok(()));
    assert_eq!(second.asked.lock().len(), 1);
}
