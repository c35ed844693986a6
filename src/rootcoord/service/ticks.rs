//! What proxies report, and what they are to forget.

use milvus_proto::{
    common::{MsgType, Status as Answer},
    internal::ChannelTimeTickMsg,
    proxy::InvalidateCollMetaCacheRequest,
};
use tonic::{Request, Response};

use super::{Asked, Outcome, RootCoordService, based::type_name};
use crate::{
    ids::{CollectionId, ServerId},
    rootcoord::{
        peers::{Forget, Invalidation},
        tick::Report,
    },
    rpc::merr::{MilvusError, success},
    tso::hybrid::Timestamp,
};

impl RootCoordService {
    pub(super) async fn update_channel_time_tick(
        &self,
        request: Request<ChannelTimeTickMsg>,
    ) -> Outcome<Answer> {
        let asked = Asked::of(&request);
        if asked.not_ready {
            return Ok(Response::new(self.not_ready().into()));
        }
        let ChannelTimeTickMsg { base, channel_names, timestamps, default_timestamp } = request.into_inner();
        let base = base.unwrap_or_default();
        if base.msg_type != i32::from(MsgType::TimeTick) {
            let wrong = MilvusError::invalid(MsgType::TimeTick.as_str_name(), type_name(base.msg_type));
            return Ok(Response::new(wrong.wrap("invalid message type").into()));
        }
        let report = match Report::new(channel_names, &timestamps, default_timestamp) {
            Ok(Some(report)) => report,
            Ok(None) => return Ok(Response::new(success())),
            Err(bad) => return Ok(Response::new(MilvusError::plain(bad.to_string()).into())),
        };
        let reported =
            self.parts.core.report(ServerId(base.source_id), report).await.map(|taken| match taken {
                Ok(()) => success(),
                Err(bad) => MilvusError::plain(bad.to_string()).into(),
            });
        self.answer(&asked, reported, Answer::from)
    }

    pub(super) async fn invalidate_collection_meta_cache(
        &self,
        request: Request<InvalidateCollMetaCacheRequest>,
    ) -> Outcome<Answer> {
        let (asked, arrived) = (Asked::of(&request), self.parts.clock.boot());
        if asked.not_ready {
            return Ok(Response::new(self.not_ready().into()));
        }
        let request = request.into_inner();
        let base = request.base.unwrap_or_default();
        let id = CollectionId(request.collection_id);
        let mut told = Vec::new();
        if id.0 == 0 || !request.collection_name.is_empty() {
            told.push(Forget::Names(vec![request.collection_name]));
        }
        if id.0 != 0 {
            let dropped = base.msg_type == i32::from(MsgType::DropCollection);
            told.push(if dropped { Forget::Dropped(id) } else { Forget::Collection(id) });
        }
        let mut relayed = Ok(());
        for what in told {
            let notice =
                Invalidation { ts: Timestamp(base.timestamp), database: request.db_name.clone(), what };
            relayed = relayed.and(self.parts.core.invalidate(arrived, notice).await);
        }
        self.answer(&asked, relayed.map(|()| success()), Answer::from)
    }
}
