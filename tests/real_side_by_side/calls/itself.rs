//! What rootcoord tells about itself, times and ids.

use milvus_proto::{
    internal::{GetStatisticsChannelRequest, GetTimeTickChannelRequest, ShowConfigurationsRequest},
    milvus::{GetComponentStatesRequest, GetMetricsRequest, ShowSegmentsRequest},
    rootcoord::{AllocIdRequest, AllocTimestampRequest},
};

use super::{Call, call};

pub(super) fn calls() -> Vec<Call> {
    let times = |count| AllocTimestampRequest { base: None, count };
    let ids = |count| AllocIdRequest { base: None, count };
    let metrics = |request: &str| GetMetricsRequest { base: None, request: request.to_owned() };
    let shown = |pattern: &str| ShowConfigurationsRequest { base: None, pattern: pattern.to_owned() };
    let states = || GetComponentStatesRequest {};
    vec![
        call("its state", "GetComponentStates", states()),
        call("asked as itself", "AllocID", ids(1)).with("serverid", 1),
        call("asked as another server", "AllocID", ids(1)).with("serverid", 99),
        call("asked for its state as another server", "GetComponentStates", states()).with("serverid", 99),
        call("asked as another cluster's", "AllocID", ids(1)).with("cluster", "by-others"),
        call("asked for its state as another cluster's", "GetComponentStates", states())
            .with("cluster", "by-others"),
        call("the channel of ticks", "GetTimeTickChannel", GetTimeTickChannelRequest {}),
        call("the channel of statistics", "GetStatisticsChannel", GetStatisticsChannelRequest {}),
        call("segments", "ShowSegments", ShowSegmentsRequest::default()),
        call("a timestamp", "AllocTimestamp", times(1)),
        call("seven timestamps", "AllocTimestamp", times(7)),
        call("no timestamps", "AllocTimestamp", times(0)),
        call("more timestamps than there are", "AllocTimestamp", times(1 << 18)),
        call("an id", "AllocID", ids(1)),
        call("many ids", "AllocID", ids(200_000)),
        call("no ids", "AllocID", ids(0)),
        call("metrics", "GetMetrics", metrics(r#"{"metric_type":"system_info"}"#)),
        call("metrics of another kind", "GetMetrics", metrics(r#"{"metric_type":"disk"}"#)),
        call("metrics of no kind", "GetMetrics", metrics("{}")),
        call("metrics asked for without JSON", "GetMetrics", metrics("{")),
        call("metrics asked for with a list", "GetMetrics", metrics("[]")),
        call("settings of one name", "ShowConfigurations", shown("rootcoord.dmlchannelnum")),
        call("settings of a name in the wrong case", "ShowConfigurations", shown("rootCoord.dmlChannelNum")),
        call("settings of a name that is none", "ShowConfigurations", shown("nobody's")),
        call("settings", "ShowConfigurations", shown("")),
    ]
}
