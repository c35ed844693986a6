//! Following keys and leases, in a first version.

use std::time::Duration;

use crate::{
    etcd::{Etcd, call::CallError, connections::header, txn::KeyValue},
    ids::{LeaseId, Revision},
};

impl Etcd {
    /// One keep-alive.
    pub(crate) async fn keep_alive_once(
        &self,
        lease: LeaseId,
        limit: Duration,
    ) -> Result<(crate::etcd::call::Header, Duration), CallError> {
        let answer = self
            .tell("keep-alive", limit, |mut connection| async move {
                let (mut keeper, mut stream) = connection.lease.keep_alive(lease.0).await?;
                keeper.keep_alive().await?;
                let response = stream.message().await?;
                let ttl = response.as_ref().map_or(0, |response| response.ttl()).max(0);
                Ok((
                    header(response.as_ref().and_then(|response| response.header())),
                    Duration::from_secs(ttl as u64),
                ))
            })
            .await?;
        Ok((answer.header, answer.value))
    }
}

impl Etcd {
    pub(crate) async fn follow(
        &self,
        plan: &crate::etcd::mirror::MirrorPlan,
        sink: &mut Box<dyn FnMut(crate::etcd::mirror::MirrorEvent) + Send>,
        sender: &tokio::sync::watch::Sender<Revision>,
    ) -> Result<(), CallError> {
        use crate::etcd::mirror::MirrorEvent;
        let failed = |source: String| CallError::Unknown { what: "watch", source: source.into() };
        sink(MirrorEvent::Reset);
        let mut at = crate::etcd::call::Header::default();
        for range in &plan.wanted {
            let listed = self.list(range, Duration::from_secs(30)).await?;
            at = if at.revision.0 == 0 || listed.header.revision < at.revision { listed.header } else { at };
            for kv in listed.value {
                sink(MirrorEvent::Entry(kv));
            }
        }
        sink(MirrorEvent::Loaded(at));
        sender.send_replace(at.revision);
        let slot = self.line().current();
        let mut connection =
            slot.connection(&self.shared).await.map_err(|error| failed(error.to_string()))?;
        let options = etcd_client::WatchOptions::new()
            .with_range(plan.watch.end.clone())
            .with_start_revision(at.revision.0 + 1);
        let mut stream = connection
            .watch
            .watch(plan.watch.start.clone(), Some(options))
            .await
            .map_err(|error| failed(error.to_string()))?;
        loop {
            let response = stream
                .message()
                .await
                .map_err(|error| failed(error.to_string()))?
                .ok_or_else(|| failed("end".into()))?;
            if response.canceled() {
                return Err(failed(response.cancel_reason().to_owned()));
            }
            let Some(revision) = response.header().map(|header| Revision(header.revision())) else {
                continue;
            };
            if response.created() {
                continue;
            }
            for event in response.events() {
                let Some(kv) = event.kv() else { continue };
                let key = kv.key_str().unwrap_or_default().to_owned();
                if !plan.wanted.iter().any(|range| range.contains(&key)) {
                    continue;
                }
                match event.event_type() {
                    etcd_client::EventType::Put => sink(MirrorEvent::Put(KeyValue {
                        key,
                        value: kv.value().to_vec(),
                        create_revision: Revision(kv.create_revision()),
                        mod_revision: Revision(kv.mod_revision()),
                        lease: LeaseId(kv.lease()),
                    })),
                    etcd_client::EventType::Delete => {
                        sink(MirrorEvent::Deleted(key, Revision(kv.mod_revision())))
                    }
                }
            }
            sink(MirrorEvent::UpTo(revision));
            sender.send_replace(revision);
        }
    }
}
