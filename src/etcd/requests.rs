//! The calls that this project makes of etcd.
//!
//! All reads are linearizable: what they return held at some time after they were sent.

use std::time::Duration;

use etcd_client::{GetOptions, Txn as EtcdTxn, TxnOp};

use crate::{
    etcd::{
        call::{Answer, CallError, Granted, Header, Refusal},
        connections::{Etcd, header},
        mirror::KeyRange,
        txn::{KeyValue, Txn, TxnOutcome},
        wire,
    },
    ids::{LeaseId, Revision},
};

/// How many entries of a range are fetched at once where the caller has no say.
const LIST_PAGE: usize = 500;

/// Some of a range's entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order of their keys. Keys that are not text are left out.
    pub entries: Vec<KeyValue>,
    /// Where the next page starts, if there is more.
    pub next: Option<Vec<u8>>,
}

impl Page {
    fn new(kvs: Vec<etcd_client::proto::PbKeyValue>, more: bool) -> Self {
        let next = kvs.last().filter(|_| more).map(|last| [&last.key[..], &[0]].concat());
        Self { entries: kvs.into_iter().filter_map(wire::key_value).collect(), next }
    }
}

impl Etcd {
    /// Reads one key.
    ///
    /// # Errors
    /// [`CallError`]; a read without an answer within `limit` is `Unreachable` or `Unknown`.
    pub async fn read(&self, key: &str, limit: Duration) -> Result<Answer<Option<KeyValue>>, CallError> {
        self.ask("read", limit, |mut connection| async move {
            let mut response = connection.kv.get(key, None).await?;
            let kv = response.0.kvs.drain(..).next().and_then(wire::key_value);
            Ok((header(response.header()), kv))
        })
        .await
    }

    /// Reads several keys as they are at one revision.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn read_all(
        &self,
        keys: &[String],
        limit: Duration,
    ) -> Result<Answer<Vec<Option<KeyValue>>>, CallError> {
        self.ask("read", limit, |mut connection| async move {
            let response = connection.kv.txn(EtcdTxn::new().and_then(wire::reads(keys))).await?;
            Ok((header(response.header()), wire::single_reads(response)))
        })
        .await
    }

    /// Reads up to `count` entries from `from` up to `end`, at `revision` or at the newest.
    ///
    /// # Errors
    /// As [`read`](Self::read), and `Refused` with `Compacted` or `FutureRevision`; with
    /// `TooLarge` if the page doesn't fit into one answer: ask for fewer.
    pub async fn page(
        &self,
        from: &[u8],
        end: &str,
        revision: Option<Revision>,
        count: usize,
        limit: Duration,
    ) -> Result<Answer<Page>, CallError> {
        self.ask("range", limit, |mut connection| async move {
            let mut options = GetOptions::new().with_range(end).with_limit(to_limit(count));
            if let Some(revision) = revision {
                options = options.with_revision(revision.0);
            }
            let mut response = connection.kv.get(from, Some(options)).await?;
            let more = response.more();
            let kvs = std::mem::take(&mut response.0.kvs);
            Ok((header(response.header()), Page::new(kvs, more)))
        })
        .await
    }

    /// Reads the first `count` entries of each range, all at one revision: the newest.
    ///
    /// # Errors
    /// As [`page`](Self::page).
    pub async fn first_pages(
        &self,
        ranges: &[KeyRange],
        count: usize,
        limit: Duration,
    ) -> Result<Answer<Vec<Page>>, CallError> {
        self.ask("range", limit, |mut connection| async move {
            let reads: Vec<_> = ranges
                .iter()
                .map(|range| {
                    let options =
                        GetOptions::new().with_range(range.end.as_str()).with_limit(to_limit(count));
                    TxnOp::get(range.start.as_str(), Some(options))
                })
                .collect();
            let response = connection.kv.txn(EtcdTxn::new().and_then(reads)).await?;
            let header = header(response.header());
            Ok((header, wire::ranges(response).map(|(kvs, more)| Page::new(kvs, more)).collect()))
        })
        .await
    }

    /// Reads all entries of a range as they are at one revision.
    ///
    /// # Errors
    /// As [`page`](Self::page); `limit` is for each page.
    pub async fn list(&self, range: &KeyRange, limit: Duration) -> Result<Answer<Vec<KeyValue>>, CallError> {
        let first = self.page(range.start.as_bytes(), &range.end, None, LIST_PAGE, limit).await?;
        let Answer { header, sent, value: Page { mut entries, mut next } } = first;
        while let Some(from) = next {
            let page = self.page(&from, &range.end, Some(header.revision), LIST_PAGE, limit).await?.value;
            entries.extend(page.entries);
            next = page.next;
        }
        Ok(Answer { header, sent, value: entries })
    }

    /// Carries out a transaction. It is sent once: an `Unknown` end is the caller's to settle.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn txn(&self, txn: Txn, limit: Duration) -> Result<TxnOutcome, CallError> {
        self.carry_out(&txn, limit).await
    }

    /// [`txn`](Self::txn), for those who send the same one again.
    pub(crate) async fn carry_out(&self, txn: &Txn, limit: Duration) -> Result<TxnOutcome, CallError> {
        let before = self.newest_revision();
        let told = self
            .tell("txn", limit, |mut connection| async move {
                let response = connection.kv.txn(wire::txn(txn)).await?;
                let header = header(response.header());
                let outcome = if response.succeeded() {
                    TxnOutcome::Done(header)
                } else {
                    TxnOutcome::GuardFailed(header, wire::single_reads(response))
                };
                Ok((header, outcome))
            })
            .await;
        match told {
            Ok(answer) => Ok(answer.value),
            Err(CallError::Refused { refusal: Refusal::NoSpace, .. }) => {
                self.after_no_space(txn, before, limit).await
            }
            Err(error) => Err(error),
        }
    }

    /// The transaction that crosses the quota is carried out, and answered like those
    /// that come after it and are not. But no attempt is under way any more, so a read
    /// tells which.
    async fn after_no_space(
        &self,
        txn: &Txn,
        before: Revision,
        limit: Duration,
    ) -> Result<TxnOutcome, CallError> {
        let keys: Vec<_> = txn.then.iter().map(|op| op.key().to_owned()).collect();
        let found = match self.read_all(&keys, limit).await {
            Ok(found) => found,
            Err(error) => return Err(CallError::Unknown { what: "txn", source: error.into() }),
        };
        match txn.landed(&found.value, before) {
            Some(Some(revision)) => Ok(TxnOutcome::Done(Header { revision, ..found.header })),
            Some(None) | None => Err(CallError::Refused { what: "txn", refusal: Refusal::NoSpace }),
        }
    }

    /// Gets a lease that lives for about `ttl` (whole seconds, at least one) without keep-alives.
    ///
    /// # Errors
    /// [`CallError`]; `Refused` with `NoSpace` when the quota is used up.
    pub async fn grant(&self, ttl: Duration, limit: Duration) -> Result<Answer<Granted>, CallError> {
        let seconds = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX).max(1);
        self.tell("lease grant", limit, |mut connection| async move {
            let response = connection.lease.grant(seconds, None).await?;
            let ttl = Duration::from_secs(u64::try_from(response.ttl()).unwrap_or(0));
            Ok((header(response.header()), Granted { lease: LeaseId(response.id()), ttl }))
        })
        .await
    }

    /// Ends a lease, and with it the keys that are bound to it. Repeated until etcd answers.
    ///
    /// # Errors
    /// [`CallError`]; `Refused` with `LeaseNotFound` if it is over already, perhaps by
    /// an earlier attempt of this call.
    pub async fn revoke(&self, lease: LeaseId, limit: Duration) -> Result<(), CallError> {
        self.ask("lease revoke", limit, |mut connection| async move {
            let response = connection.lease.revoke(lease.0).await?;
            Ok((header(response.header()), ()))
        })
        .await
        .map(|_| ())
    }
}

fn to_limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
