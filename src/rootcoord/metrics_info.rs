//! GetMetrics: a request in JSON, an answer in JSON. Field names are those that other
//! components and tools read.

use std::{fmt, time::Duration};

use jiff::{Timestamp as Instant, tz::TimeZone};
use parking_lot::Mutex;
use serde::Serialize;

use crate::{
    clock::{BootInstant, UnixNanos},
    rootcoord::machine::{Hardware, Machine},
    rpc::merr::{Kind, MilvusError},
};

/// How long an answer is given again.
pub const KEPT: Duration = Duration::from_secs(5);

/// The one metric type that there is.
const SYSTEM_INFO: &str = "system_info";

/// No coordinator knows the disk; these are the numbers that all of them tell.
const DISK: u64 = 100 << 20;
const DISK_USAGE: u64 = 2 << 20;

/// What the process is, in the words of its builder and deployer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Deployment {
    /// Commit.
    pub system_version: String,
    /// `DISTRIBUTED` or `STANDALONE`.
    pub deploy_mode: String,
    /// Release.
    pub build_version: String,
    /// When it was built.
    pub build_time: String,
    /// Compiler.
    pub used_go_version: String,
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answerer {
    /// The own id.
    pub id: i64,
    /// `host:port`
    pub address: String,
    /// When the process began.
    pub created: UnixNanos,
    /// `rootCoord.minSegmentSizeToEnableIndex`
    pub min_segment_size_to_enable_index: i64,
}

impl Answerer {
    /// `rootcoord9`
    pub fn component_name(&self) -> String {
        format!("rootcoord{}", self.id)
    }
}

#[derive(Serialize)]
struct Topology<'a> {
    #[serde(rename = "self")]
    this: Infos<'a>,
    connections: Connections<'a>,
}

#[derive(Serialize)]
struct Infos<'a> {
    has_error: bool,
    error_reason: &'a str,
    name: &'a str,
    hardware_infos: HardwareInfos<'a>,
    system_info: &'a Deployment,
    created_time: String,
    updated_time: String,
    #[serde(rename = "type")]
    role: &'a str,
    id: i64,
    system_configurations: Configurations,
}

#[derive(Serialize)]
struct HardwareInfos<'a> {
    ip: &'a str,
    cpu_core_count: usize,
    cpu_core_usage: f64,
    memory: u64,
    memory_usage: u64,
    disk: u64,
    disk_usage: u64,
}

#[derive(Serialize)]
struct Configurations {
    min_segment_size_to_enable_index: i64,
}

#[derive(Serialize)]
struct Connections<'a> {
    name: &'a str,
    connected_components: [(); 0],
}

/// Checks what is asked for: only system information can be.
///
/// # Errors
/// In Milvus's words.
pub fn check_request(request: &str) -> Result<(), MilvusError> {
    let request: serde_json::Map<String, serde_json::Value> = serde_json::from_str(request)
        .map_err(|error| MilvusError::plain(format!("failed to decode the request: {error}")))?;
    match request.get("metric_type") {
        Some(serde_json::Value::String(name)) if name == SYSTEM_INFO => Ok(()),
        Some(serde_json::Value::String(name)) => {
            Err(MilvusError::new(Kind::MetricNotFound).with("metric", name))
        }
        Some(other) => Err(MilvusError::new(Kind::MetricNotFound).with("metric", other)),
        None => Err(MilvusError::plain("metric_type not found in request")),
    }
}

/// Makes answers, and keeps each for [`KEPT`].
#[derive(Debug)]
pub struct SystemInfo {
    machine: Machine,
    deployment: Deployment,
    kept: Mutex<Option<(BootInstant, String)>>,
}

impl SystemInfo {
    /// Of a process deployed like that.
    pub fn new(deployment: Deployment) -> Self {
        Self { machine: Machine::default(), deployment, kept: Mutex::new(None) }
    }

    /// The answer at `now`.
    pub fn answer(&self, answerer: &Answerer, now: BootInstant) -> String {
        let mut kept = self.kept.lock();
        if let Some((at, answer)) = &*kept
            && now.since(*at) < KEPT
        {
            return answer.clone();
        }
        let answer = render(answerer, &self.deployment, self.machine.look());
        *kept = Some((now, answer.clone()));
        answer
    }
}

fn render(answerer: &Answerer, deployment: &Deployment, hardware: Hardware) -> String {
    let name = answerer.component_name();
    let since = GoTime(answerer.created).to_string();
    let topology = Topology {
        this: Infos {
            has_error: false,
            error_reason: "",
            name: &name,
            hardware_infos: HardwareInfos {
                ip: &answerer.address,
                cpu_core_count: hardware.cpu_core_count,
                cpu_core_usage: hardware.cpu_core_usage,
                memory: hardware.memory,
                memory_usage: hardware.memory_usage,
                disk: DISK,
                disk_usage: DISK_USAGE,
            },
            system_info: deployment,
            created_time: since.clone(),
            updated_time: since,
            role: "rootcoord",
            id: answerer.id,
            system_configurations: Configurations {
                min_segment_size_to_enable_index: answerer.min_segment_size_to_enable_index,
            },
        },
        connections: Connections { name: &name, connected_components: [] },
    };
    serde_json::to_string(&topology).expect("plain structs have a JSON form")
}

/// A time as Go prints it: `2006-01-02 15:04:05.999999999 -0700 MST`.
struct GoTime(UnixNanos);

impl fmt::Display for GoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Instant::from_nanosecond(self.0.0.into()) {
            Ok(time) => {
                let time = time.to_zoned(TimeZone::system());
                write!(f, "{}", time.strftime("%Y-%m-%d %H:%M:%S%.f %z %Z"))
            }
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answerer() -> Answerer {
        Answerer {
            id: 9,
            address: "10.0.0.1:53100".to_owned(),
            created: UnixNanos(1_800_000_000_120_000_000),
            min_segment_size_to_enable_index: 1024,
        }
    }

    #[test]
    fn the_answer_has_milvuss_fields_in_its_order() {
        let deployment = Deployment { deploy_mode: "DISTRIBUTED".to_owned(), ..Deployment::default() };
        let hardware =
            Hardware { cpu_core_count: 2, cpu_core_usage: 12.5, memory: 1 << 30, memory_usage: 4096 };
        let time = GoTime(answerer().created);
        let expected = format!(
            concat!(
                r#"{{"self":{{"has_error":false,"error_reason":"","name":"rootcoord9","#,
                r#""hardware_infos":{{"ip":"10.0.0.1:53100","cpu_core_count":2,"cpu_core_usage":12.5,"#,
                r#""memory":1073741824,"memory_usage":4096,"disk":104857600,"disk_usage":2097152}},"#,
                r#""system_info":{{"system_version":"","deploy_mode":"DISTRIBUTED","build_version":"","#,
                r#""build_time":"","used_go_version":""}},"created_time":"{time}","updated_time":"{time}","#,
                r#""type":"rootcoord","id":9,"system_configurations":{{"min_segment_size_to_enable_index":1024}}}},"#,
                r#""connections":{{"name":"rootcoord9","connected_components":[]}}}}"#,
            ),
            time = time
        );
        assert_eq!(render(&answerer(), &deployment, hardware), expected);
    }

    #[test]
    fn times_look_as_gos() {
        let utc = |nanos: u64| {
            let time = Instant::from_nanosecond(nanos.into()).expect("in range").to_zoned(TimeZone::UTC);
            time.strftime("%Y-%m-%d %H:%M:%S%.f %z %Z").to_string()
        };
        assert_eq!(utc(1_800_000_000_120_000_000), "2027-01-15 08:00:00.12 +0000 UTC");
        assert_eq!(utc(1_800_000_000_000_000_000), "2027-01-15 08:00:00 +0000 UTC");
        assert_eq!(utc(1_800_000_000_123_456_789), "2027-01-15 08:00:00.123456789 +0000 UTC");
    }

    #[test]
    fn an_answer_is_kept_for_five_seconds() {
        let info = SystemInfo::new(Deployment::default());
        let at = |millis| BootInstant::from_boot(Duration::from_millis(millis));
        let first = info.answer(&answerer(), at(1_000));
        let renamed = Answerer { id: 10, ..answerer() };
        assert_eq!(info.answer(&renamed, at(5_999)), first);
        assert_ne!(info.answer(&renamed, at(6_000)), first);
    }

    #[test]
    fn bad_requests_get_milvuss_words() {
        let error = |request: &str| {
            let error = check_request(request).expect_err("refused");
            (error.code(), error.to_string())
        };
        assert_eq!(check_request(r#"{"metric_type":"system_info"}"#), Ok(()));
        let (code, text) = error("{");
        assert!(code == 65535 && text.starts_with("failed to decode the request: "), "{text}");
        assert_eq!(error("[]").0, 65535);
        assert_eq!(error("{}"), (65535, "metric_type not found in request".to_owned()));
        assert_eq!(error(r#"{"metric_type":"disk"}"#), (1200, "metric not found[metric=disk]".to_owned()));
        assert_eq!(error(r#"{"metric_type":5}"#), (1200, "metric not found[metric=5]".to_owned()));
    }
}
