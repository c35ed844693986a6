//! Etcd's watch service: many watches on one stream.

use std::{collections::BTreeMap, pin::Pin, time::Duration};

use etcd_client::proto::{
    PbResponseHeader, PbWatchRequest, PbWatchRequestUnion, PbWatchResponse, PbWatchService,
};
use futures::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::Front;
use crate::fake_etcd::{
    cluster::Cluster,
    record::Origin,
    refusal::Refusal,
    store::Span,
    watcher::{Told, Watcher, Wish},
};

/// The id in answers that belong to no watch.
const NO_WATCH: i64 = -1;

#[tonic::async_trait]
impl PbWatchService for Front {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<PbWatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<Streaming<PbWatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.enter(&request).await?;
        let wants_leader = request.metadata().get("hasleader").is_some_and(|value| value == "true");
        let (front, origin) = (self.clone(), self.origin(&request));
        let mut requests = Some(request.into_inner());
        let answers = async_stream::try_stream! {
            let mut session = Session::default();
            let mut changed = front.etcd.shared.changed.subscribe();
            loop {
                changed.mark_unchanged();
                let (answers, wake) = front.etcd.look(|cluster, now| {
                    if cluster.is_hung(front.member) {
                        return (Vec::new(), None);
                    }
                    (session.tell(cluster, front.member, &origin, now), cluster.next_visible(now))
                });
                for mut answer in answers {
                    front.complete(&mut answer);
                    yield answer;
                }
                let woken = tokio::select! {
                    biased;
                    () = front.streams_end(), if wants_leader => Woken::Leaderless,
                    request = next(&mut requests) => Woken::Asked(request),
                    () = front.etcd.change_or(&mut changed, wake) => Woken::Changed,
                };
                match woken {
                    Woken::Leaderless => Err(Status::from(Refusal::NoLeader))?,
                    Woken::Asked(request) => match request? {
                        Some(request) => {
                            front.enter_stream().await;
                            let answers = front.etcd.look(|cluster, now| {
                                session.handle(request, cluster.seen_by(front.member, now), cluster)
                            });
                            for mut answer in answers {
                                front.complete(&mut answer);
                                yield answer;
                            }
                        }
                        // A client that has closed its half may still listen.
                        None => requests = None,
                    },
                    Woken::Changed => {}
                }
            }
        };
        Ok(Response::new(Box::pin(answers)))
    }
}

enum Woken {
    Leaderless,
    Asked(Result<Option<PbWatchRequest>, Status>),
    Changed,
}

async fn next(requests: &mut Option<Streaming<PbWatchRequest>>) -> Result<Option<PbWatchRequest>, Status> {
    match requests {
        Some(requests) => requests.message().await,
        None => std::future::pending().await,
    }
}

impl Front {
    async fn enter_stream(&self) {
        self.etcd.wait_for(|cluster, _| (!cluster.is_hung(self.member)).then_some(())).await;
    }

    /// Fills in all but the revision, which an answer about compaction leaves empty.
    fn complete(&self, answer: &mut PbWatchResponse) {
        let revision = answer.header.as_ref().map_or(0, |header| header.revision);
        answer.header = self.header(None).map(|header| PbResponseHeader { revision, ..header });
    }
}

/// One stream's watches.
#[derive(Debug, Default)]
struct Session {
    /// By id. One that ended by compaction holds its id until it is cancelled.
    watchers: BTreeMap<i64, Option<Watcher>>,
    next_id: i64,
    /// Progress requests that wait until all watches have been told everything.
    progress_wanted: usize,
}

impl Session {
    fn tell(
        &mut self,
        cluster: &mut Cluster,
        member: usize,
        of: &Origin,
        now: Duration,
    ) -> Vec<PbWatchResponse> {
        let mut answers = Vec::new();
        let mut all_told = true;
        let seen = cluster.seen_by(member, now);
        for place in self.watchers.values_mut() {
            let Some(watcher) = place else { continue };
            let (allowed, held_back) = cluster.told_by(member, of, watcher.span(), watcher.told(), now);
            if held_back {
                all_told = false;
                watcher.falls_behind();
            }
            match watcher.tell(cluster.store(), allowed) {
                Told::Events(events) => answers.extend(events),
                Told::Compacted(answer) => {
                    answers.push(answer);
                    *place = None;
                }
            }
        }
        if all_told || cluster.progress_overtakes {
            for _ in 0..std::mem::take(&mut self.progress_wanted) {
                answers.push(PbWatchResponse {
                    header: Some(PbResponseHeader { revision: seen, ..Default::default() }),
                    watch_id: NO_WATCH,
                    ..Default::default()
                });
            }
        }
        answers
    }

    fn handle(&mut self, request: PbWatchRequest, seen: i64, cluster: &Cluster) -> Vec<PbWatchResponse> {
        let header = Some(PbResponseHeader { revision: seen, ..Default::default() });
        match request.request_union {
            Some(PbWatchRequestUnion::CreateRequest(create)) => {
                let key = if create.key.is_empty() { vec![0] } else { create.key };
                let wish = Wish {
                    id: create.watch_id,
                    span: Span::new(&key, &create.range_end),
                    from: if create.start_revision == 0 { seen + 1 } else { create.start_revision },
                    filters: create.filters,
                    prev_kv: create.prev_kv,
                    fragment: create.fragment,
                };
                let refused = match self.create(wish, seen) {
                    Ok(watch_id) => {
                        return vec![PbWatchResponse {
                            header,
                            watch_id,
                            created: true,
                            ..Default::default()
                        }];
                    }
                    Err(refused) => refused,
                };
                vec![PbWatchResponse {
                    header,
                    watch_id: NO_WATCH,
                    created: true,
                    canceled: true,
                    cancel_reason: refused.to_owned(),
                    ..Default::default()
                }]
            }
            Some(PbWatchRequestUnion::CancelRequest(cancel)) => {
                if self.watchers.remove(&cancel.watch_id).is_none() {
                    return Vec::new();
                }
                let watch_id = cancel.watch_id;
                vec![PbWatchResponse { header, watch_id, canceled: true, ..Default::default() }]
            }
            Some(PbWatchRequestUnion::ProgressRequest(_)) => {
                if cluster.progress_overtakes {
                    return vec![PbWatchResponse { header, watch_id: NO_WATCH, ..Default::default() }];
                }
                self.progress_wanted += 1;
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    fn create(&mut self, mut wish: Wish, seen: i64) -> Result<i64, &'static str> {
        if wish.span.is_backwards() {
            return Err("mvcc: watcher range is empty");
        }
        if wish.id == 0 {
            while self.watchers.contains_key(&self.next_id) {
                self.next_id += 1;
            }
            wish.id = self.next_id;
            self.next_id += 1;
        } else if self.watchers.contains_key(&wish.id) {
            return Err("mvcc: duplicate watch ID provided on the WatchStream");
        }
        let id = wish.id;
        self.watchers.insert(id, Some(Watcher::new(wish, seen)));
        Ok(id)
    }
}
