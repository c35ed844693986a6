//! The files by which milvus-coord is deployed, with the programs that they are for: a real
//! keepalived, and a process that is told what systemd would tell it.
//!
//! `run.sh` beside this checks what needs nothing running.

#![expect(clippy::disallowed_methods, reason = "a test has the machine's clock")]

mod keepalived;
mod systemd;

/// The program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_milvus-coord");

/// A file of the repository.
fn file(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
