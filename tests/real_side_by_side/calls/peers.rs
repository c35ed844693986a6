//! Proxies: their reports, their caches, their health, and the users that they ask for.

use milvus_proto::{
    common::{MsgBase, MsgType, StateCode},
    internal::{ChannelTimeTickMsg, ListPolicyRequest},
    milvus::{CheckHealthRequest, ComponentStates},
    proxy::InvalidateCollMetaCacheRequest,
    rootcoord::GetCredentialRequest,
};
use prost::Message as _;

use super::{Call, call, refused::sick};
use crate::peers::{Peer, Refusal, states};

pub(super) fn calls() -> Vec<Call> {
    let mut calls = reports();
    calls.extend(caches());
    calls.extend(health());
    let user = |name: &str| GetCredentialRequest { base: None, username: name.to_owned() };
    calls.extend([
        call("the user root", "GetCredential", user("root")),
        call("a user that there is not", "GetCredential", user("nobody")),
        call("a user without a name", "GetCredential", user("")),
        call("the policy", "ListPolicy", ListPolicyRequest::default()),
    ]);
    calls
}

fn reports() -> Vec<Call> {
    let report = |kind: MsgType, source_id, channels: &[&str], timestamps: &[u64], default_timestamp| {
        ChannelTimeTickMsg {
            base: Some(MsgBase { msg_type: kind.into(), source_id, ..MsgBase::default() }),
            channel_names: channels.iter().map(|&name| name.to_owned()).collect(),
            timestamps: timestamps.to_vec(),
            default_timestamp,
        }
    };
    let tick = MsgType::TimeTick;
    let proxy = Peer::Proxy.id();
    // Nothing is written yet, so that a report of times long past holds nothing back for long.
    vec![
        call("a report", "UpdateChannelTimeTick", report(tick, proxy, &["by-dev-rootcoord-dml_0"], &[5], 5)),
        call("an empty report", "UpdateChannelTimeTick", report(tick, proxy, &[], &[], 0)),
        call(
            "a report of another kind",
            "UpdateChannelTimeTick",
            report(MsgType::Insert, proxy, &[], &[], 5),
        ),
        call(
            "a report of a channel without a time",
            "UpdateChannelTimeTick",
            report(tick, proxy, &["c"], &[], 5),
        ),
        call("a report of a stranger", "UpdateChannelTimeTick", report(tick, 98, &[], &[], 5)),
        call("an empty report of a stranger", "UpdateChannelTimeTick", report(tick, 98, &[], &[], 0)),
        call("a wrong report of a stranger", "UpdateChannelTimeTick", report(tick, 98, &["c"], &[], 5)),
    ]
}

fn caches() -> Vec<Call> {
    let forget = |kind: MsgType, name: &str, collection_id| InvalidateCollMetaCacheRequest {
        base: Some(MsgBase {
            msg_type: kind.into(),
            timestamp: 6,
            msg_id: 5,
            source_id: 9,
            ..MsgBase::default()
        }),
        db_name: "default".to_owned(),
        collection_name: name.to_owned(),
        collection_id,
    };
    let method = "InvalidateCollectionMetaCache";
    let none = MsgType::Undefined;
    let refused = || Refusal::Message(sick().encode_to_vec().into());
    vec![
        call("forget a name", method, forget(none, "books", 0)),
        call("forget a collection", method, forget(none, "", 7)),
        call("forget a dropped collection", method, forget(MsgType::DropCollection, "", 8)),
        call("forget a collection and its name", method, forget(none, "films", 9)),
        call(
            "forget without a base",
            method,
            InvalidateCollMetaCacheRequest { base: None, ..forget(none, "music", 0) },
        ),
        call("forget a name, which a proxy refuses", method, forget(none, "papers", 0))
            .refusing(method, refused()),
    ]
}

fn health() -> Vec<Call> {
    let check = |label| call(label, "CheckHealth", CheckHealthRequest {});
    let states = |code| Refusal::Message(states(Peer::Proxy, code));
    let sick = ComponentStates { status: Some(sick()), ..ComponentStates::default() };
    vec![
        check("health"),
        check("health, with a proxy that is not well")
            .refusing("GetComponentStates", states(StateCode::Abnormal)),
        check("health, with a proxy that answers with an error")
            .refusing("GetComponentStates", Refusal::Message(sick.encode_to_vec().into())),
        check("health, with a proxy that does not answer")
            .refusing("GetComponentStates", Refusal::Grpc(tonic::Code::Unimplemented, "sick")),
    ]
}
