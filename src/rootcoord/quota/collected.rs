//! What was learned of the cluster, and when.

use std::{collections::BTreeMap, time::Duration};

use super::metrics::{DataNode, Disk, Metrics, ProxyRates, QueryNode, Told};
use crate::{clock::BootInstant, ids::ServerId};

/// So long what was told counts if nothing newer comes: a coordinator of Milvus is replaced in that
/// time. After that, proxies keep the limits that they have.
const FRESH_FOR: Duration = Duration::from_secs(60);

/// A coordinator has told nothing, or too long ago: what there is can't be known, and proxies
/// drop the limits of whatever they are not told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the nodes of {0} are not known")]
pub struct NotKnown(&'static str);

#[derive(Debug)]
struct Nodes<N> {
    told: Option<BootInstant>,
    nodes: BTreeMap<ServerId, (N, BootInstant)>,
}

impl<N> Default for Nodes<N> {
    fn default() -> Self {
        Self { told: None, nodes: BTreeMap::new() }
    }
}

impl<N: Clone> Nodes<N> {
    /// The nodes that it did not name are gone, unless it could not ask some.
    fn take(&mut self, told: Told<N>, now: BootInstant) {
        self.told = Some(now);
        self.nodes.retain(|_, (_, at)| told.some_silent && now.since(*at) < FRESH_FOR);
        self.nodes.extend(told.nodes.into_iter().map(|(id, node)| (id, (node, now))));
    }

    fn fresh(&self, of: &'static str, now: BootInstant) -> Result<BTreeMap<ServerId, N>, NotKnown> {
        if self.told.is_none_or(|at| now.since(at) >= FRESH_FOR) {
            return Err(NotKnown(of));
        }
        Ok(self.nodes.iter().map(|(id, (node, _))| (*id, node.clone())).collect())
    }
}

/// See the module. Begins anew with each term.
#[derive(Debug, Default)]
pub struct Collected {
    query_nodes: Nodes<QueryNode>,
    data_nodes: Nodes<DataNode>,
    disk: Option<Disk>,
    proxies: BTreeMap<ServerId, (ProxyRates, BootInstant)>,
}

impl Collected {
    /// Querycoord has told.
    pub fn query_nodes(&mut self, told: Told<QueryNode>, now: BootInstant) {
        self.query_nodes.take(told, now);
    }

    /// Datacoord has told. It counts the data from time to time only.
    pub fn data_nodes(&mut self, (told, disk): (Told<DataNode>, Option<Disk>), now: BootInstant) {
        self.data_nodes.take(told, now);
        self.disk = disk.or(self.disk.take());
    }

    /// There are these proxies, and some of them have told.
    pub fn proxies(
        &mut self,
        told: impl IntoIterator<Item = (ServerId, Option<ProxyRates>)>,
        now: BootInstant,
    ) {
        let mut before = std::mem::take(&mut self.proxies);
        for (proxy, rates) in told {
            let counts = rates.map(|rates| (rates, now)).or_else(|| before.remove(&proxy));
            self.proxies.extend(counts.map(|counts| (proxy, counts)));
        }
    }

    /// All of it that still counts.
    ///
    /// # Errors
    /// [`NotKnown`]
    pub fn metrics(&mut self, now: BootInstant) -> Result<Metrics, NotKnown> {
        self.proxies.retain(|_, (_, at)| now.since(*at) < FRESH_FOR);
        Ok(Metrics {
            query_nodes: self.query_nodes.fresh("querycoord", now)?,
            data_nodes: self.data_nodes.fresh("datacoord", now)?,
            disk: self.disk.clone(),
            proxies: self.proxies.iter().map(|(id, (rates, _))| (*id, *rates)).collect(),
        })
    }
}
