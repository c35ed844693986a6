//! `status`: every coordinator's instances, who of them is ACTIVE, since when, how far
//! behind the others are, and whose automatic takeover is paused.

use std::{collections::BTreeMap, io, io::Write, sync::Arc, time::Duration};

use futures::future::join_all;
use jiff::tz::TimeZone;

use super::{
    ask::Asker,
    exit::Exit,
    failure::Failure,
    rows::{Lease, Seen, local_time, report},
    sessions::{Instance, Sessions},
    table::{self, Paused},
};
use crate::{
    clock::{Clock as _, SystemClock},
    election::pause::Pause,
    etcd::{Etcd, keys::Keys},
    ids::LeaseId,
    net::Dial,
    telemetry::log::Chain,
};

/// How often all is looked at again because the ACTIVE key changed hands meanwhile.
const LOOKS: usize = 3;

/// What `status` is asked for.
#[derive(Clone, Copy, Debug)]
pub struct StatusOptions {
    /// JSON instead of a table.
    pub json: bool,
    /// For each call to etcd.
    pub etcd_limit: Duration,
    /// For each instance, all of which are asked at the same time.
    pub limit: Duration,
}

impl Default for StatusOptions {
    /// A table, with times for somebody who waits at a terminal.
    fn default() -> Self {
        Self { json: false, etcd_limit: Duration::from_secs(5), limit: Duration::from_secs(1) }
    }
}

/// Shows all coordinators of the cluster. `Exit::Done`: every role that has sessions has
/// an ACTIVE instance that answers; else `Exit::Failed`.
///
/// An instance that does not answer has a row with the reason.
///
/// # Errors
/// [`Failure::Sessions`] if etcd can't be read, [`Failure::Output`].
pub async fn status(
    etcd: &Etcd,
    keys: &Keys,
    dial: Arc<dyn Dial>,
    options: StatusOptions,
    out: &mut (dyn Write + Send),
) -> Result<Exit, Failure> {
    let looking = Looking { etcd, keys, asker: Asker { dial, limit: options.limit }, options };
    let (mut sessions, mut seen) = looking.look().await?;
    for _ in 1..LOOKS {
        if !seen.iter().any(Seen::contradicts_itself) {
            break;
        }
        (sessions, seen) = looking.look().await?;
    }
    let zone = TimeZone::system();
    let mut report = report(&seen, sessions.at, &keys.sessions().start, &zone);
    let pauses = looking.pauses(&zone).await?;
    for row in &mut report.rows {
        row.paused = pauses.get(&row.role).cloned();
    }
    let lines: Vec<_> = pauses.iter().map(|(role, paused)| paused.line(role)).collect();
    write(&report.rows, lines.iter().chain(&report.troubles), options.json, out)?;
    Ok(if report.troubles.is_empty() { Exit::Done } else { Exit::Failed })
}

fn write<'a>(
    rows: &[table::Row],
    lines: impl Iterator<Item = &'a String>,
    json: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    if json {
        writeln!(out, "{}", table::json(rows))?;
    } else {
        if !rows.is_empty() {
            write!(out, "{}", table::table(rows))?;
        }
        for line in lines {
            writeln!(out, "{line}")?;
        }
    }
    out.flush()
}

struct Looking<'a> {
    etcd: &'a Etcd,
    keys: &'a Keys,
    asker: Asker,
    options: StatusOptions,
}

impl Looking<'_> {
    async fn look(&self) -> Result<(Sessions, Vec<Seen>), Failure> {
        let sessions = Sessions::read(self.etcd, self.keys, self.options.etcd_limit).await?;
        let seen = join_all(sessions.instances.iter().map(|instance| self.look_at(instance))).await;
        Ok((sessions, seen))
    }

    /// Those that last, by the names of their roles. What is no pause counts as none.
    async fn pauses(&self, zone: &TimeZone) -> Result<BTreeMap<String, Paused>, Failure> {
        let range = self.keys.pauses();
        let now = SystemClock.wall();
        let listed = self.etcd.list(&range, self.options.etcd_limit).await?;
        let lasting = listed.value.iter().filter_map(|kv| {
            let role = kv.key.strip_prefix(&range.start)?;
            let pause = Pause::decode(&kv.value).ok()?;
            let left_s = pause.left(now).as_secs_f64().ceil() as u64;
            let until = i64::try_from(pause.until_ms).ok().and_then(|ms| local_time(ms, zone));
            let Pause { until_ms, reason, by, .. } = pause;
            (left_s > 0).then(|| (role.to_owned(), Paused { until_ms, until, left_s, reason, by }))
        });
        Ok(lasting.collect())
    }

    async fn look_at(&self, instance: &Instance) -> Seen {
        let asking = async {
            let Ok(session) = &instance.session else { return Err(String::new()) };
            if session.address.is_empty() {
                return Err("its session names no address".to_owned());
            }
            self.asker
                .about_itself(instance.role, instance.kind(), &session.address)
                .await
                .map_err(|error| error.to_string())
        };
        let (answer, lease) = tokio::join!(asking, self.lease(instance.lease));
        Seen { instance: instance.clone(), answer, lease }
    }

    async fn lease(&self, lease: LeaseId) -> Lease {
        if lease == LeaseId(0) {
            return Lease::Missing;
        }
        match self.etcd.time_to_live(lease, self.options.etcd_limit).await {
            Ok(Some(left)) => Lease::Left(left),
            Ok(None) => Lease::Over,
            Err(error) => Lease::Unknown(Chain(&error).to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
