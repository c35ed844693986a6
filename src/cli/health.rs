//! `health`: one instance's own word of where it stands, as a line and as an exit code,
//! for keepalived, load balancers and probes.

use std::{io, io::Write, sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use milvus_proto::{
    common::StateCode,
    milvus::ComponentInfo,
    peer::{Phase, StatusResponse},
};

use super::{
    ask::{Asker, NoAnswer},
    exit::Exit,
    rows::{code_word, lag, local_time, phase_word},
};
use crate::{
    ids::{Revision, Role},
    net::Dial,
};

/// Whom `health` asks, and how long it waits.
#[derive(Clone, Debug)]
pub struct HealthOptions {
    /// The coordinator that is expected there.
    pub role: Role,
    /// `host:port` of its gRPC server.
    pub address: String,
    /// For the answer, the connection included.
    pub limit: Duration,
}

impl HealthOptions {
    /// The instance of this machine that listens on that port.
    pub fn local(role: Role, port: u16) -> Self {
        Self::at(role, format!("127.0.0.1:{port}"))
    }

    /// The instance at `host:port`.
    pub fn at(role: Role, address: String) -> Self {
        Self { role, address, limit: Duration::from_secs(1) }
    }
}

/// Asks one instance and prints one line. The exit code says where it stands.
///
/// # Errors
/// The line could not be written.
pub async fn health(
    dial: Arc<dyn Dial>,
    options: &HealthOptions,
    out: &mut (dyn Write + Send),
) -> io::Result<Exit> {
    let HealthOptions { role, address, limit } = options;
    let asker = Asker { dial, limit: *limit };
    let (exit, line) = judge(*role, address, ask(&asker, *role, address).await, &TimeZone::system());
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(exit)
}

/// What an instance says: as a component, and as a peer. A real coordinator of Milvus has
/// no second answer.
#[derive(Debug)]
struct Said {
    component: Result<ComponentInfo, NoAnswer>,
    peer: Result<StatusResponse, NoAnswer>,
}

async fn ask(asker: &Asker, role: Role, address: &str) -> Result<Said, NoAnswer> {
    let deadline = asker.deadline();
    let caller = asker.connect(address, deadline).await?;
    let (component, peer) = tokio::join!(
        asker.component_states(role.name(), caller.clone(), deadline),
        asker.status(caller, deadline),
    );
    Ok(Said { component, peer })
}

fn judge(role: Role, address: &str, said: Result<Said, NoAnswer>, zone: &TimeZone) -> (Exit, String) {
    let unreachable = |reason: &str| (Exit::HealthUnreachable, format!("{role} at {address}: {reason}"));
    match said {
        Err(error) => unreachable(&error.to_string()),
        Ok(Said { peer: Ok(status), .. }) if status.role != role.name() => {
            unreachable(&format!("a {} answers there", status.role))
        }
        Ok(Said { component: Err(error), .. }) => unreachable(&error.to_string()),
        // Querycoord leaves its name empty.
        Ok(Said { component: Ok(info), .. }) if !info.role.is_empty() && info.role != role.name() => {
            unreachable(&format!("a {} answers there", info.role))
        }
        Ok(Said { component: Ok(_), peer: Ok(status) }) => {
            let phase = Phase::try_from(status.phase).unwrap_or(Phase::Unspecified);
            let line = format!("{role}{} at {address}: {}", id(status.server_id), own(phase, &status, zone));
            (exit_of_phase(phase), line)
        }
        Ok(Said { component: Ok(info), peer: Err(NoAnswer::UnknownCall(_)) }) => {
            let code = StateCode::try_from(info.state_code).unwrap_or(StateCode::Abnormal);
            let line = format!("{role}{} at {address}: {}, milvus", id(info.node_id), code_word(code));
            (exit_of_code(code), line)
        }
        Ok(Said { component: Ok(_), peer: Err(error) }) => unreachable(&error.to_string()),
    }
}

fn id(server_id: i64) -> String {
    if server_id > 0 { format!(" {server_id}") } else { String::new() }
}

fn own(phase: Phase, status: &StatusResponse, zone: &TimeZone) -> String {
    let since = Some(status.active_since_ms).filter(|ms| *ms > 0).and_then(|ms| local_time(ms, zone));
    let word = phase_word(phase);
    let state = match phase {
        Phase::Active => {
            let since = since.map_or_else(String::new, |since| format!(" since {since}"));
            format!("{word}{since}, epoch {}", status.epoch)
        }
        Phase::Standby => match lag(status, Revision(0)) {
            Some(lag) => format!("{word}, lag {lag}"),
            None => format!("{word}, its mirror is still loading"),
        },
        Phase::WaitingForEtcd => format!("{word} for etcd"),
        Phase::Suspended => format!("{word}, etcd has not confirmed its term"),
        Phase::Activating | Phase::Leaving | Phase::Unspecified => word.to_owned(),
    };
    format!("{state}, milvus-coord/{}", status.version)
}

fn exit_of_phase(phase: Phase) -> Exit {
    match phase {
        Phase::Active => Exit::HealthActive,
        Phase::Standby => Exit::HealthStandby,
        Phase::WaitingForEtcd
        | Phase::Activating
        | Phase::Suspended
        | Phase::Leaving
        | Phase::Unspecified => Exit::HealthWaiting,
    }
}

fn exit_of_code(code: StateCode) -> Exit {
    match code {
        StateCode::Healthy => Exit::HealthActive,
        StateCode::StandBy => Exit::HealthStandby,
        StateCode::Initializing | StateCode::Abnormal | StateCode::Stopping => Exit::HealthWaiting,
    }
}

#[cfg(test)]
mod tests;
