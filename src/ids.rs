//! The numbers and names that must not be mixed up.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A revision of etcd's store: one per transaction that changed something.
    Revision(i64)
}
number! {
    /// The mod revision of the put that made a process ACTIVE. One per term; every
    /// write of the term compares it. Neither lease nor create revision would do:
    /// a replaced key keeps the latter, and a process may hold the former twice.
    Epoch(i64)
}
number! {
    /// An etcd lease.
    LeaseId(i64)
}
number! {
    /// A process within the Milvus cluster, unique across all components, never reused.
    ServerId(i64)
}
number! {
    /// A database of rootcoord. 1 is `default`; 0 is what older releases wrote.
    DbId(i64)
}
number! {
    /// A collection.
    CollectionId(i64)
}
number! {
    /// A field of a collection: 0 and 1 are Milvus's own, those of the user begin at 100.
    FieldId(i64)
}
number! {
    /// A partition of a collection.
    PartitionId(i64)
}

impl Epoch {
    /// The revision at which the term began.
    pub fn revision(self) -> Revision {
        Revision(self.0)
    }
}

/// Which coordinator a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Schema and time.
    RootCoord,
    /// Segments, channels and indexes.
    DataCoord,
    /// Loaded collections and their placement.
    QueryCoord,
}

impl Role {
    /// Every role, in the order in which Milvus starts them.
    pub const ALL: [Self; 3] = [Self::RootCoord, Self::DataCoord, Self::QueryCoord];

    /// The name in etcd keys, errors and metrics: `rootcoord`.
    pub fn name(self) -> &'static str {
        match self {
            Self::RootCoord => "rootcoord",
            Self::DataCoord => "datacoord",
            Self::QueryCoord => "querycoord",
        }
    }

    /// The name in Milvus's log lines: `RootCoord`.
    pub fn title(self) -> &'static str {
        match self {
            Self::RootCoord => "RootCoord",
            Self::DataCoord => "DataCoord",
            Self::QueryCoord => "QueryCoord",
        }
    }

    /// The section of `milvus.yaml`: `rootCoord`.
    pub fn section(self) -> &'static str {
        match self {
            Self::RootCoord => "rootCoord",
            Self::DataCoord => "dataCoord",
            Self::QueryCoord => "queryCoord",
        }
    }

    /// The gRPC port that Milvus ships.
    pub fn default_port(self) -> u16 {
        match self {
            Self::RootCoord => 53100,
            Self::DataCoord => 13333,
            Self::QueryCoord => 19531,
        }
    }

    /// The role of that [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
