//! What a process of a Milvus cluster does, and how Milvus calls it.

/// The kinds of processes of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Names, timestamps, ids.
    RootCoord,
    /// Segments and their indexes on disk.
    DataCoord,
    /// What is loaded, and where.
    QueryCoord,
    /// Writes what arrives on channels to storage.
    DataNode,
    /// Answers searches.
    QueryNode,
    /// Builds indexes.
    IndexNode,
    /// What clients talk to.
    Proxy,
}

impl Role {
    /// Every role but rootcoord: what a cluster has one of.
    pub const OTHERS: [Self; 6] =
        [Self::DataCoord, Self::QueryCoord, Self::DataNode, Self::QueryNode, Self::IndexNode, Self::Proxy];

    /// As in `milvus run NAME` and in session keys.
    pub fn name(self) -> &'static str {
        match self {
            Self::RootCoord => "rootcoord",
            Self::DataCoord => "datacoord",
            Self::QueryCoord => "querycoord",
            Self::DataNode => "datanode",
            Self::QueryNode => "querynode",
            Self::IndexNode => "indexnode",
            Self::Proxy => "proxy",
        }
    }

    /// Its section of `milvus.yaml`.
    pub fn section(self) -> &'static str {
        match self {
            Self::RootCoord => "rootCoord",
            Self::DataCoord => "dataCoord",
            Self::QueryCoord => "queryCoord",
            Self::DataNode => "dataNode",
            Self::QueryNode => "queryNode",
            Self::IndexNode => "indexNode",
            Self::Proxy => "proxy",
        }
    }
}
