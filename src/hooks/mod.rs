//! Commands of operators, run when this instance becomes ACTIVE or STANDBY, fails or ends.
//!
//! [`moment`] decides from the notes of the life which change is one; [`queue`] keeps what is
//! due, in order; [`run`](fn@run) carries it out, one command at a time; [`command`] is one
//! command and its end. Nothing of the pair waits for any of them: the life of the instance
//! only puts a moment into the queue.

mod command;
pub mod moment;
pub mod queue;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use self::{
    command::Command,
    moment::Moment,
    queue::{Due, Queue},
};
use crate::{
    clock::Clock,
    config::{HookSetting, HookSettings},
    ids::Role,
    telemetry::{events::Events, words::Hook},
};

/// What a hook that is still running gets when the process ends.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// What the commands are told of the process.
#[derive(Clone, Debug)]
pub struct HookContext {
    /// The role.
    pub role: Role,
    /// `host:port` of its gRPC server.
    pub address: String,
}

/// Runs what is due until the last one, which the end of the process is due for, is over.
/// `settings` is asked each time.
pub async fn run(
    queue: Arc<Queue>,
    context: HookContext,
    settings: impl Fn() -> HookSettings + Send,
    events: Events,
    clock: Arc<dyn Clock>,
) {
    loop {
        let due = queue.due().await;
        let settings = settings();
        let Due { next, left_out, last } = due.sorted(|hook| !setting(&settings, hook).command.is_empty());
        for moment in left_out {
            events.hook_left_out(moment.hook, moment.reason);
        }
        if let Some(moment) = next {
            let HookSetting { command, timeout } = setting(&settings, moment.hook);
            events.hook_begun(moment.hook, moment.reason, moment.epoch);
            let command = Command { text: command.clone(), environment: environment(&context, &moment) };
            let limit = async {
                if moment.hook == Hook::OnStop {
                    tokio::time::sleep(*timeout).await;
                    return "its time was over";
                }
                tokio::select! {
                    () = tokio::time::sleep(*timeout) => "its time was over",
                    () = async { queue.ending().await; tokio::time::sleep(LAST_GRACE).await } => {
                        "the process ends"
                    }
                }
            };
            let run = command.run(limit, &*clock).await;
            events.hook_ended(moment.hook, moment.reason, &run);
        }
        if last {
            return;
        }
    }
}

fn setting(settings: &HookSettings, hook: Hook) -> &HookSetting {
    match hook {
        Hook::OnActive => &settings.on_active,
        Hook::OnStandby => &settings.on_standby,
        Hook::OnFault => &settings.on_fault,
        Hook::OnStop => &settings.on_stop,
    }
}

fn environment(context: &HookContext, moment: &Moment) -> Vec<(&'static str, String)> {
    let state = match moment.hook {
        Hook::OnActive => "active",
        Hook::OnStandby => "standby",
        Hook::OnFault => "fault",
        Hook::OnStop => "stop",
    };
    let number = |number: i64| if number > 0 { number.to_string() } else { String::new() };
    vec![
        ("MILVUS_COORD_ROLE", context.role.name().to_owned()),
        ("MILVUS_COORD_ADDRESS", context.address.clone()),
        ("MILVUS_COORD_SERVER_ID", number(moment.own.0)),
        ("MILVUS_COORD_EPOCH", number(moment.epoch.map_or(0, |epoch| epoch.0))),
        ("MILVUS_COORD_STATE", state.to_owned()),
        ("MILVUS_COORD_REASON", moment.reason.to_owned()),
    ]
}
