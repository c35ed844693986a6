//! Files read once more, because an operator has asked for it.
//!
//! All or nothing: files with a problem leave everything as it was. What counts at once is
//! what is read at each use; the rest counts at the next start, and the answer says so.

use std::sync::Arc;

use super::{
    ConfigError, ConfigStore, Settings, Sources, origin::Origin, read_sources, secret, source::Entry, table,
};
use crate::ids::Role;

/// A key whose value is another one than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The key.
    pub key: &'static str,
    /// Its value now, masked if it is secret.
    pub value: String,
    /// Where that comes from.
    pub origin: Origin,
    /// Whether it counts from now on; otherwise from the next start on.
    pub at_once: bool,
}

/// Reads the files of `sources` into `store`, and tells what has changed by that, for a
/// process of that role. Environment and etcd go before files, as always.
///
/// # Errors
/// Everything that is wrong with the files. Nothing was taken over then.
pub fn reload(store: &ConfigStore, sources: &Sources, role: Role) -> Result<Vec<Changed>, ConfigError> {
    let (fresh, _, notes, problems) = read_sources(sources);
    if !problems.is_empty() {
        return Err(ConfigError(problems));
    }
    Settings::read(&fresh, role)?;
    notes.iter().for_each(super::Note::log);
    let before = values(store);
    store.fixed.store(Arc::new(fresh.fixed.load().to_vec()));
    let changed = |(known, (before, after)): (&table::Known, (Entry, Entry))| {
        (before.value != after.value).then(|| Changed {
            key: known.item.key,
            value: secret::shown(known.item.key, &after.value),
            origin: after.origin,
            at_once: known.item.live,
        })
    };
    Ok(table::all().iter().zip(before.into_iter().zip(values(store))).filter_map(changed).collect())
}

fn values(store: &ConfigStore) -> Vec<Entry> {
    table::all().iter().map(|known| store.resolve(known)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, testing};

    fn write(folder: &tempfile::TempDir, text: &str) {
        std::fs::write(folder.path().join("milvus.yaml"), text).unwrap();
    }

    fn told(changed: &[Changed]) -> Vec<(&str, &str, bool)> {
        changed.iter().map(|changed| (changed.key, changed.value.as_str(), changed.at_once)).collect()
    }

    const ROLE: Role = Role::RootCoord;

    #[test]
    fn what_is_read_at_each_use_counts_at_once_and_the_rest_is_told_to_wait() {
        let folder = testing::folder("rootCoord: {port: 1, minSegmentSizeToEnableIndex: 7}\n");
        let sources = testing::sources(&folder, &[("LOG_LEVEL", "warn")]);
        let config = Config::load(&sources, ROLE).unwrap();
        write(
            &folder,
            "rootCoord: {port: 2, minSegmentSizeToEnableIndex: 8}\nlog: {level: debug}\n\
             common: {activeStandby: {hooks: {onStop: {command: 'true', timeout: 3}}}}\n",
        );
        let changed = reload(&config.store, &sources, ROLE).unwrap();
        let hooks = "common.activeStandby.hooks.onStop";
        let expected = [
            ("rootCoord.port", "2", false),
            ("rootCoord.activeStandby.hooks.onStop.command", "true", true),
            ("rootCoord.activeStandby.hooks.onStop.timeout", "3", true),
            ("rootCoord.minSegmentSizeToEnableIndex", "8", true),
            (&format!("{hooks}.command"), "true", true),
            (&format!("{hooks}.timeout"), "3", true),
        ];
        let told: Vec<_> = told(&changed)
            .into_iter()
            .filter(|(key, ..)| {
                // The same keys of the other roles.
                !key.starts_with("dataCoord") && !key.starts_with("queryCoord")
            })
            .collect();
        // The environment goes before the file: log.level is as it was.
        assert_eq!(told, expected);
        assert_eq!(config.live().min_segment_size_to_enable_index(), 8);
        assert_eq!(config.live().hooks(ROLE).on_stop.command, "true");
        assert_eq!(reload(&config.store, &sources, ROLE), Ok(vec![]));
    }

    #[test]
    fn files_with_a_problem_leave_everything_as_it_was() {
        let folder = testing::folder("rootCoord: {minSegmentSizeToEnableIndex: 7}\n");
        let sources = testing::sources(&folder, &[]);
        let config = Config::load(&sources, ROLE).unwrap();
        for broken in [
            "rootCoord: {minSegmentSizeToEnableIndex: 8, port: many}\n",
            "rootCoord: [\n",
            "common: {activeStandby: {hooks: {onActive: {timeout: 0}}}}\n",
        ] {
            write(&folder, broken);
            assert!(reload(&config.store, &sources, ROLE).is_err(), "{broken}");
            assert_eq!(config.live().min_segment_size_to_enable_index(), 7);
        }
    }

    #[test]
    fn what_etcd_holds_still_goes_before_the_file() {
        let folder = testing::folder("");
        let sources = testing::sources(&folder, &[]);
        let config = Config::load(&sources, ROLE).unwrap();
        config.store.apply_dynamic("rootCoord/minSegmentSizeToEnableIndex", Some("5"));
        write(&folder, "rootCoord: {minSegmentSizeToEnableIndex: 8}\n");
        assert_eq!(reload(&config.store, &sources, ROLE), Ok(vec![]));
        config.store.apply_dynamic("rootCoord/minSegmentSizeToEnableIndex", None);
        assert_eq!(config.live().min_segment_size_to_enable_index(), 8);
    }

    #[test]
    fn a_command_in_etcd_is_never_taken() {
        let folder = testing::folder("");
        let sources = testing::sources(&folder, &[]);
        let mut config = Config::load(&sources, ROLE).unwrap();
        let key = "rootCoord/activeStandby/hooks/onActive/command";
        config.adopt_dynamic([(key.to_owned(), "evil".to_owned())]);
        assert_eq!(config.settings.active_standby.hooks.on_active.command, "");
        assert_eq!(config.store.apply_dynamic(key, Some("evil")), []);
        assert_eq!(config.live().hooks(ROLE).on_active.command, "");
    }
}
