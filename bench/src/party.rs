//! The two that are compared.

use std::path::{Path, PathBuf};

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The real Milvus 2.3.5.
    Real,
    /// milvus-coord.
    Ours,
}

impl Party {
    /// As tables name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Real => "Milvus 2.3.5",
            Self::Ours => "milvus-coord",
        }
    }
}

/// The milvus-coord to measure: `named`, else the one beside the running program.
///
/// # Errors
/// When there is none.
pub fn our_program(named: Option<&Path>) -> Result<PathBuf, String> {
    let program = match named {
        Some(program) => program.to_owned(),
        None => std::env::current_exe().map_err(|e| e.to_string())?.with_file_name("milvus-coord"),
    };
    if !program.is_file() {
        return Err(format!("{} is not there; bench/run.sh builds it", program.display()));
    }
    program.canonicalize().map_err(|e| format!("{}: {e}", program.display()))
}
