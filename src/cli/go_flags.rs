//! Milvus's command line is Go's: `-alias x` and `-alias=x` mean what `--alias x` does.
//! Scripts that start Milvus must work unchanged, so such flags get their second dash here.

use std::ffi::OsString;

/// The flags that scripts may write with one dash.
const LONG: [&str; 4] = ["alias", "config", "help", "version"];

/// Selects Milvus's parent process that cleans up after a killed child. There is nothing to
/// clean up here: a successor takes the role without it.
const SUBPROCESS: &str = "--run-with-subprocess";

/// The arguments as this program reads them, the program's name first.
pub(super) fn translate(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut literal = false;
    arguments
        .into_iter()
        .enumerate()
        .filter(|(at, argument)| *at == 0 || argument != SUBPROCESS)
        .map(|(at, argument)| {
            literal |= argument == "--";
            match argument.to_str() {
                Some(text) if at > 0 && !literal && is_long(text) => format!("-{text}").into(),
                _ => argument,
            }
        })
        .collect()
}

fn is_long(text: &str) -> bool {
    text.strip_prefix('-')
        .filter(|rest| !rest.starts_with('-'))
        .map(|rest| rest.split_once('=').map_or(rest, |(name, _)| name))
        .is_some_and(|name| LONG.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::translate;

    #[track_caller]
    fn check(given: &str, read: &str) {
        let translated = translate(given.split(' ').map(Into::into));
        let translated: Vec<_> = translated.iter().map(|argument| argument.to_str().unwrap()).collect();
        assert_eq!(translated.join(" "), read);
    }

    #[test]
    fn flags_of_go_get_their_second_dash() {
        check("milvus run rootcoord -alias x", "milvus run rootcoord --alias x");
        check("milvus run rootcoord -alias=x", "milvus run rootcoord --alias=x");
        check("milvus run rootcoord --alias x", "milvus run rootcoord --alias x");
        check("milvus -help", "milvus --help");
        check("-alias run", "-alias run");
    }

    #[test]
    fn everything_else_stays() {
        check("milvus run rootcoord -h -V -alia x -- -alias", "milvus run rootcoord -h -V -alia x -- -alias");
    }

    #[test]
    fn the_parent_process_of_milvus_is_not_needed() {
        check("milvus run --run-with-subprocess rootcoord", "milvus run rootcoord");
    }
}
