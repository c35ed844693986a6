//! The command line of milvus-coord.

fn main() {}
