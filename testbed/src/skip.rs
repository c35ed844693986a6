//! Tests that this machine can't run say so, where it can't be missed.

use std::{fs::OpenOptions, io::Write, path::PathBuf};

/// Names the file to which skipped tests are added, one line each.
const LIST: &str = "MILVUS_COORD_SKIPPED";

/// When set to `1`, a test that would be skipped fails.
const STRICT: &str = "MILVUS_COORD_NO_SKIP";

/// Says on standard error (past the test harness's capture) that a test is skipped,
/// and adds it to the file that `MILVUS_COORD_SKIPPED` names.
///
/// # Panics
/// When `MILVUS_COORD_NO_SKIP` is `1`.
pub fn skip(test: &str, reason: &str) {
    let line = format!("SKIPPED {test}: {}\n", reason.replace('\n', " "));
    assert!(std::env::var_os(STRICT).is_none_or(|value| value != "1"), "{line}");
    // Not the macro: its output is shown for failed tests only.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(list) = std::env::var_os(LIST).map(PathBuf::from)
        && let Ok(mut list) = OpenOptions::new().create(true).append(true).open(list)
    {
        let _ = list.write_all(line.as_bytes());
    }
}

/// The value, or the test ends here as skipped.
#[macro_export]
macro_rules! or_skip {
    ($available:expr) => {
        match $available {
            Ok(value) => value,
            Err(reason) => {
                let test = std::thread::current().name().unwrap_or("test").to_owned();
                $crate::skip::skip(&format!("{}::{test}", module_path!()), &reason.to_string());
                return;
            }
        }
    };
}
