//! `history`: the past takeovers of a role, as they are kept in etcd.

use std::{io::Write, time::Duration};

use jiff::tz::TimeZone;
use serde::Serialize;

use super::{exit::Exit, failure::Failure, rows::local_time, table::aligned};
use crate::{
    election::history::{Party, Takeover, read},
    etcd::{Etcd, keys::Keys},
    ids::Role,
};

/// For each call to etcd.
const LIMIT: Duration = Duration::from_secs(5);

/// What `history` is asked for.
#[derive(Clone, Copy, Debug)]
pub struct HistoryOptions {
    /// Which coordinator.
    pub role: Role,
    /// How many.
    pub limit: usize,
    /// JSON instead of a table.
    pub json: bool,
}

/// Shows the newest takeovers of a role, the newest first. What can't be read is left out,
/// which `err` is told.
///
/// # Errors
/// [`Failure::History`], [`Failure::Output`].
pub async fn history(
    etcd: &Etcd,
    keys: &Keys,
    options: HistoryOptions,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
) -> Result<Exit, Failure> {
    let HistoryOptions { role, limit, json } = options;
    let range = keys.takeovers(role);
    let entries = etcd.list(&range, LIMIT).await.map_err(Failure::History)?.value;
    let (mut takeovers, unreadable) = read(&entries);
    takeovers.truncate(limit);
    let zone = TimeZone::system();
    if json {
        writeln!(out, "{}", in_json(takeovers, &zone))?;
    } else if takeovers.is_empty() {
        writeln!(out, "no takeover of {role} is known")?;
    } else {
        write!(out, "{}", table(&takeovers, &zone))?;
    }
    out.flush()?;
    if unreadable > 0 {
        writeln!(err, "{unreadable} values below {} can not be read and are left out", range.start)?;
    }
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Shown {
    /// Readable, in the local zone.
    at: Option<String>,
    #[serde(flatten)]
    takeover: Takeover,
}

fn in_json(takeovers: Vec<Takeover>, zone: &TimeZone) -> String {
    let shown: Vec<_> = takeovers
        .into_iter()
        .map(|takeover| Shown { at: local_time(takeover.at_ms, zone), takeover })
        .collect();
    serde_json::to_string_pretty(&shown).expect("strings and finite numbers are always JSON")
}

const HEADINGS: [&str; 11] =
    ["TIME", "REASON", "FROM", "TO", "EPOCH", "TOTAL", "DETECTED", "DEPOSED", "WON", "CAUGHT UP", "SERVING"];

fn table(takeovers: &[Takeover], zone: &TimeZone) -> String {
    let lines: Vec<_> = std::iter::once(HEADINGS.map(str::to_owned))
        .chain(takeovers.iter().map(|takeover| cells(takeover, zone)))
        .collect();
    aligned(&lines)
}

fn cells(takeover: &Takeover, zone: &TimeZone) -> [String; 11] {
    let stages = &takeover.stages_ms;
    let stage = |took: Option<f64>| took.map_or_else(|| "-".to_owned(), length);
    [
        local_time(takeover.at_ms, zone).unwrap_or_else(|| takeover.at_ms.to_string()),
        takeover.reason.clone(),
        takeover.from.as_ref().map_or_else(|| "-".to_owned(), party),
        party(&takeover.to),
        takeover.epoch.to_string(),
        length(takeover.total_ms),
        stage(stages.detected),
        stage(stages.deposed),
        stage(stages.won),
        stage(stages.caught_up),
        stage(stages.serving),
    ]
}

/// `7 at 10.0.0.7:53100`.
fn party(party: &Party) -> String {
    match party.address.as_str() {
        "" => party.server_id.to_string(),
        address => format!("{} at {address}", party.server_id),
    }
}

fn length(ms: f64) -> String {
    if ms < 1000.0 { format!("{ms:.1}ms") } else { format!("{:.2}s", ms / 1000.0) }
}

#[cfg(test)]
mod tests;
