//! `config check`: what counts, where it comes from, what is wrong.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use super::{
    HookSetting, HookSettings, Settings, Sources, elsewhere,
    key::squeeze,
    nearest::nearest,
    origin::{ConfigError, Note, Origin, Problem},
    read_sources, secret,
    source::Entry,
    store::ConfigStore,
    table::{self, Known},
};
use crate::ids::Role;

/// What was found.
#[derive(Debug)]
pub struct CheckReport {
    /// The files that were read, in rising precedence.
    pub files: Vec<PathBuf>,
    /// Every key that is read.
    pub values: Vec<EffectiveValue>,
    /// What is probably not meant, and what is good to know.
    pub notes: Vec<Note>,
    /// What would keep one of the roles from starting.
    pub problems: Vec<Problem>,
}

/// A key's value as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveValue {
    /// The key.
    pub key: &'static str,
    /// Its value, masked if it is secret.
    pub value: String,
    /// Where it comes from, and under which name if that is another one.
    pub source: String,
}

/// Checks files and environment for all roles. Etcd is not asked.
pub fn check(sources: &Sources) -> CheckReport {
    let (store, files, mut notes, mut problems) = read_sources(sources);
    for role in Role::ALL {
        match Settings::read(&store, role) {
            // What is only good to know is told once, not for each role.
            Ok((settings, more)) => {
                notes.extend(unrunnable(role, &settings.active_standby.hooks));
                notes.extend(more.into_iter().filter(|note| note.warning || role == Role::RootCoord));
            }
            Err(ConfigError(more)) => {
                for problem in more {
                    if !problems.contains(&problem) {
                        problems.push(problem);
                    }
                }
            }
        }
    }
    notes.extend(store.unknown().into_iter().map(Note::warn));
    let values = table::all().iter().map(|known| store.effective(known)).collect();
    CheckReport { files, values, notes, problems }
}

impl ConfigStore {
    fn effective(&self, known: &Known) -> EffectiveValue {
        let entry = self.resolve(known);
        let own_name =
            known.names.contains(&squeeze(&entry.spelled)) || matches!(entry.origin, Origin::Variable(_));
        let source = match own_name {
            true => entry.origin.to_string(),
            false => format!("{} ({})", entry.origin, entry.spelled),
        };
        EffectiveValue { key: known.item.key, value: secret::shown(known.item.key, &entry.value), source }
    }

    /// Keys that nobody reads, in the order of their places.
    fn unknown(&self) -> Vec<String> {
        let stray = |entry: &&Entry| {
            let squeezed = squeeze(&entry.spelled);
            let known = table::by_name(&squeezed).is_some()
                || table::in_group(&squeezed)
                || elsewhere::knows(&squeezed);
            let empty_section = entry.value.is_empty() && is_section(&squeezed);
            !(known || empty_section || is_ignored(&squeezed))
        };
        let fixed = self.fixed.load();
        let mut strays: Vec<_> =
            fixed.iter().flat_map(|layer| layer.entries.values()).filter(stray).collect();
        strays.sort_by_key(|entry| match &entry.origin {
            Origin::File(path, line) => (Some(path.clone()), *line, &entry.spelled),
            _ => (None, 0, &entry.spelled),
        });
        strays.into_iter().filter_map(describe).collect()
    }
}

/// Hooks whose command begins with the path of what can't be run. The rest only a shell knows.
fn unrunnable(role: Role, hooks: &HookSettings) -> Vec<Note> {
    let problem = |(name, HookSetting { command, .. }): (&str, &HookSetting)| {
        let program = command.split_whitespace().next().filter(|word| word.starts_with('/'))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '@' | '+');
        if !program.chars().all(plain) {
            return None;
        }
        let what = match fs::metadata(program) {
            Err(error) => error.to_string(),
            Ok(found) if !found.is_file() => "it is no file".to_owned(),
            Ok(found) if found.permissions().mode() & 0o111 == 0 => "it is not executable".to_owned(),
            Ok(_) => return None,
        };
        let key = format!("{}.activeStandby.hooks.{name}.command", role.section());
        Some(Note::warn(format!("{key}: {program} can not be run: {what}")))
    };
    hooks.named().into_iter().filter_map(problem).collect()
}

/// Any variable may be in the environment: only one that nearly is a setting is worth a word.
fn describe(entry: &Entry) -> Option<String> {
    let near = nearest(&entry.spelled);
    match (&entry.origin, near) {
        (Origin::File(..), Some(near)) => {
            Some(format!("{}: unknown key {}; did you mean {near}?", entry.origin, entry.spelled))
        }
        (Origin::File(..), None) => Some(format!("{}: unknown key {}", entry.origin, entry.spelled)),
        (_, Some(near)) => Some(format!("{} is no setting; did you mean the one for {near}?", entry.origin)),
        (_, None) => None,
    }
}

/// Addresses of coordinators: read, told and ignored elsewhere.
fn is_ignored(squeezed: &str) -> bool {
    ["rootcoordaddress", "datacoordaddress", "querycoordaddress", "indexcoordaddress"].contains(&squeezed)
}

/// A section whose settings are all commented out.
fn is_section(squeezed: &str) -> bool {
    table::items().map(|item| item.key).chain(elsewhere::keys()).any(|key| squeeze(key).starts_with(squeezed))
}
