//! `<run directory>/<role>[-<alias>].pid`, as in Milvus.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{config::RunDirectory, ids::Role};

/// Removed when dropped, unless another process has put its own id there since.
#[derive(Debug)]
pub(super) struct PidFile {
    path: PathBuf,
    content: String,
}

impl PidFile {
    /// Writes it; a folder that can't be written costs the file only.
    pub(super) fn write(directory: &RunDirectory, role: Role, alias: &str) -> Option<Self> {
        let name = if alias.is_empty() { format!("{role}.pid") } else { format!("{role}-{alias}.pid") };
        let mut failed = None;
        for folder in std::iter::once(&directory.path).chain(&directory.fallback) {
            match Self::write_in(folder, &name) {
                Ok(file) => return Some(file),
                Err(error) => failed = Some((folder, error)),
            }
        }
        if let Some((folder, error)) = failed {
            tracing::warn!(path = %folder.display(), %error, "no pid file");
        }
        None
    }

    fn write_in(folder: &Path, name: &str) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join(name);
        let content = std::process::id().to_string();
        fs::write(&path, &content)?;
        Ok(Self { path, content })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if fs::read_to_string(&self.path).is_ok_and(|content| content == self.content) {
            // Gone already is as good.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(path: &Path) -> RunDirectory {
        RunDirectory { path: path.to_owned(), fallback: None }
    }

    #[test]
    fn it_holds_the_pid_and_goes_with_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let file = PidFile::write(&directory(folder.path()), Role::RootCoord, "two").unwrap();
        let path = folder.path().join("rootcoord-two.pid");
        assert_eq!(fs::read_to_string(&path).unwrap(), std::process::id().to_string());
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_of_another_process_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = PidFile::write(&directory(folder.path()), Role::RootCoord, "").unwrap();
        let path = folder.path().join("rootcoord.pid");
        fs::write(&path, "1").unwrap();
        drop(file);
        assert!(path.exists());
    }

    #[test]
    fn without_a_folder_there_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("file");
        fs::write(&blocked, "").unwrap();
        assert!(PidFile::write(&directory(&blocked), Role::RootCoord, "").is_none());
    }
}
