//! A cluster of nobody but rootcoord.

use super::{Called, Invalidation, Peers, PerProxy, PolicyChange};
use crate::{
    ids::{CollectionId, PartitionId},
    net::BoxFuture,
    rootcoord::{
        model::{Collection, Partition},
        quota::Rates,
    },
    rpc::merr::{Kind, MilvusError},
};

/// There is no proxy that could know anything, and no other coordinator that could do anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

fn done<'a>() -> Called<'a> {
    Box::pin(std::future::ready(Ok(())))
}

fn nobody<'a, T: Send + 'a>() -> Called<'a, T> {
    let error = MilvusError::new(Kind::ServiceUnavailable).saying("there are no other components");
    Box::pin(std::future::ready(Err(error)))
}

impl Peers for Nobody {
    fn invalidate(&self, _: Invalidation) -> Called<'_> {
        done()
    }

    fn refresh_policy(&self, _: PolicyChange) -> Called<'_> {
        done()
    }

    fn watch_channels<'a>(&'a self, _: &'a Collection) -> Called<'a> {
        nobody()
    }

    fn drop_indexes(&self, _: CollectionId) -> Called<'_> {
        nobody()
    }

    fn collection_altered<'a>(&'a self, _: &'a Collection, _: &'a [PartitionId]) -> Called<'a> {
        nobody()
    }

    fn garbage_is_gone(&self, _: CollectionId, _: Option<PartitionId>) -> Called<'_, bool> {
        nobody()
    }

    fn release_collection(&self, _: CollectionId) -> Called<'_> {
        nobody()
    }

    fn release_partitions<'a>(&'a self, _: CollectionId, _: &'a [PartitionId]) -> Called<'a> {
        nobody()
    }

    fn partition_created<'a>(&'a self, _: &'a Partition) -> Called<'a> {
        nobody()
    }

    fn query_metrics(&self) -> Called<'_, String> {
        nobody()
    }

    fn data_metrics(&self) -> Called<'_, String> {
        nobody()
    }

    fn proxy_metrics(&self) -> BoxFuture<'_, PerProxy<String>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    fn set_rates<'a>(&'a self, _: &'a Rates) -> BoxFuture<'a, PerProxy<()>> {
        Box::pin(std::future::ready(Vec::new()))
    }
}
