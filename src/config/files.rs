//! Which files are read, and what they hold.
//!
//! Milvus reads one folder: `MILVUSCONF`, or `configs` in the working directory.
//! `--config` takes its place and may also be a file. In a folder, in rising
//! precedence: `milvus.yaml`, `default.yaml`, `user.yaml` (Milvus's chart mounts all
//! three; 2.3 merges them by a script, later releases read them).

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    environment::variable,
    key::squeeze,
    origin::{Note, Origin, Problem},
    source::{Entry, Layer},
    table, yaml,
};

const NAMES: [&str; 3] = ["milvus.yaml", "default.yaml", "user.yaml"];
/// Fifty times the file that Milvus ships.
const MAX_FILE_BYTES: u64 = 2 << 20;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// In falling precedence.
    pub(crate) layers: Vec<Layer>,
    /// The files that were read, in rising precedence.
    pub(crate) read: Vec<PathBuf>,
}

/// Reads all files that count.
pub(crate) fn load(
    config: Option<&Path>,
    environment: &[(String, String)],
    working_directory: &Path,
    problems: &mut Vec<Problem>,
    notes: &mut Vec<Note>,
) -> Files {
    let mut files = Files::default();
    for path in candidates(config, environment, working_directory, problems) {
        match read_text(&path) {
            Ok(Some(text)) => {
                let path: Arc<Path> = path.into();
                match yaml::read(&text) {
                    Ok(settings) => files.layers.insert(0, layer(&path, settings, problems, notes)),
                    Err(flaws) => problems.extend(flaws.into_iter().map(|flaw| Problem {
                        origin: Some(Origin::File(Arc::clone(&path), flaw.line)),
                        what: flaw.what,
                    })),
                }
                files.read.push(path.to_path_buf());
            }
            Ok(None) => {}
            Err(what) => problems.push(Problem { origin: None, what: format!("{}: {what}", path.display()) }),
        }
    }
    if files.read.is_empty() && problems.is_empty() {
        let folder = folder(environment, working_directory);
        notes.push(Note::info(format!("no configuration file in {}: defaults count", folder.display())));
    }
    files
}

fn folder(environment: &[(String, String)], working_directory: &Path) -> PathBuf {
    variable(environment, "MILVUSCONF").map_or_else(|| working_directory.join("configs"), PathBuf::from)
}

fn candidates(
    config: Option<&Path>,
    environment: &[(String, String)],
    working_directory: &Path,
    problems: &mut Vec<Problem>,
) -> Vec<PathBuf> {
    let Some(named) = config else {
        let folder = folder(environment, working_directory);
        return if folder.is_file() { vec![folder] } else { NAMES.map(|name| folder.join(name)).into() };
    };
    let mut refuse = |what: String| {
        problems.push(Problem { origin: None, what: format!("{}: {what}", named.display()) });
        Vec::new()
    };
    match fs::metadata(named) {
        Ok(found) if found.is_dir() => {
            let inside = NAMES.map(|name| named.join(name));
            if inside.iter().any(|path| path.exists()) {
                inside.into()
            } else {
                refuse(format!("the folder holds none of {}", NAMES.join(", ")))
            }
        }
        Ok(_) => vec![named.into()],
        Err(error) => refuse(error.to_string()),
    }
}

/// `None`: there is no such file.
fn read_text(path: &Path) -> Result<Option<String>, String> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error.to_string()),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("longer than {MAX_FILE_BYTES} bytes: this is no configuration"));
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|&&byte| byte == b'\n').count() + 1;
        format!("line {line} is not UTF-8 text")
    })
}

fn layer(
    path: &Arc<Path>,
    settings: Vec<yaml::Setting>,
    problems: &mut Vec<Problem>,
    notes: &mut Vec<Note>,
) -> Layer {
    let mut layer = Layer::default();
    for setting in settings {
        layer.forms.insert(setting.path.to_lowercase());
        let squeezed = squeeze(&setting.path);
        let origin = Origin::File(Arc::clone(path), setting.line);
        let known = table::by_name(&squeezed).is_some();
        let entry = Entry { spelled: setting.path, value: setting.value, origin };
        let Some(earlier) = layer.entries.get(&squeezed) else {
            layer.entries.insert(squeezed, entry);
            continue;
        };
        if known && earlier.value != entry.value {
            problems.push(Problem {
                what: format!(
                    "`{}` is the same key as `{}` ({}): keep one",
                    entry.spelled, earlier.spelled, earlier.origin
                ),
                origin: Some(entry.origin),
            });
            continue;
        }
        if earlier.value != entry.value {
            notes.push(Note::info(format!(
                "{}: `{}` overrides `{}`",
                entry.origin, entry.spelled, earlier.spelled
            )));
        }
        layer.entries.insert(squeezed, entry);
    }
    layer
}
