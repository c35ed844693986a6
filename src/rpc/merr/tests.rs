#![expect(deprecated, reason = "old clients read the legacy code")]

use super::*;

#[track_caller]
fn wire(error: &MilvusError, code: i32, legacy: i32, retriable: bool, reason: &str, detail: &str) {
    let expected =
        Status { error_code: legacy, reason: reason.into(), code, retriable, detail: detail.into() };
    assert_eq!(Status::from(error), expected);
}

#[test]
fn texts_of_the_shapes() {
    let table = [
        (MilvusError::not_ready("rootcoord", 7, "StandBy"), "service not ready[rootcoord=7]: StandBy"),
        (MilvusError::node_not_match(3, 10), "node not match[expectedNodeID=3][actualNodeID=10]"),
        (
            MilvusError::cross_cluster("by-dev", "other"),
            "cross cluster routing[expectedCluster=by-dev][actualCluster=other]",
        ),
        (
            MilvusError::new(Kind::CollectionNotFound).with("database", "default").with("collection", "c1"),
            "collection not found[database=default][collection=c1]",
        ),
        (MilvusError::new(Kind::ServiceUnavailable).saying("gone"), "service unavailable: gone"),
        (
            MilvusError::new(Kind::MemoryLimitExceeded)
                .with("predict", Float(1.5_f32))
                .with("limit", Float(1_f32)),
            "memory limit exceeded[predict=1.5][limit=1]",
        ),
        (
            MilvusError::new(Kind::SegmentNotFound).with("segments", List(&[1, 2])),
            "segment not found[segments=[1 2]]",
        ),
        (MilvusError::new(Kind::IoFailed).with("key", "k").saying("boom"), "IO failed[key=k]: boom"),
        (MilvusError::invalid("a", "b"), "invalid parameter[expected=a][actual=b]"),
        (MilvusError::out_of_range(7, 1, 5), "invalid parameter[7 out of range 1 <= value <= 5]"),
        (MilvusError::free(Kind::ParameterInvalid, "bad name"), "bad name: invalid parameter"),
        (
            MilvusError::new(Kind::ParameterMissing).with("missing_param", "x"),
            "missing parameter[missing_param=x]",
        ),
        (MilvusError::new(Kind::NodeLack), "node lacks"),
        (
            MilvusError::new(Kind::CollectionNotFound).with("collection", "c1").wrap("a->b"),
            "a->b: collection not found[collection=c1]",
        ),
        (MilvusError::from_grpc(&tonic::Status::unavailable("x")), "rpc error: code = Unavailable desc = x"),
        (
            MilvusError::from_grpc(&tonic::Status::unimplemented("unknown method X")),
            "service unimplemented: rpc error: code = Unimplemented desc = unknown method X",
        ),
    ];
    for (error, text) in table {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn every_kind_goes_to_the_wire_and_comes_back() {
    for &kind in Kind::ALL {
        let error = MilvusError::new(kind).with("x", 1);
        let text = format!("{}[x=1]", kind.text());
        wire(&error, kind.code(), kind.legacy().into(), kind.retriable(), &text, &text);
        let back = check(Some(&Status::from(&error))).unwrap_err();
        assert_eq!(back, error);
    }
}

#[test]
fn reason_is_the_innermost_wrapping() {
    let root = MilvusError::new(Kind::CollectionNotFound).with("collection", 0);
    let bare = "collection not found[collection=0]";
    wire(&root, 100, 4, false, bare, bare);

    let once = root.wrap("failed to get partitions from RootCoord");
    let inner = "failed to get partitions from RootCoord: collection not found[collection=0]";
    wire(&once, 100, 4, false, inner, inner);

    let twice = once.wrap("failed to load collection");
    wire(&twice, 100, 4, false, inner, &format!("failed to load collection: {inner}"));
}

#[test]
fn a_plain_error_with_a_trace_counts_as_one_wrapping_more() {
    wire(&MilvusError::traced("boom"), 65535, 1, false, "boom", "boom");
    wire(&MilvusError::traced("boom").wrap("a"), 65535, 1, false, "boom", "a: boom");
    wire(&MilvusError::traced("boom").wrap("a").wrap("b"), 65535, 1, false, "boom", "b: a: boom");
    wire(&MilvusError::plain("boom").wrap("a"), 65535, 1, false, "a: boom", "a: boom");
    wire(&MilvusError::plain("boom").wrap("a").wrap("b"), 65535, 1, false, "a: boom", "b: a: boom");
}

#[test]
fn wrapping_takes_retriable_away_unless_it_is_insisted_on() {
    let error = MilvusError::not_ready("querycoord", 10, "StandBy");
    assert!(error.retriable());
    let wrapped = error.wrap("failed to get shard leaders");
    assert!(!wrapped.retriable());
    let text = "failed to get shard leaders: service not ready[querycoord=10]: StandBy";
    wire(&wrapped.retry(), 1, 56, true, text, text);
    assert!(MilvusError::plain("can not get timestamp").retry().retriable());
}

#[test]
fn success_is_the_empty_message() {
    assert_eq!(success(), Status::default());
    assert_eq!(check(None), Ok(()));
    assert_eq!(check(Some(&success())), Ok(()));
    let talkative = Status { reason: "fine".into(), ..Status::default() };
    assert_eq!(check(Some(&talkative)), Ok(()));
}

#[test]
fn a_relayed_status_keeps_code_reason_and_retriable() {
    let status = Status {
        error_code: 1,
        reason: "inner: x".into(),
        code: 424_242,
        retriable: true,
        detail: "outer: inner: x".into(),
    };
    let relayed = check(Some(&status)).unwrap_err();
    assert_eq!(relayed.kind(), None);
    wire(&relayed, 424_242, 1, true, "inner: x", "inner: x");
    wire(&relayed.wrap("mine"), 424_242, 1, false, "mine: inner: x", "mine: inner: x");
}

#[test]
fn a_status_with_only_the_legacy_code_is_an_error() {
    let status = Status { error_code: 56, reason: "wait".into(), ..Status::default() };
    wire(&check(Some(&status)).unwrap_err(), 1, 56, false, "wait", "wait");
    let newer = Status { error_code: 987, reason: "?".into(), ..Status::default() };
    assert_eq!(check(Some(&newer)).unwrap_err().kind(), Some(Kind::Unexpected));
}

#[test]
fn the_legacy_code_can_be_set() {
    let error = MilvusError::traced("no such user").wrap("update credential failed");
    let expected = Status {
        error_code: ErrorCode::UpdateCredentialFailure.into(),
        reason: "update credential failed: no such user".into(),
        code: 65535,
        retriable: false,
        detail: String::new(),
    };
    assert_eq!(error.to_status_with_legacy(ErrorCode::UpdateCredentialFailure), expected);
}

#[test]
fn pushing_away_is_a_grpc_error_of_code_unknown() {
    let status = MilvusError::node_not_match(3, 10).to_grpc();
    assert_eq!(status.code(), tonic::Code::Unknown);
    assert_eq!(status.message(), "node not match[expectedNodeID=3][actualNodeID=10]");
}
