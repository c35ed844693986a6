//! The versions of one object, as snapshot keys hold them.

use crate::{ids::Revision, tso::hybrid::Timestamp};

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<T> {
    /// A value.
    Is(T),
    /// The object was dropped.
    Dropped,
    /// Bytes that can't be decoded.
    Undecodable,
}

/// A version and the revision at which etcd got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version<T> {
    /// When it was made, on the clock of the timestamps.
    pub ts: Timestamp,
    /// What its key holds.
    pub content: Content<T>,
    /// Mod revision of its key.
    pub at: Revision,
}

/// All versions, by time. Nearly always one or two, so a vector is both small and quick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History<T>(Vec<Version<T>>);

impl<T> Default for History<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> History<T> {
    /// Takes a version in, unless a newer put of its key is known. `false`: it was known.
    pub fn put(&mut self, version: Version<T>) -> bool {
        match self.0.binary_search_by_key(&version.ts, |known| known.ts) {
            Ok(place) if self.0[place].at >= version.at => return false,
            Ok(place) => self.0[place] = version,
            Err(place) => {
                if self.0.capacity() == self.0.len() {
                    self.0.reserve_exact(1 + self.0.len() / 4);
                }
                self.0.insert(place, version);
            }
        }
        true
    }

    /// Forgets the version of `ts`, whose key was deleted at `at`.
    pub fn delete(&mut self, ts: Timestamp, at: Revision) {
        self.0.retain(|known| known.ts != ts || known.at >= at);
    }

    /// The newest: what the object is.
    pub fn newest(&self) -> Option<&Version<T>> {
        self.0.last()
    }

    /// What the object was at `ts`.
    pub fn at(&self, ts: Timestamp) -> Option<&Version<T>> {
        self.iter().find(|version| version.ts <= ts)
    }

    /// Newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Version<T>> {
        self.0.iter().rev()
    }

    /// Whether no version is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
