//! `switchover`: lets a standby take a role over now, without a failed call.

use std::{fmt, io::Write, sync::Arc, time::Duration};

use milvus_proto::peer::{SwitchoverRequest, SwitchoverResponse, peer_client::PeerClient};

use super::{
    ask::{Asker, NoAnswer},
    exit::Exit,
    failure::Failure,
    sessions::{Instance, Sessions, software},
};
use crate::{
    election::session::{Kind, Session},
    etcd::{Etcd, keys::Keys},
    ids::{Role, ServerId},
    net::Dial,
};

/// What `switchover` is asked for.
#[derive(Clone, Copy, Debug)]
pub struct SwitchoverOptions {
    /// Which coordinator.
    pub role: Role,
    /// The standby that shall take over; `None`: the one that the ACTIVE one chooses.
    pub to: Option<ServerId>,
    /// For each call to etcd.
    pub etcd_limit: Duration,
    /// For the hand-over. Instances give up after about four seconds.
    pub limit: Duration,
}

impl SwitchoverOptions {
    /// With times that leave the instances theirs.
    pub fn new(role: Role, to: Option<ServerId>) -> Self {
        Self { role, to, etcd_limit: Duration::from_secs(5), limit: Duration::from_secs(10) }
    }
}

/// An instance as messages name it: `rootcoord 3 at 10.0.0.1:53100`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Which coordinator.
    pub role: Role,
    /// Its id.
    pub server_id: i64,
    /// `host:port` of its gRPC server.
    pub address: String,
}

impl Named {
    fn new(role: Role, session: &Session) -> Self {
        Self { role, server_id: session.server_id, address: session.address.clone() }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} at {}", self.role, self.server_id, self.address)
    }
}

/// Why a role was not handed over, and what to do about it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSwitched {
    /// No session of the role at all.
    #[error("no {0} is registered: start one")]
    NobodyThere(Role),
    /// Standbys, and nobody to hand over to them.
    #[error("no {0} is ACTIVE: a standby takes over by itself; `milvus-coord status` shows them")]
    NobodyActive(Role),
    /// The session behind the ACTIVE key is no session.
    #[error(
        "nobody can tell who is ACTIVE: the value of {key} is no session ({reason}); delete the key if its \
         writer is gone"
    )]
    Unreadable {
        /// The ACTIVE key.
        key: String,
        /// What is wrong with its value.
        reason: String,
    },
    /// The ACTIVE one is a real coordinator of Milvus.
    #[error(
        "{active}, the ACTIVE one, is {software}, which can't be asked to hand over. Stop it (SIGTERM): its key \
         goes with its lease, and a milvus-coord standby takes over{}",
        if *.successors == 0 { "; none is registered: start one first" } else { "" }
    )]
    ForeignActive {
        /// Who.
        active: Named,
        /// What it is.
        software: String,
        /// Standbys of our kind.
        successors: usize,
    },
    /// There is no other instance.
    #[error("{0}, the ACTIVE one, is the only {role}: start a standby first", role = .0.role)]
    Alone(Named),
    /// The other instances are real coordinators of Milvus.
    #[error(
        "{standby} is {software}, which nothing can be handed to. It takes over when {active}, the ACTIVE one, \
         is stopped (SIGTERM)"
    )]
    ForeignStandby {
        /// Who can't.
        standby: Named,
        /// What it is.
        software: String,
        /// Who is ACTIVE.
        active: Named,
    },
    /// The wanted one is not there.
    #[error("no {role} with server id {to} is registered; the standbys are {}", list(.standbys))]
    NoSuchStandby {
        /// Which coordinator.
        role: Role,
        /// The wanted one.
        to: ServerId,
        /// Who could.
        standbys: Vec<Named>,
    },
    /// The ACTIVE one said no, or failed to.
    #[error("{active} has not handed over: {reason}. `milvus-coord status` shows who is ACTIVE")]
    Refused {
        /// Who.
        active: Named,
        /// In its words.
        reason: String,
    },
    /// It was certainly not asked.
    #[error(
        "{active}, the ACTIVE one, can't be reached: {reason}. If its process is gone, a standby takes over by \
         itself; else see that its address can be reached from here"
    )]
    Unreachable {
        /// Who.
        active: Named,
        /// What was met.
        reason: String,
    },
    /// It was asked, and may have done it.
    #[error(
        "{active} was asked and has not answered: {reason}. It may have handed over all the same: \
         `milvus-coord status` shows who is ACTIVE"
    )]
    Unknown {
        /// Who.
        active: Named,
        /// What came instead.
        reason: String,
    },
}

fn list(standbys: &[Named]) -> String {
    standbys
        .iter()
        .map(|named| format!("{} at {}", named.server_id, named.address))
        .collect::<Vec<_>>()
        .join(", ")
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// The wanted one is ACTIVE.
    Nothing(Named),
    /// Ask the ACTIVE one.
    Ask(Named),
}

/// Asks the ACTIVE instance of the role to hand over, waits for it, and says who took over.
///
/// # Errors
/// [`Failure::Switchover`], [`Failure::Sessions`], [`Failure::Output`].
pub async fn switchover(
    etcd: &Etcd,
    keys: &Keys,
    dial: Arc<dyn Dial>,
    options: SwitchoverOptions,
    out: &mut (dyn Write + Send),
) -> Result<Exit, Failure> {
    let SwitchoverOptions { role, to, etcd_limit, limit } = options;
    let sessions = Sessions::read(etcd, keys, etcd_limit).await?;
    let line = match plan(&sessions, role, to)? {
        Plan::Nothing(active) => format!("{active} is ACTIVE already"),
        Plan::Ask(active) => {
            let answer = ask(&Asker { dial, limit }, &active, to).await?;
            told(&sessions, &active, answer)?
        }
    };
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(Exit::Done)
}

fn plan(sessions: &Sessions, role: Role, to: Option<ServerId>) -> Result<Plan, NotSwitched> {
    let others = || sessions.others(role.name()).filter_map(readable);
    let Some(holder) = sessions.holder(role.name()) else {
        return Err(match others().next() {
            Some(_) => NotSwitched::NobodyActive(role),
            None => NotSwitched::NobodyThere(role),
        });
    };
    let session = holder
        .session
        .as_ref()
        .map_err(|reason| NotSwitched::Unreadable { key: holder.key.clone(), reason: reason.clone() })?;
    let active = Named::new(role, session);
    if to.is_some_and(|to| to.0 == session.server_id) {
        return Ok(Plan::Nothing(active));
    }
    if session.kind() == Kind::Foreign {
        let successors = others().filter(|session| session.kind() == Kind::Own).count();
        return Err(NotSwitched::ForeignActive { active, software: software(session), successors });
    }
    if others().next().is_none() {
        return Err(NotSwitched::Alone(active));
    }
    let foreign = |session: &Session| NotSwitched::ForeignStandby {
        standby: Named::new(role, session),
        software: software(session),
        active: active.clone(),
    };
    match to {
        Some(to) => match others().find(|session| session.server_id == to.0) {
            Some(session) if session.kind() == Kind::Own => Ok(Plan::Ask(active)),
            Some(session) => Err(foreign(session)),
            None => {
                let standbys = others().map(|session| Named::new(role, session)).collect();
                Err(NotSwitched::NoSuchStandby { role, to, standbys })
            }
        },
        None => match others().next().filter(|_| others().all(|session| session.kind() == Kind::Foreign)) {
            Some(session) => Err(foreign(session)),
            None => Ok(Plan::Ask(active)),
        },
    }
}

fn readable(instance: &Instance) -> Option<&Session> {
    instance.session.as_ref().ok()
}

async fn ask(asker: &Asker, active: &Named, to: Option<ServerId>) -> Result<SwitchoverResponse, NotSwitched> {
    let deadline = asker.deadline();
    let caller = asker
        .connect(&active.address, deadline)
        .await
        .map_err(|error| NotSwitched::Unreachable { active: active.clone(), reason: error.to_string() })?;
    let mut client = PeerClient::new(caller);
    let asking =
        client.switchover(SwitchoverRequest { to_server_id: to.map_or(0, |to| to.0), preferred: false });
    asker.answer("Peer.Switchover", deadline, asking).await.map_err(|error| {
        let (active, reason) = (active.clone(), error.to_string());
        match error {
            NoAnswer::UnknownCall(_) => NotSwitched::Refused { active, reason },
            _ => NotSwitched::Unknown { active, reason },
        }
    })
}

/// The line that tells of the answer.
fn told(sessions: &Sessions, active: &Named, answer: SwitchoverResponse) -> Result<String, NotSwitched> {
    if !answer.done {
        return Err(NotSwitched::Refused { active: active.clone(), reason: answer.reason });
    }
    let successor = sessions
        .others(active.role.name())
        .filter_map(readable)
        .find(|session| session.server_id == answer.new_server_id);
    let to = match successor {
        Some(session) => format!("{} at {}", session.server_id, session.address),
        None => answer.new_server_id.to_string(),
    };
    Ok(format!("{active} handed over to {to}: epoch {}, {:.1} ms", answer.new_epoch, answer.millis))
}

#[cfg(test)]
mod tests;
