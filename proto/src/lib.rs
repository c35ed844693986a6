//! The wire interface of Milvus 2.3.5 and of milvus-coord's own peers, compiled
//! from `milvus/*.proto` and `peer/peer.proto`.
//!
//! A crate of its own, so that edits elsewhere do not compile it again.
#![allow(missing_docs, clippy::all, clippy::pedantic)]

mod interface {
    include!(concat!(env!("OUT_DIR"), "/interface.rs"));
}

pub use interface::milvus::proto::*;
pub use interface::milvuscoord::peer;

/// The encoded `FileDescriptorSet` of everything in this crate, for reflection
/// and for the test that holds it against `facts.txt`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
