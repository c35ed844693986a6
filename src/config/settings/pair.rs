use std::{path::PathBuf, time::Duration};

use super::HookSettings;
use crate::{config::reader::Reader, ids::Role};

/// The pair: how it stands by, takes over and gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveStandbySettings {
    /// Whether several instances may run.
    pub enabled: bool,
    /// The lease of session and ACTIVE key: whole seconds, at least 2.
    pub lease: Duration,
    /// W: the age at which a confirmation by etcd no longer counts. Shorter than the lease.
    pub proof_window: Duration,
    /// Every answer needs a confirmation that was asked for after its call arrived.
    pub strict: bool,
    /// Take over as soon as the ACTIVE process is known to be gone, not only when its lease ends.
    pub fast_takeover: bool,
    /// A standby hands calls that name no server on to the ACTIVE process.
    pub forward: bool,
    /// What to do when the role was lost.
    pub on_lost: OnLost,
    /// Where processes of one machine see each other.
    pub run_directory: RunDirectory,
    /// How long to wait before serving after a takeover from a coordinator of the original kind.
    pub go_predecessor_wait: Duration,
    /// Who should be ACTIVE: the instance with the highest one.
    pub priority: i32,
    /// After how long of being ready a preferred standby asks the ACTIVE one for the role; `None`: never.
    pub failback: Option<Duration>,
    /// What is run at changes of state. As they are at the start; they are read at each use.
    pub hooks: HookSettings,
}

/// What a process does that lost its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLost {
    /// Goes on as standby.
    Standby,
    /// Exits with code 4.
    Exit,
}

/// Where processes of one machine see each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDirectory {
    /// The folder to use.
    pub path: PathBuf,
    /// What to use if it can't be; `None`: the folder was set on purpose and must be usable.
    pub fallback: Option<PathBuf>,
}

impl RunDirectory {
    /// Milvus's own folder has a fallback, as in Milvus; any other has none.
    fn of(path: String) -> Self {
        let fallback = (path == "/run/milvus").then(|| "/tmp/milvus".into());
        Self { path: path.into(), fallback }
    }
}

impl ActiveStandbySettings {
    pub(super) fn read(reader: &mut Reader<'_>, role: Role) -> Self {
        let section = role.section();
        let key = |name: &str| format!("{section}.activeStandby.{name}");
        let settings = Self {
            enabled: reader.flag(&format!("{section}.enableActiveStandby")),
            lease: Duration::from_secs(reader.number(&key("leaseSeconds"))),
            proof_window: reader.time(&key("proofWindowMs")),
            strict: reader.flag(&key("strict")),
            fast_takeover: reader.flag(&key("fastTakeover")),
            forward: reader.flag(&key("forward")),
            on_lost: match reader.text(&key("onLost")).as_str() {
                "exit" => OnLost::Exit,
                _ => OnLost::Standby,
            },
            run_directory: RunDirectory::of(reader.text(&key("runDirectory"))),
            go_predecessor_wait: reader.time(&key("goPredecessorWaitSeconds")),
            priority: reader.number(&key("priority")),
            failback: {
                let after = reader.time(&key("failbackAfterSeconds"));
                reader.flag(&key("failback")).then_some(after)
            },
            hooks: HookSettings::read(reader, role),
        };
        if settings.proof_window >= settings.lease {
            reader.refuse(&key("proofWindowMs"), "must be shorter than leaseSeconds");
        }
        settings
    }
}
