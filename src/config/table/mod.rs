//! Every key that is read: one line of this table is its default, its bounds, its
//! meaning. From it come the typed settings, `config/milvus.yaml`, `config check`
//! and the masking of secrets. A key that nothing reads does not stand here.

mod quota;
mod roles;
mod shared;
mod standby;

use std::{collections::HashMap, sync::LazyLock};

use super::{
    key::squeeze,
    kind::{Kind, Value},
};

/// What a kind cannot say. The error says what would be right.
type Check = fn(&Value) -> Result<(), &'static str>;

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// Dotted, as in `milvus.yaml`.
    pub key: &'static str,
    /// What counts if the key stands nowhere: the value that Milvus ships.
    pub default: &'static str,
    /// Which values it may have.
    pub kind: Kind,
    /// What it does, in plain sentences.
    pub doc: &'static str,
    /// Never shown.
    pub secret: bool,
    /// A change counts at once; otherwise at the next start.
    pub live: bool,
    /// Changes in etcd while the process runs are ignored: the cluster would fall apart.
    pub forbidden: bool,
    /// A value in etcd is ignored: whoever may write there may not rule the machines.
    pub local: bool,
    /// An empty text means the default, not zero or nothing.
    pub empty_is_default: bool,
    /// Other names of the same key. Within one source they go before the key itself.
    pub aliases: &'static [&'static str],
    /// Looked up in turn if the key stands in no source.
    pub fallbacks: &'static [&'static str],
    /// More than the kind can say.
    pub(crate) check: Option<Check>,
}

const fn item(key: &'static str, default: &'static str, kind: Kind, doc: &'static str) -> Item {
    Item {
        key,
        default,
        kind,
        doc,
        secret: false,
        live: false,
        forbidden: false,
        local: false,
        empty_is_default: false,
        aliases: &[],
        fallbacks: &[],
        check: None,
    }
}

impl Item {
    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    const fn live(mut self) -> Self {
        self.live = true;
        self
    }

    const fn forbidden(mut self) -> Self {
        self.forbidden = true;
        self
    }

    const fn local(mut self) -> Self {
        self.local = true;
        self
    }

    const fn empty_is_default(mut self) -> Self {
        self.empty_is_default = true;
        self
    }

    const fn aliases(mut self, names: &'static [&'static str]) -> Self {
        self.aliases = names;
        self
    }

    const fn fallbacks(mut self, names: &'static [&'static str]) -> Self {
        self.fallbacks = names;
        self
    }

    const fn check(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }

    /// Reads a text as this key's value. The error says what would be right.
    pub(crate) fn read(&self, text: &str) -> Result<Value, String> {
        let text = if self.empty_is_default && text.is_empty() { self.default } else { text };
        let value = self.kind.read(text)?;
        if let Some(check) = self.check {
            check(&value)?;
        }
        Ok(value)
    }

    /// The value of the default.
    pub(crate) fn default_value(&self) -> Value {
        self.read(self.default).expect("a test reads every default of the table")
    }
}

/// An item with its names ready for look-ups.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) item: &'static Item,
    /// Squeezed, in the order of precedence: aliases, then the key.
    pub(crate) names: Vec<String>,
    /// Squeezed.
    pub(crate) fallbacks: Vec<String>,
}

static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(|| {
    items()
        .map(|item| Known {
            item,
            names: item.aliases.iter().chain([&item.key]).map(|name| squeeze(name)).collect(),
            fallbacks: item.fallbacks.iter().map(|name| squeeze(name)).collect(),
        })
        .collect()
});

static BY_NAME: LazyLock<HashMap<&'static str, &'static Known>> = LazyLock::new(|| {
    KNOWN.iter().flat_map(|known| known.names.iter().map(move |name| (name.as_str(), known))).collect()
});

/// The whole table, in the order of the sample file.
pub fn items() -> impl Iterator<Item = &'static Item> {
    let parts: [&'static [Item]; 12] = [
        shared::STORE,
        shared::QUEUE,
        roles::ROOT_COORD,
        roles::ROOT_COORD_ONLY,
        roles::DATA_COORD,
        roles::QUERY_COORD,
        roles::PROXY,
        shared::LOG,
        shared::GRPC,
        shared::COMMON,
        quota::QUOTA,
        standby::COMMON,
    ];
    parts.into_iter().flatten()
}

/// The same, ready for look-ups.
pub(crate) fn all() -> &'static [Known] {
    &KNOWN
}

/// The key of that squeezed name or alias.
pub(crate) fn by_name(squeezed: &str) -> Option<&'static Known> {
    BY_NAME.get(squeezed).copied()
}

/// The item of that key, which must stand in the table.
pub(crate) fn known(key: &str) -> &'static Known {
    by_name(&squeeze(key)).unwrap_or_else(|| panic!("`{key}` is read but does not stand in the table"))
}

/// What begins so is read as a whole, whatever the rest of the key is.
pub(crate) const GROUPS: [&str; 1] = ["kafka.producer."];

/// Whether that squeezed key belongs to a group.
pub(crate) fn in_group(squeezed: &str) -> bool {
    GROUPS
        .iter()
        .any(|prefix| squeezed.len() > squeeze(prefix).len() && squeezed.starts_with(&squeeze(prefix)))
}

/// Variables that mean something though no key of the file has their name.
pub const FIXED_VARIABLES: [(&str, &str); 2] = [
    ("MILVUSCONF", "The folder of the configuration files; --config goes before it."),
    ("METRICS_PORT", "The port for HTTP: metrics, health, log level. Default: 9091, or the next free one."),
];

/// Whether that variable is one of them.
pub(crate) fn is_fixed_variable(name: &str) -> bool {
    FIXED_VARIABLES.iter().any(|(fixed, _)| *fixed == name)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_default_is_a_value_of_its_key() {
        for item in items() {
            assert!(item.read(item.default).is_ok(), "{}", item.key);
        }
    }

    #[test]
    fn no_two_keys_share_a_name() {
        let mut seen = HashSet::new();
        for known in all() {
            for name in &known.names {
                assert!(seen.insert(name), "{name}");
            }
        }
    }

    #[test]
    fn a_fallback_is_a_key_of_its_own_with_the_same_default() {
        for known in all() {
            for name in &known.fallbacks {
                let general = by_name(name).unwrap_or_else(|| panic!("{name}"));
                assert_eq!(general.item.secret, known.item.secret, "{name}");
                assert_eq!(general.item.default, known.item.default, "{name}");
            }
        }
    }

    #[test]
    fn every_key_is_explained() {
        for item in items() {
            assert!(item.doc.ends_with('.') && item.doc.len() > 10, "{}", item.key);
        }
    }
}
