//! The keys of Milvus that this program does not read. They are no mistakes.

use std::{collections::HashSet, sync::LazyLock};

use super::key::squeeze;

const TEXT: &str = include_str!("elsewhere.txt");

static KEYS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut section = "";
    let mut keys = Vec::new();
    for line in TEXT.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_suffix(':') {
            Some(name) => section = name,
            None if section.is_empty() => keys.extend(line.split_whitespace().map(str::to_owned)),
            None => keys.extend(line.split_whitespace().map(|rest| format!("{section}.{rest}"))),
        }
    }
    keys
});

static SQUEEZED: LazyLock<HashSet<String>> =
    LazyLock::new(|| KEYS.iter().filter(|key| !key.ends_with('*')).map(|key| squeeze(key)).collect());

static PREFIXES: LazyLock<Vec<String>> =
    LazyLock::new(|| KEYS.iter().filter_map(|key| key.strip_suffix('*')).map(squeeze).collect());

/// All of them that are single keys, as Milvus spells them.
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(String::as_str).filter(|key| !key.ends_with('*'))
}

/// Whether that squeezed key is one of them.
pub(super) fn knows(squeezed: &str) -> bool {
    SQUEEZED.contains(squeezed) || PREFIXES.iter().any(|prefix| squeezed.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::table;

    #[test]
    fn no_key_that_is_read_stands_here() {
        for key in keys() {
            assert!(table::by_name(&squeeze(key)).is_none(), "{key}");
        }
    }

    #[test]
    fn groups_cover_any_rest() {
        assert!(knows("kafkaconsumerclientid"));
        assert!(knows("quotaandlimitsddlenabled"));
        assert!(!knows("kafkaconsume"));
        assert!(knows("messagequeue"), "of no section");
    }
}
