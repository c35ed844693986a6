use std::time::Duration;

use crate::{config::reader::Reader, ids::Role};

/// A command of an operator's, run at a change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookSetting {
    /// For `/bin/sh -c`; empty: none.
    pub command: String,
    /// When it is killed.
    pub timeout: Duration,
}

/// The commands that are run at changes of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookSettings {
    /// When the process has become ACTIVE.
    pub on_active: HookSetting,
    /// When it has become STANDBY.
    pub on_standby: HookSetting,
    /// When it has lost its term or its lease.
    pub on_fault: HookSetting,
    /// When it ends.
    pub on_stop: HookSetting,
}

impl HookSettings {
    pub(in crate::config) fn read(reader: &mut Reader<'_>, role: Role) -> Self {
        let section = role.section();
        let mut hook = |name: &str| {
            let key = format!("{section}.activeStandby.hooks.{name}");
            HookSetting {
                command: reader.text(&format!("{key}.command")),
                timeout: reader.time(&format!("{key}.timeout")),
            }
        };
        Self {
            on_active: hook("onActive"),
            on_standby: hook("onStandby"),
            on_fault: hook("onFault"),
            on_stop: hook("onStop"),
        }
    }

    /// Each with its name.
    pub fn named(&self) -> [(&'static str, &HookSetting); 4] {
        [
            ("onActive", &self.on_active),
            ("onStandby", &self.on_standby),
            ("onFault", &self.on_fault),
            ("onStop", &self.on_stop),
        ]
    }
}
