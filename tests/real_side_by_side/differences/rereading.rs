//! Between what one knows and what the other one reads of it in etcd.

use super::{Because, Difference, all};

/// The real one on what ours wrote.
pub(crate) fn real_after_ours() -> Vec<Difference> {
    all([Because::new(
        "the real one has its fields in the order of their keys after a load, ours always in one",
    )
    .other("collection *", "schema.fields in order", "RowID, *, Timestamp", "*, RowID, Timestamp")])
}

/// Ours on what the real one wrote.
pub(crate) fn ours_after_real() -> Vec<Difference> {
    all([
        Because::new("the real one has not stored what it was told last, and forgets it by a restart").other(
            "collection *",
            "properties[shelf].value",
            "6",
            "4",
        ),
        Because::new("the real one forgets partitions that are on their way out when it alters a collection")
            .other("collection *, internally", "num_partitions", "3", "4")
            .ours("partitions of *, internally", "*[late]", "*"),
    ])
}
