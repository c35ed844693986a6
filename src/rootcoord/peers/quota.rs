//! The quota center's talk with proxies. Nothing of it is owed to anybody: the next round brings
//! something newer.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::join_all;
use milvus_proto::milvus::GetMetricsResponse;
use parking_lot::Mutex;

use crate::{
    clock::UnixNanos,
    ids::ServerId,
    rootcoord::{
        peers::{PeerEvents, PerProxy, notices::Method, requests},
        quota::Rates,
    },
    rpc::{
        clients::{ClientError, Proxies, ProxyClient},
        merr::{self, MilvusError},
    },
};

/// A proxy that has answered so far is waited for so long: for a pause of its garbage collector,
/// or a lost packet.
const WAIT: Duration = Duration::from_secs(3);

/// One that has not answered its last call: so that it does not hold up the others in every round.
const LATE: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug)]
pub(super) struct QuotaCalls {
    proxies: Arc<Proxies>,
    events: PeerEvents,
    /// These have not answered their last call.
    late: Mutex<BTreeSet<ServerId>>,
    /// Whether it has been told that there are none.
    none_told: Mutex<BTreeSet<&'static str>>,
}

impl QuotaCalls {
    pub(super) fn new(proxies: Arc<Proxies>, events: PeerEvents) -> Self {
        Self { proxies, events, late: Mutex::default(), none_told: Mutex::default() }
    }

    pub(super) async fn metrics(&self) -> PerProxy<String> {
        let proxies = self.proxies(Method::Metrics);
        let asked = proxies.into_iter().map(async |(id, proxy)| {
            let request = requests::system_info();
            let answer = proxy
                .call(self.patience(id), request, async |mut stub, request| {
                    stub.get_proxy_metrics(request).await
                })
                .await;
            self.heard(id, &answer);
            let told = answer.map_err(MilvusError::from).and_then(told);
            (id, told.map_err(|error| failed(Method::Metrics, id, &error)))
        });
        join_all(asked).await
    }

    /// Each gets its part of what goes through in all.
    pub(super) async fn set_rates(&self, rates: &Rates, now: UnixNanos) -> PerProxy<()> {
        let proxies = self.proxies(Method::Rates);
        let request = requests::set_rates(rates, proxies.len(), now);
        let told = proxies.into_iter().map(async |(id, proxy): (ServerId, ProxyClient)| {
            let request = request.clone();
            let answer = proxy
                .call(self.patience(id), request, async |mut stub, request| stub.set_rates(request).await)
                .await;
            self.heard(id, &answer);
            let done = answer.map_err(MilvusError::from).and_then(|status| merr::check(Some(&status)));
            (id, done.map_err(|error| failed(Method::Rates, id, &error)))
        });
        join_all(told).await
    }

    /// All that have a session. That there are none is told once.
    fn proxies(&self, method: Method) -> Vec<(ServerId, ProxyClient)> {
        let proxies = self.proxies.all();
        let mut none_told = self.none_told.lock();
        if !proxies.is_empty() {
            none_told.remove(method.name());
        } else if none_told.insert(method.name()) {
            self.events.no_proxies(method);
        }
        proxies
    }

    fn patience(&self, proxy: ServerId) -> Duration {
        if self.late.lock().contains(&proxy) { LATE } else { WAIT }
    }

    fn heard<T>(&self, proxy: ServerId, answer: &Result<T, ClientError>) {
        match answer {
            Err(ClientError::Late { .. } | ClientError::Connect { .. }) => self.late.lock().insert(proxy),
            _ => self.late.lock().remove(&proxy),
        };
    }
}

/// The JSON.
pub(super) fn told(answer: GetMetricsResponse) -> Result<String, MilvusError> {
    merr::check(answer.status.as_ref())?;
    Ok(answer.response)
}

fn failed(method: Method, proxy: ServerId, error: &MilvusError) -> MilvusError {
    MilvusError::plain(format!("{} failed, proxyID = {proxy}, err = {error}", method.name()))
}

#[cfg(test)]
mod tests;
