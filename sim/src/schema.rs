//! What clients do to the schema, and what they see of it: collections, partitions and aliases
//! of one database, under few names.

/// A name. There are few, so that clients get in each other's way.
pub type Name = &'static str;

/// Names of collections.
pub const COLLECTIONS: [Name; 3] = ["x", "y", "z"];
/// Names of aliases; one of them is a collection's name, too.
pub const ALIASES: [Name; 3] = ["k", "l", "z"];
/// Names of partitions.
pub const PARTITIONS: [Name; 2] = ["p", "q"];
/// A name that nobody has given.
const UNKNOWN: Name = "?";

/// The one of the names that was read.
pub fn known(read: &str) -> Name {
    let all = COLLECTIONS.iter().chain(&ALIASES).chain(&PARTITIONS);
    all.copied().find(|name| *name == read).unwrap_or(UNKNOWN)
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A collection of that kind.
    Create {
        /// Its name.
        name: Name,
        /// What distinguishes it from another one.
        kind: u8,
    },
    /// An end of a collection.
    Drop(Name),
    /// Another name for a collection.
    Rename {
        /// The same for all repetitions of a request.
        request: i64,
        /// The name now.
        old: Name,
        /// The name then.
        new: Name,
    },
    /// A property of a collection, or of what an alias stands for.
    Mark(Name, u8),
    /// A partition of a collection, or of what an alias stands for.
    AddPartition(Name, Name),
    /// An end of a partition, named likewise.
    DropPartition(Name, Name),
    /// A further name for a collection.
    AddAlias(Name, Name),
    /// An alias gets another collection.
    MoveAlias(Name, Name),
    /// An end of an alias.
    DropAlias(Name),
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Which collections are there?
    Names,
    /// Is there a collection of that name or alias?
    Has(Name),
    /// What is it?
    Collection(Name),
    /// Which partitions has it?
    Partitions(Name),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Sorted.
    Names(Vec<Name>),
    /// Whether it is there.
    Has(bool),
    /// There is none.
    Missing,
    /// That.
    Collection(Described),
    /// All but the default one, sorted.
    Partitions(Vec<Name>),
}

/// A collection as it is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its id.
    pub id: i64,
    /// Its own name.
    pub name: Name,
    /// What it was created as.
    pub kind: u8,
    /// Its property.
    pub mark: Option<u8>,
    /// Sorted.
    pub aliases: Vec<Name>,
    /// How many partitions, the default one included.
    pub partitions: usize,
}
