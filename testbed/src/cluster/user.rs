//! A user of a cluster whose calls are timed: gRPC itself, without what pymilvus adds to
//! each call.

use milvus_proto::{
    common::{ConsistencyLevel, KeyValuePair, MsgBase, MsgType},
    milvus::{CreateCollectionRequest, DropCollectionRequest, milvus_service_client::MilvusServiceClient},
    rootcoord::root_coord_client::RootCoordClient,
    schema::{CollectionSchema, DataType, FieldSchema},
};
use prost::Message as _;
use tonic::transport::{Channel, Endpoint};

use super::Cluster;
use crate::{
    grpc::{Failure, chain, grpc, success},
    role::Role,
};

/// Where a user's calls go.
#[derive(Clone, Debug)]
enum To {
    Proxy(MilvusServiceClient<Channel>),
    RootCoord(RootCoordClient<Channel>),
}

/// A user with a connection of its own.
#[derive(Clone, Debug)]
pub struct User(To);

impl Cluster {
    /// A user of the proxy.
    ///
    /// # Errors
    /// [`Failure::Connect`]
    pub async fn user(&self) -> Result<User, Failure> {
        let channel = connect(&self.node(Role::Proxy).address()).await?;
        Ok(User(To::Proxy(MilvusServiceClient::new(channel))))
    }

    /// One who calls the `index`-th rootcoord itself, as a proxy does.
    ///
    /// # Errors
    /// [`Failure::Connect`]
    pub async fn caller(&self, index: usize) -> Result<User, Failure> {
        let channel = connect(&self.rootcoord(index).address()).await?;
        Ok(User(To::RootCoord(RootCoordClient::new(channel))))
    }
}

impl User {
    /// Creates a collection with a key, a vector, and one shard.
    ///
    /// # Errors
    /// [`Failure::Grpc`], [`Failure::Answer`].
    pub async fn create_collection(&mut self, name: &str) -> Result<(), Failure> {
        let request = CreateCollectionRequest {
            base: base(MsgType::CreateCollection),
            collection_name: name.to_owned(),
            schema: schema(name).encode_to_vec(),
            shards_num: 1,
            consistency_level: ConsistencyLevel::Strong.into(),
            ..CreateCollectionRequest::default()
        };
        let answer = match &mut self.0 {
            To::Proxy(client) => client.create_collection(request).await,
            To::RootCoord(client) => client.create_collection(request).await,
        };
        success(Some(answer.map_err(grpc)?.into_inner()))
    }

    /// Drops a collection.
    ///
    /// # Errors
    /// [`Failure::Grpc`], [`Failure::Answer`].
    pub async fn drop_collection(&mut self, name: &str) -> Result<(), Failure> {
        let request = DropCollectionRequest {
            base: base(MsgType::DropCollection),
            collection_name: name.to_owned(),
            ..DropCollectionRequest::default()
        };
        let answer = match &mut self.0 {
            To::Proxy(client) => client.drop_collection(request).await,
            To::RootCoord(client) => client.drop_collection(request).await,
        };
        success(Some(answer.map_err(grpc)?.into_inner()))
    }
}

async fn connect(address: &str) -> Result<Channel, Failure> {
    let failure = |reason| Failure::Connect { address: address.to_owned(), reason };
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|e| failure(chain(&e)))?;
    endpoint.tcp_nodelay(true).connect().await.map_err(|e| failure(chain(&e)))
}

/// What a proxy puts in front of what it passes on.
fn base(kind: MsgType) -> Option<MsgBase> {
    Some(MsgBase { msg_type: kind.into(), ..MsgBase::default() })
}

fn schema(name: &str) -> CollectionSchema {
    let key = FieldSchema {
        field_id: 100,
        name: "id".to_owned(),
        is_primary_key: true,
        data_type: DataType::Int64.into(),
        ..FieldSchema::default()
    };
    let vector = FieldSchema {
        field_id: 101,
        name: "vector".to_owned(),
        data_type: DataType::FloatVector.into(),
        type_params: vec![KeyValuePair { key: "dim".to_owned(), value: "8".to_owned() }],
        ..FieldSchema::default()
    };
    CollectionSchema { name: name.to_owned(), fields: vec![key, vector], ..CollectionSchema::default() }
}
