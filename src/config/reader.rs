//! Reads keys as what they are, and collects what is wrong with them.

use std::{collections::BTreeSet, time::Duration};

use super::{
    kind::Value,
    origin::{Note, Origin, Problem},
    secret::{self, Secret},
    store::ConfigStore,
    table,
};

/// Longer values are cut in messages.
const MAX_SHOWN: usize = 80;

/// Reads settings from a store. A wrong value is noted, and the default returned in its place.
pub(crate) struct Reader<'a> {
    store: &'a ConfigStore,
    pub(crate) problems: Vec<Problem>,
    pub(crate) notes: Vec<Note>,
    /// The keys that were read.
    pub(crate) seen: BTreeSet<&'static str>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(store: &'a ConfigStore) -> Self {
        Self { store, problems: Vec::new(), notes: Vec::new(), seen: BTreeSet::new() }
    }

    pub(crate) fn flag(&mut self, key: &str) -> bool {
        match self.value(key) {
            Value::Flag(flag) => flag,
            other => mismatch(key, &other),
        }
    }

    /// A number whose bounds in the table fit the wanted type.
    pub(crate) fn number<T: TryFrom<i64>>(&mut self, key: &str) -> T {
        match self.value(key) {
            Value::Number(number) => T::try_from(number)
                .unwrap_or_else(|_| panic!("the bounds of `{key}` in the table do not fit its type")),
            other => mismatch(key, &other),
        }
    }

    pub(crate) fn time(&mut self, key: &str) -> Duration {
        match self.value(key) {
            Value::Time(time) => time,
            other => mismatch(key, &other),
        }
    }

    pub(crate) fn text(&mut self, key: &str) -> String {
        match self.value(key) {
            Value::Text(text) => text,
            other => mismatch(key, &other),
        }
    }

    pub(crate) fn secret(&mut self, key: &str) -> Secret {
        Secret::new(self.text(key))
    }

    pub(crate) fn list(&mut self, key: &str) -> Vec<String> {
        match self.value(key) {
            Value::List(items) => items,
            other => mismatch(key, &other),
        }
    }

    /// What stands below that prefix of the table's groups: the rest of the key in lower
    /// case, the value, and its place, in the order of the keys.
    pub(crate) fn group(&self, prefix: &str) -> Vec<(String, String, Origin)> {
        debug_assert!(table::GROUPS.contains(&prefix), "`{prefix}` is no group of the table");
        self.store.group(prefix)
    }

    /// Checks a key that is read later, at each use.
    pub(crate) fn check(&mut self, key: &str) {
        self.value(key);
    }

    /// The value of a variable that is no key of the file.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        self.store.variable(name)
    }

    /// Where the value of that key comes from.
    pub(crate) fn origin(&self, key: &str) -> Origin {
        self.store.resolve(table::known(key)).origin
    }

    /// A problem of the value of that key.
    pub(crate) fn refuse(&mut self, key: &str, what: &str) {
        let origin = self.origin(key);
        let what = format!("{key} {what}");
        self.problems.push(Problem { origin: (origin != Origin::Default).then_some(origin), what });
    }

    /// Of whatever kind it is.
    pub(crate) fn value(&mut self, key: &str) -> Value {
        let known = table::known(key);
        self.seen.insert(known.item.key);
        let entry = self.store.resolve(known);
        match known.item.read(&entry.value) {
            Ok(value) => value,
            Err(what) => {
                let what =
                    format!("{} is {}; it {what}", known.item.key, quoted(known.item.key, &entry.value));
                self.problems.push(Problem { origin: Some(entry.origin), what });
                known.item.default_value()
            }
        }
    }
}

/// The value as an error may show it.
fn quoted(key: &str, value: &str) -> String {
    if value.is_empty() {
        return "empty".into();
    }
    let shown = secret::shown(key, value);
    match shown.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{:?}…", &shown[..end]),
        None => format!("{shown:?}"),
    }
}

fn mismatch(key: &str, value: &Value) -> ! {
    panic!("`{key}` is read as another kind than the table says ({})", value.kind_name())
}
