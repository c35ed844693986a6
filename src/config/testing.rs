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

/// What `run` writes to the log.
pub(crate) fn captured<T>(run: impl FnOnce() -> T) -> (T, String) {
    #[derive(Clone, Default)]
    struct Lines(std::sync::Arc<parking_lot::Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let result = tracing::subscriber::with_default(subscriber, run);
    let text = String::from_utf8(lines.0.lock().clone()).unwrap();
    (result, text)
}
