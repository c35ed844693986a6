//! What the process says of its own health.

use milvus_proto::common::StateCode;
use serde_json::{Value, json};

use crate::{
    election::{
        pause::Pause,
        standing::{Peer, Standing},
    },
    ids::{Epoch, Role, ServerId},
    telemetry::{metrics::LiveFigures, words::Phase},
};

/// Asked for each answer.
pub trait HealthSource: Send + Sync + 'static {
    /// How it is now.
    fn health(&self) -> Health;

    /// What is measured only when somebody looks.
    fn live(&self) -> LiveFigures;
}

/// How an instance is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The component.
    pub role: Role,
    /// Milvus's word for its state: what `GetComponentStates` says.
    pub code: StateCode,
    /// The pair's word for it.
    pub phase: Phase,
    /// The process cannot leave this state by itself. Everything else is waiting, and a
    /// restart would only make it longer.
    pub restart_helps: bool,
    /// The own id, once there is one.
    pub server_id: Option<ServerId>,
    /// The own `host:port`.
    pub address: Option<String>,
    /// The own term.
    pub epoch: Option<Epoch>,
    /// Who serves, as far as is known, and in which term. May be the instance itself.
    pub active: Option<(Peer, Epoch)>,
    /// The pause of automatic takeover that is in force.
    pub pause: Option<Pause>,
}

impl Health {
    /// The health of a process that works and stands there; `own` once it has an id.
    pub fn of(role: Role, own: Option<&Peer>, standing: &Standing) -> Self {
        let code = match standing {
            Standing::Standby { .. } => StateCode::StandBy,
            Standing::Activating { .. } => StateCode::Initializing,
            Standing::Active { .. } => StateCode::Healthy,
            Standing::Starting
            | Standing::Suspended { .. }
            | Standing::HandingOver { .. }
            | Standing::Forwarding { .. }
            | Standing::Leaving { .. } => StateCode::Abnormal,
        };
        let active = match standing {
            Standing::Standby { active } => active.clone(),
            Standing::Forwarding { to, epoch } => Some((to.clone(), *epoch)),
            Standing::Active { epoch } | Standing::Suspended { epoch } => {
                own.map(|own| (own.clone(), *epoch))
            }
            Standing::Starting
            | Standing::Activating { .. }
            | Standing::HandingOver { .. }
            | Standing::Leaving { .. } => None,
        };
        Self {
            role,
            code,
            phase: Phase::of(standing),
            restart_helps: false,
            server_id: own.map(|own| own.server_id),
            address: own.map(|own| own.address.clone()),
            epoch: standing.own_epoch(),
            active,
            pause: None,
        }
    }

    /// What `/healthz` says in a word.
    pub(super) fn verdict(&self) -> String {
        if self.restart_helps {
            format!("component {} state is {}", self.role, self.code.as_str_name())
        } else {
            "OK".to_owned()
        }
    }

    /// The long form of `/healthz`.
    pub(super) fn detail(&self) -> Value {
        json!({
            "state": self.verdict(),
            "detail": [{ "name": self.role.name(), "code": self.code as i32 }],
        })
    }

    /// What `/role` says.
    pub(super) fn description(&self) -> Value {
        let active = self.active.as_ref().map(|(peer, epoch)| {
            json!({ "server_id": peer.server_id.0, "address": peer.address, "epoch": epoch.0 })
        });
        json!({
            "role": self.role.name(),
            "server_id": self.server_id.map(|id| id.0),
            "address": self.address,
            "phase": self.phase.name(),
            "state": self.code.as_str_name(),
            "epoch": self.epoch.map(|epoch| epoch.0),
            "active": active,
            "paused": self.pause,
        })
    }
}
