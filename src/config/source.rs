//! One source of settings, ready for look-ups.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
};

use super::origin::Origin;

/// One setting of a source.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The key as its source spells it.
    pub(crate) spelled: String,
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

/// Values may be secrets.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("spelled", &self.spelled)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// The settings of one source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    /// By squeezed key.
    pub(crate) entries: HashMap<String, Entry>,
    /// The keys in the form that ShowConfigurations lists besides the squeezed one: for a
    /// file dotted and in lower case, for environment and etcd as they are.
    pub(crate) forms: BTreeSet<String>,
}
