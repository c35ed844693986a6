//! Small configurations for tests.

use super::{ConfigStore, Sources, read_sources};

/// A folder with a `milvus.yaml` of that text.
pub(crate) fn folder(file: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("milvus.yaml"), file).unwrap();
    folder
}

/// These settings and nothing of the machine's.
pub(crate) fn sources(folder: &tempfile::TempDir, environment: &[(&str, &str)]) -> Sources {
    Sources {
        config: None,
        environment: environment
            .iter()
            .copied()
            .chain([("MILVUSCONF", folder.path().to_str().unwrap())])
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        working_directory: "/nonexistent".into(),
    }
}

/// A store of a file's text and an environment that must be free of problems.
#[track_caller]
pub(crate) fn store(file: &str, environment: &[(&str, &str)]) -> ConfigStore {
    let folder = folder(file);
    let (store, _, _, problems) = read_sources(&sources(&folder, environment));
    assert_eq!(problems, []);
    store
}
