//! Callers of AllocTimestamp that cost little themselves: h2load, the load generator of nghttp2.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::Command;

/// An AllocTimestampRequest for one timestamp in gRPC's frame: not compressed, two bytes, field 3.
const REQUEST: [u8; 7] = [0, 0, 0, 0, 2, 0x18, 1];

/// The bytes of an answer in its frame with a timestamp and without an error.
const ANSWER: std::ops::RangeInclusive<u64> = 15..=32;

/// How many calls at once, over how many connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Callers {
    pub(crate) connections: usize,
    pub(crate) each: usize,
}

/// What was called.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Called {
    pub(crate) calls: u64,
    pub(crate) per_second: f64,
}

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoFigure {
    #[error("h2load does not start ({0}); the package nghttp2-client has it")]
    Missing(std::io::Error),
    #[error("the request can't be written to {0:?}: {1}")]
    Unwritable(PathBuf, std::io::Error),
    #[error("h2load does not tell what it did:\n{0}")]
    Silent(String),
    #[error("not every call brought a timestamp:\n{0}")]
    Failed(String),
}

/// Calls without pause for that long.
///
/// # Errors
/// [`NoFigure`].
pub(crate) async fn call(
    address: &str,
    server_id: i64,
    callers: Callers,
    duration: Duration,
    folder: &Path,
) -> Result<Called, NoFigure> {
    let body = folder.join("request");
    std::fs::write(&body, REQUEST).map_err(|error| NoFigure::Unwritable(body.clone(), error))?;
    let mut command = Command::new("h2load");
    command
        .args(["--threads", "1", "--clients", &callers.connections.to_string()])
        .args(["--max-concurrent-streams", &callers.each.to_string()])
        .args(["--duration", &duration.as_secs().max(1).to_string(), "--data"])
        .arg(&body);
    let headers = ["content-type: application/grpc", "te: trailers", "cluster: by-dev"];
    for header in headers.map(str::to_owned).into_iter().chain([format!("serverid: {server_id}")]) {
        command.args(["--header", &header]);
    }
    command.arg(format!("http://{address}/milvus.proto.rootcoord.RootCoord/AllocTimestamp"));
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.map_err(NoFigure::Missing)?;
    read(&String::from_utf8_lossy(&output.stdout))
}

fn read(told: &str) -> Result<Called, NoFigure> {
    let line = |start: &str| told.lines().find_map(|line| line.strip_prefix(start));
    let figures = || {
        // finished in 10.00s, 33632.75 req/s, 1.57MB/s
        let per_second = line("finished in ")?.split(", ").nth(1)?.strip_suffix(" req/s")?.parse().ok()?;
        // requests: … total, … started, … done, 336327 succeeded, 0 failed, 0 errored, 0 timeout
        let requests = line("requests: ")?;
        let count = |what: &str| -> Option<u64> {
            requests.split(", ").find_map(|part| part.strip_suffix(what)?.trim().parse().ok())
        };
        let failed = count("failed")? + count("errored")? + count("timeout")?;
        // traffic: 6.29MB (6592019) total, 332.12KB (340090) headers (…), 3.08MB (3230741) data
        let data = line("traffic: ")?.strip_suffix(") data")?.rsplit('(').next()?.parse::<u64>().ok()?;
        Some((Called { calls: count("succeeded")?, per_second }, failed, data))
    };
    let (called, failed, data) = figures().ok_or_else(|| NoFigure::Silent(told.to_owned()))?;
    // An error of gRPC has no data, one of Milvus has a reason.
    let all_well = failed == 0 && called.calls > 0 && ANSWER.contains(&(data / called.calls));
    if all_well { Ok(called) } else { Err(NoFigure::Failed(told.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(failed: u64, data: u64) -> String {
        format!(
            "starting benchmark...
Warm-up started for thread #0.

finished in 5.00s, 200.50 req/s, 1.57MB/s
requests: 1000 total, 1050 started, 1000 done, {} succeeded, {failed} failed, 0 errored, 0 timeout
status codes: 1000 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 6.29MB (6592019) total, 332.12KB (340090) headers (space savings 94.74%), 3.08MB ({data}) data
                     min         max         mean         sd        +/- sd
",
            1000 - failed
        )
    }

    #[test]
    fn what_was_called_is_read_and_errors_are_no_answers() {
        assert_eq!(read(&told(0, 24_000)).unwrap(), Called { calls: 1000, per_second: 200.5 });
        for (failed, data) in [(1, 24_000), (0, 0), (0, 119_000), (1000, 0)] {
            assert!(matches!(read(&told(failed, data)), Err(NoFigure::Failed(_))), "{failed} {data}");
        }
        assert!(matches!(read("h2load: unknown option"), Err(NoFigure::Silent(_))));
    }
}
