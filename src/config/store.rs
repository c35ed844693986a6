//! All sources together: what a key's value is now, and from where.
//!
//! In falling precedence: what the process set itself, etcd, the environment, the
//! files; then the same for each fallback key in turn; then the default. A key that
//! exists with an empty value counts as present. The environment is read once, files are
//! when an operator asks for it, the other two change while the process runs. Values are
//! read at every use, so a change counts at the next one.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use arc_swap::ArcSwap;
use parking_lot::RwLock;

use super::{
    dynamic::Dynamic,
    key::{squeeze, squeeze_variable},
    kind::Value,
    origin::Origin,
    source::{Entry, Layer},
    table::{self, Known},
};

/// The merged configuration. Shared by everything that reads settings at use.
pub struct ConfigStore {
    /// Environment, then files, in falling precedence.
    pub(super) fixed: ArcSwap<Vec<Layer>>,
    pub(super) changing: RwLock<Changing>,
}

#[derive(Default)]
pub(super) struct Changing {
    /// By squeezed key; `None`: the key counts as absent in every source.
    pub(super) overlay: HashMap<String, Option<String>>,
    pub(super) dynamic: Dynamic,
}

/// Values may be secrets: only sizes are shown.
impl fmt::Debug for ConfigStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<_> = self.fixed.load().iter().map(|layer| layer.entries.len()).collect();
        f.debug_struct("ConfigStore").field("settings", &sizes).finish_non_exhaustive()
    }
}

impl ConfigStore {
    pub(super) fn new(environment: Layer, files: Vec<Layer>) -> Self {
        let fixed: Vec<_> = std::iter::once(environment).chain(files).collect();
        Self { fixed: ArcSwap::from_pointee(fixed), changing: RwLock::default() }
    }

    /// Sets a key above all sources.
    pub fn set(&self, key: &str, value: impl Into<String>) {
        self.changing.write().overlay.insert(squeeze(key), Some(value.into()));
    }

    /// Makes a key count as absent in all sources.
    pub fn hide(&self, key: &str) {
        self.changing.write().overlay.insert(squeeze(key), None);
    }

    /// Takes back [`set`](Self::set) and [`hide`](Self::hide): the sources count again.
    pub fn reset(&self, key: &str) {
        self.changing.write().overlay.remove(&squeeze(key));
    }

    /// What any key is now, whether this process reads it or not.
    pub(super) fn find(&self, squeezed: &str) -> Option<Entry> {
        match table::by_name(squeezed) {
            Some(known) => self.present(&self.changing.read(), &known.names),
            None => self.present(&self.changing.read(), &[squeezed.to_owned()]),
        }
    }

    /// What a key of the table is now. Its default is an origin like any other.
    pub(super) fn resolve(&self, known: &Known) -> Entry {
        let changing = self.changing.read();
        let fallbacks = known.fallbacks.iter().map(std::slice::from_ref);
        std::iter::once(known.names.as_slice())
            .chain(fallbacks)
            .find_map(|names| self.present(&changing, names))
            .unwrap_or_else(|| Entry {
                spelled: known.item.key.into(),
                value: known.item.default.into(),
                origin: Origin::Default,
            })
    }

    /// The keys that begin with `prefix`, which is in lower case: their rest in lower case,
    /// value and place. Only files and etcd count, because a variable's name has no dots.
    pub(super) fn group(&self, prefix: &str) -> Vec<(String, String, Origin)> {
        let changing = self.changing.read();
        let fixed = self.fixed.load();
        let files = fixed.iter().skip(1).rev();
        let mut found = BTreeMap::new();
        for entry in files.chain([changing.dynamic.layer()]).flat_map(|layer| layer.entries.values()) {
            if let Some(rest) =
                entry.spelled.to_lowercase().strip_prefix(prefix).filter(|rest| !rest.is_empty())
            {
                found.insert(rest.to_owned(), (entry.value.clone(), entry.origin.clone()));
            }
        }
        found.into_iter().map(|(rest, (value, origin))| (rest, value, origin)).collect()
    }

    /// The value of a key of the table now, as its kind. A value that is wrong counts as
    /// the default; what was wrong at the start has been refused then.
    pub(super) fn value(&self, key: &str) -> Value {
        let known = table::known(key);
        known.item.read(&self.resolve(known).value).unwrap_or_else(|_| known.item.default_value())
    }

    /// Settings of the same key under another name, within the source whose value counts,
    /// that say something else.
    pub(super) fn others(&self, known: &Known, counts: &Entry) -> Vec<Entry> {
        let counted = match counts.origin {
            Origin::Variable(_) => squeeze_variable(&counts.spelled),
            _ => squeeze(&counts.spelled),
        };
        let changing = self.changing.read();
        let fixed = self.fixed.load();
        std::iter::once(changing.dynamic.layer())
            .chain(fixed.iter())
            .filter(|layer| layer.entries.get(&counted).is_some_and(|entry| entry == counts))
            .flat_map(|layer| known.names.iter().filter_map(|name| layer.entries.get(name)))
            .filter(|entry| entry.value != counts.value)
            .cloned()
            .collect()
    }

    /// An environment variable by its exact name, for what is no key of the file; empty counts as absent.
    pub fn variable(&self, name: &str) -> Option<String> {
        let fixed = self.fixed.load();
        let entry = fixed.first()?.entries.get(&squeeze_variable(name))?;
        (entry.spelled == name && !entry.value.is_empty()).then(|| entry.value.clone())
    }

    /// The highest source that has one of these names of one key.
    fn present(&self, changing: &Changing, names: &[String]) -> Option<Entry> {
        let set = names.iter().find_map(|name| changing.overlay.get_key_value(name));
        if let Some((name, value)) = set {
            let entry = |value: &String| Entry {
                spelled: name.clone(),
                value: value.clone(),
                origin: Origin::Process,
            };
            return value.as_ref().map(entry);
        }
        let fixed = self.fixed.load();
        std::iter::once(changing.dynamic.layer())
            .chain(fixed.iter())
            .find_map(|layer| names.iter().find_map(|name| layer.entries.get(name)))
            .cloned()
    }
}
