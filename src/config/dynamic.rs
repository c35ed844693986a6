//! Settings from etcd, below `<root>/config/`: they go before environment and files,
//! and count as soon as they arrive.
//!
//! A value that its key cannot have is not taken over: the last one stays, and a
//! warning says so. Each change is told in the words of Milvus's log, once for the
//! key as it is spelled in etcd and once for its squeezed form.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    key::squeeze,
    origin::Origin,
    secret,
    source::{Entry, Layer},
    store::ConfigStore,
    table,
};

/// What is taken over from etcd.
#[derive(Default)]
pub(super) struct Dynamic {
    /// By the key after `<root>/config/`, as it is spelled.
    values: BTreeMap<String, String>,
    layer: Layer,
}

/// One change of a setting in etcd, in the fields of Milvus's log line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ConfigEvent {
    event_source: &'static str,
    /// `CREATE`, `UPDATE` or `DELETE`.
    pub event_type: &'static str,
    /// The key as etcd spells it, or squeezed.
    pub key: String,
    /// The new value, or the last one before a deletion; masked if it is secret.
    pub value: String,
    has_updated: bool,
}

impl Dynamic {
    pub(super) fn layer(&self) -> &Layer {
        &self.layer
    }

    /// If two keys squeeze to the same, the last in the order of their bytes counts:
    /// every process of the cluster then sees the same value.
    fn rebuild(&mut self) {
        self.layer = Layer::default();
        for (key, value) in &self.values {
            self.layer.forms.insert(key.clone());
            let entry =
                Entry { spelled: key.clone(), value: value.clone(), origin: Origin::Etcd(key.clone()) };
            self.layer.entries.insert(squeeze(key), entry);
        }
    }

    fn has_form(&self, form: &str) -> bool {
        self.layer.forms.contains(form) || self.layer.entries.contains_key(form)
    }
}

impl ConfigStore {
    /// Takes over what etcd holds when the process starts: `(key after <root>/config/, value)`.
    /// Keys that may not change while the process runs count too.
    pub fn load_dynamic(&self, values: impl IntoIterator<Item = (String, String)>) {
        let mut changing = self.changing.write();
        changing.dynamic.values = values.into_iter().filter(|(key, value)| acceptable(key, value)).collect();
        changing.dynamic.rebuild();
    }

    /// One key below `<root>/config/` has changed; `None`: it was deleted.
    /// Returns what has come of it, which is also in the log.
    pub fn apply_dynamic(&self, key: &str, value: Option<&str>) -> Vec<ConfigEvent> {
        let squeezed = squeeze(key);
        let known = table::by_name(&squeezed);
        let mut changing = self.changing.write();
        if changing.dynamic.values.get(key).map(String::as_str) == value {
            return Vec::new();
        }
        if is_forbidden(&squeezed) {
            tracing::info!(key, "ignore event for forbidden key");
            return Vec::new();
        }
        if value.is_some_and(|value| !acceptable(key, value)) {
            return Vec::new();
        }
        let dynamic = &mut changing.dynamic;
        let squeezed_before = dynamic.layer.entries.get(&squeezed).cloned();
        let fixed = self.fixed.load();
        let had = |form: &str| {
            dynamic.has_form(form)
                || fixed.iter().any(|layer| layer.forms.contains(form) || layer.entries.contains_key(form))
        };
        let (had_key, had_squeezed) = (had(key), had(&squeezed));
        let before = match value {
            Some(value) => dynamic.values.insert(key.into(), value.into()),
            None => dynamic.values.remove(key),
        };
        dynamic.rebuild();
        let squeezed_after = dynamic.layer.entries.get(&squeezed).cloned();
        drop(changing);

        let mut events = Vec::new();
        events.push(event(key, had_key, before.as_deref(), value));
        if key != squeezed {
            let (before, after) = (squeezed_before.map(|e| e.value), squeezed_after.map(|e| e.value));
            if before != after {
                events.push(event(&squeezed, had_squeezed, before.as_deref(), after.as_deref()));
            }
        }
        for event in &events {
            // Serializing a struct of texts does not fail.
            let json = serde_json::to_string(event).unwrap_or_default();
            tracing::info!(event = %json, "receive update event");
        }
        if known.is_some_and(|known| !known.item.live) {
            tracing::info!(key, "the change of this key counts from the next start on");
        }
        events
    }

    /// What etcd holds now, all of it: after a watch was lost. The differences are applied
    /// one by one, as if the watch had told them.
    pub fn replace_dynamic(&self, values: impl IntoIterator<Item = (String, String)>) -> Vec<ConfigEvent> {
        let now: BTreeMap<String, String> = values.into_iter().collect();
        let gone: Vec<String> = {
            let changing = self.changing.read();
            changing.dynamic.values.keys().filter(|key| !now.contains_key(*key)).cloned().collect()
        };
        let mut events: Vec<_> = gone.iter().flat_map(|key| self.apply_dynamic(key, None)).collect();
        events.extend(now.iter().flat_map(|(key, value)| self.apply_dynamic(key, Some(value))));
        events
    }
}

fn event(key: &str, existed: bool, before: Option<&str>, after: Option<&str>) -> ConfigEvent {
    let event_type = match after {
        None => "DELETE",
        Some(_) if existed => "UPDATE",
        Some(_) => "CREATE",
    };
    ConfigEvent {
        event_source: "EtcdSource",
        event_type,
        key: key.into(),
        value: secret::shown(key, after.or(before).unwrap_or_default()),
        has_updated: false,
    }
}

fn is_forbidden(squeezed: &str) -> bool {
    // Read by no coordinator shell, but a change would split the cluster all the same.
    squeezed == "commondefaultpartitionname"
        || table::by_name(squeezed).is_some_and(|known| known.item.forbidden)
}

fn acceptable(key: &str, value: &str) -> bool {
    let Some(known) = table::by_name(&squeeze(key)) else { return true };
    if known.item.local {
        tracing::warn!(key, "this key counts in files and environment only, its value in etcd is ignored");
        return false;
    }
    match known.item.read(value) {
        Ok(_) => true,
        Err(what) => {
            let shown = secret::shown(known.item.key, value);
            tracing::warn!(key, value = %shown, reason = %what, "wrong value in etcd, the last one stays");
            false
        }
    }
}
