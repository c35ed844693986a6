//! The pool of physical channels: which there are, who holds them, which a new collection gets.
//!
//! A channel is held by collections, each at most once, so what is loaded, created and
//! repaired can say so as often as it likes: nothing is counted twice.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::ids::CollectionId;

/// No pool is larger, however large a number in a stored name.
const MOST: usize = 65_536;

/// What the channels of a cluster are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelNaming {
    /// `<prefix>_<index>`; more of them if collections use more.
    Numbered {
        /// `<cluster>-<rootCoordDml>`
        prefix: String,
        /// `rootCoord.dmlChannelNum`
        number: usize,
    },
    /// Topics that somebody has made: `common.preCreatedTopic.names`. Made by [`ChannelNaming::pre_created`].
    PreCreated(Vec<String>),
}

impl ChannelNaming {
    /// `<prefix>_0` and so on.
    pub fn numbered(prefix: impl Into<String>, number: usize) -> Self {
        Self::Numbered { prefix: prefix.into(), number }
    }

    /// Topics that are there.
    ///
    /// # Errors
    /// [`BadTopics`]
    pub fn pre_created(names: Vec<String>) -> Result<Self, BadTopics> {
        if names.is_empty() {
            return Err(BadTopics::None);
        }
        if names.iter().any(String::is_empty) {
            return Err(BadTopics::Empty);
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(*name)) {
            return Err(BadTopics::Twice(twice.clone()));
        }
        Ok(Self::PreCreated(names))
    }
}

/// Why a list of topics can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTopics {
    /// There is none.
    #[error("no topic were specified when pre-created")]
    None,
    /// One has no name.
    #[error("topic were empty")]
    Empty,
    /// One is named twice.
    #[error("duplicate topic: {0}")]
    Twice(String),
}

/// There are fewer channels than a collection shall have shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no enough channels, want: {want}, got: {got}")]
pub struct NotEnoughChannels {
    /// Asked for.
    pub want: usize,
    /// 0: like Milvus, it's all or none.
    pub got: usize,
}

#[derive(Clone, Debug, Default)]
struct Channel {
    name: String,
    references: usize,
    chosen: u64,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Channels {
    naming: ChannelNaming,
    /// By index.
    pool: Vec<Channel>,
    by_name: HashMap<String, usize>,
    /// Indices.
    held: BTreeMap<CollectionId, BTreeSet<usize>>,
    /// Collections that held theirs from the beginning, and no longer do.
    let_go: BTreeSet<CollectionId>,
    unknown: BTreeSet<String>,
}

impl Channels {
    /// All of that naming, held by nobody.
    pub fn new(naming: &ChannelNaming) -> Self {
        let names: Vec<String> = match naming {
            ChannelNaming::Numbered { prefix, number } => (0..*number).map(|i| numbered(prefix, i)).collect(),
            ChannelNaming::PreCreated(names) => names.clone(),
        };
        let mut channels = Self {
            naming: naming.clone(),
            pool: Vec::new(),
            by_name: HashMap::new(),
            held: BTreeMap::new(),
            let_go: BTreeSet::new(),
            unknown: BTreeSet::new(),
        };
        names.into_iter().for_each(|name| channels.add(name));
        channels
    }

    fn add(&mut self, name: String) {
        self.by_name.insert(name.clone(), self.pool.len());
        self.pool.push(Channel { name, ..Channel::default() });
    }

    /// So many collections hold each of these from the beginning. Who they are is not asked: there
    /// may be thousands, and a takeover waits for it. [`release`](Self::release) is told.
    ///
    /// Returns the names that are none of this pool's: worth an ERROR. Nobody ticks there;
    /// everything else goes on.
    pub fn inherit<'a>(&mut self, users: impl IntoIterator<Item = (&'a str, usize)>) -> Vec<String> {
        let mut unknown = Vec::new();
        for (name, number) in users {
            match self.index(name) {
                Some(index) => self.pool[index].references += number,
                None if self.unknown.insert(name.to_owned()) => unknown.push(name.to_owned()),
                None => {}
            }
        }
        unknown
    }

    /// A collection holds these channels from now on, instead of any that it held before.
    ///
    /// Returns the names that are none of this pool's and were not met before, as
    /// [`inherit`](Self::inherit) does.
    pub fn hold<S: AsRef<str>>(&mut self, collection: CollectionId, names: &[S]) -> Vec<String> {
        let mut unknown = Vec::new();
        let mut indices = BTreeSet::new();
        for name in names.iter().map(AsRef::as_ref) {
            match self.index(name) {
                Some(index) => _ = indices.insert(index),
                None if self.unknown.insert(name.to_owned()) => unknown.push(name.to_owned()),
                None => {}
            }
        }
        self.release(collection, &[] as &[&str]);
        for &index in &indices {
            self.pool[index].references += 1;
        }
        self.held.insert(collection, indices);
        unknown
    }

    /// A collection holds nothing any more. Returns what it held: what [`hold`](Self::hold) was
    /// told, or else `inherited`, if it held that from the beginning.
    pub fn release<S: AsRef<str>>(&mut self, collection: CollectionId, inherited: &[S]) -> Vec<String> {
        let released = match self.held.remove(&collection) {
            Some(held) => held,
            None if inherited.is_empty() || !self.let_go.insert(collection) => BTreeSet::new(),
            None => inherited.iter().filter_map(|name| self.by_name.get(name.as_ref()).copied()).collect(),
        };
        for &index in &released {
            let references = &mut self.pool[index].references;
            *references = references.saturating_sub(1);
        }
        released.into_iter().map(|index| self.pool[index].name.clone()).collect()
    }

    /// Where a channel stands; numbered ones that lie behind the end are added.
    fn index(&mut self, name: &str) -> Option<usize> {
        if let Some(&index) = self.by_name.get(name) {
            return Some(index);
        }
        let ChannelNaming::Numbered { prefix, .. } = &self.naming else { return None };
        let prefix = prefix.clone();
        let digits = name.strip_prefix(&prefix)?.strip_prefix('_')?;
        let index: usize = digits.parse().ok().filter(|index| *index < MOST)?;
        if numbered(&prefix, index) != name {
            return None;
        }
        (self.pool.len()..=index).for_each(|index| self.add(numbered(&prefix, index)));
        Some(index)
    }

    /// The topics that are made ahead: all, unless somebody else makes them.
    pub fn to_be_made(&self) -> Vec<String> {
        match self.naming {
            ChannelNaming::Numbered { .. } => self.pool.iter().map(|channel| channel.name.clone()).collect(),
            ChannelNaming::PreCreated(_) => Vec::new(),
        }
    }

    /// How many there are.
    pub fn number(&self) -> usize {
        self.pool.len()
    }

    /// Those that a collection holds: where ticks and messages go.
    pub fn in_use(&self) -> BTreeSet<String> {
        self.pool
            .iter()
            .filter(|channel| channel.references > 0)
            .map(|channel| channel.name.clone())
            .collect()
    }

    /// Whether a collection holds this one.
    pub fn is_in_use(&self, name: &str) -> bool {
        self.by_name.get(name).is_some_and(|&index| self.pool[index].references > 0)
    }

    /// `count` different channels for a new collection: those that fewest hold, among them
    /// those chosen least often, among them the first. They are held once [`hold`](Self::hold) says so.
    ///
    /// # Errors
    /// [`NotEnoughChannels`]
    pub fn choose(&mut self, count: usize) -> Result<Vec<String>, NotEnoughChannels> {
        if count > self.pool.len() {
            return Err(NotEnoughChannels { want: count, got: 0 });
        }
        let mut order: Vec<usize> = (0..self.pool.len()).collect();
        order.sort_by_key(|&index| (self.pool[index].references, self.pool[index].chosen));
        order.truncate(count);
        let choose = |index: usize| {
            self.pool[index].chosen += 1;
            self.pool[index].name.clone()
        };
        Ok(order.into_iter().map(choose).collect())
    }
}

fn numbered(prefix: &str, index: usize) -> String {
    format!("{prefix}_{index}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: CollectionId = CollectionId(1);
    const B: CollectionId = CollectionId(2);
    const NOTHING: &[&str] = &[];

    fn pool(number: usize) -> Channels {
        Channels::new(&ChannelNaming::numbered("by-dev-rootcoord-dml", number))
    }

    fn dml(index: usize) -> String {
        format!("by-dev-rootcoord-dml_{index}")
    }

    #[test]
    fn a_collection_counts_once_however_often_it_is_said_to_hold() {
        let mut channels = pool(4);
        for _ in 0..3 {
            assert!(channels.hold(A, &[dml(0), dml(1)]).is_empty());
        }
        channels.hold(B, &[dml(1)]);
        channels.release(A, NOTHING);
        assert_eq!(channels.in_use(), BTreeSet::from([dml(1)]));
        channels.release(A, NOTHING);
        channels.release(B, NOTHING);
        channels.release(B, NOTHING);
        assert!(channels.in_use().is_empty());
    }

    #[test]
    fn what_was_held_from_the_beginning_is_let_go_once() {
        let mut channels = pool(2);
        let strange = "old-rootcoord-dml_0";
        let users = [(strange, 1), ("by-dev-rootcoord-dml_0", 1), ("by-dev-rootcoord-dml_5", 2)];
        assert_eq!(channels.inherit(users), [strange]);
        assert_eq!((channels.number(), channels.in_use()), (6, BTreeSet::from([dml(0), dml(5)])));
        let old = [strange.to_owned(), dml(5), dml(0)];
        assert_eq!(channels.release(A, &old), [dml(0), dml(5)]);
        assert!(channels.release(A, &old).is_empty(), "again");
        assert_eq!(channels.in_use(), BTreeSet::from([dml(5)]));
        channels.release(B, &old[1..2]);
        assert!(channels.in_use().is_empty());
    }

    #[test]
    fn a_new_collection_gets_the_channels_that_fewest_hold_then_the_least_chosen_then_the_first() {
        let mut channels = pool(4);
        channels.hold(A, &[dml(0)]);
        assert_eq!(channels.choose(2), Ok(vec![dml(1), dml(2)]));
        assert_eq!(channels.choose(2), Ok(vec![dml(3), dml(1)]), "1 and 2 were chosen, 0 is held");
        assert_eq!(channels.choose(4), Ok(vec![dml(2), dml(3), dml(1), dml(0)]));
        channels.release(A, NOTHING);
        assert_eq!(channels.choose(1), Ok(vec![dml(0)]));
    }

    #[test]
    fn more_shards_than_channels_are_refused_in_milvus_s_words() {
        let error = pool(16).choose(17).expect_err("sixteen");
        assert_eq!(error.to_string(), "no enough channels, want: 17, got: 0");
    }

    #[test]
    fn the_pool_grows_with_what_collections_use() {
        let mut channels = pool(2);
        assert!(channels.hold(A, &[dml(4)]).is_empty());
        assert_eq!(channels.number(), 5);
        assert_eq!(channels.in_use(), BTreeSet::from([dml(4)]));
        assert_eq!(channels.choose(5).map(|names| names.len()), Ok(5));
    }

    #[test]
    fn strange_names_are_told_of_once_and_held_by_nobody() {
        let mut channels = pool(2);
        let strange = ["old-rootcoord-dml_0", "by-dev-rootcoord-dml_01", "by-dev-rootcoord-dml_", ""];
        assert_eq!(channels.hold(A, &strange), strange);
        assert!(channels.hold(B, &strange).is_empty());
        assert_eq!(channels.hold(A, &["by-dev-rootcoord-dml_99999999999"]).len(), 1, "too large a pool");
        assert_eq!((channels.number(), channels.in_use().len()), (2, 0));
    }

    #[test]
    fn topics_made_by_somebody_are_used_as_they_are_named() {
        let named =
            |names: &[&str]| ChannelNaming::pre_created(names.iter().map(|&name| name.to_owned()).collect());
        let mut channels = Channels::new(&named(&["topic1", "x"]).expect("two topics"));
        assert_eq!(channels.choose(2), Ok(vec!["topic1".to_owned(), "x".to_owned()]));
        assert_eq!(channels.hold(A, &["x", "topic1_0"]), ["topic1_0"]);
        assert!(channels.is_in_use("x") && !channels.is_in_use("topic1"));
        assert_eq!(named(&[]).unwrap_err(), BadTopics::None);
        assert_eq!(named(&["a", ""]).unwrap_err(), BadTopics::Empty);
        assert_eq!(named(&["a", "b", "a"]).unwrap_err().to_string(), "duplicate topic: a");
    }

    proptest! {
        #[test]
        fn a_channel_is_in_use_while_and_only_while_somebody_holds_it(
            steps in prop::collection::vec((0_i64..4, prop::option::of(prop::collection::vec(0_usize..6, 0..3))), 0..40),
        ) {
            let mut channels = pool(3);
            let mut model: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
            for (collection, held) in steps {
                match held {
                    Some(indices) => {
                        let names: Vec<String> = indices.into_iter().map(dml).collect();
                        channels.hold(CollectionId(collection), &names);
                        model.insert(collection, names.into_iter().collect());
                    }
                    None => {
                        channels.release(CollectionId(collection), NOTHING);
                        model.remove(&collection);
                    }
                }
                let held: BTreeSet<String> = model.values().flatten().cloned().collect();
                prop_assert_eq!(channels.in_use(), held);
                let chosen = channels.choose(3).expect("three");
                prop_assert_eq!(chosen.iter().collect::<BTreeSet<_>>().len(), 3);
            }
        }
    }
}
