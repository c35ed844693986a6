//! What stands in etcd, waited for.

use std::time::Duration;

use etcd_client::{Client, Error, GetOptions, ResponseHeader, WatchOptions};

/// A key, and its value.
pub type Pair = (String, Vec<u8>);

/// Waits until the pairs whose keys begin with `prefix` are so. Returns them.
///
/// # Panics
/// When they aren't within `limit`, or etcd fails.
pub async fn wait(
    store: &Client,
    prefix: &str,
    what: &str,
    limit: Duration,
    is_it: impl Fn(&[Pair]) -> bool,
) -> Vec<Pair> {
    match tokio::time::timeout(limit, follow(store.clone(), prefix, is_it)).await {
        Ok(Ok(pairs)) => pairs,
        Ok(Err(error)) => panic!("etcd failed while waiting for {what}: {error}"),
        Err(_) => panic!("{what}: not within {limit:?}"),
    }
}

async fn follow(
    mut store: Client,
    prefix: &str,
    is_it: impl Fn(&[Pair]) -> bool,
) -> Result<Vec<Pair>, Error> {
    loop {
        let found = store.get(prefix, Some(GetOptions::new().with_prefix())).await?;
        let pair =
            |kv: &etcd_client::KeyValue| (kv.key_str().unwrap_or_default().to_owned(), kv.value().to_vec());
        let pairs: Vec<Pair> = found.kvs().iter().map(pair).collect();
        if is_it(&pairs) {
            return Ok(pairs);
        }
        let read = found.header().map_or(0, ResponseHeader::revision);
        let options = WatchOptions::new().with_prefix().with_start_revision(read + 1);
        let mut changes = store.watch(prefix, Some(options)).await?;
        while changes.message().await?.is_some_and(|change| change.events().is_empty() && !change.canceled())
        {
        }
    }
}
