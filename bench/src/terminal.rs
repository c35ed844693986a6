//! What a benchmark writes to its terminal: progress to standard error, the result to
//! standard output.

/// Says how far it is.
#[expect(clippy::print_stderr, reason = "for programs of the terminal")]
pub fn say(text: &str) {
    eprintln!("{text}");
}

/// Shows the result.
#[expect(clippy::print_stdout, reason = "for programs of the terminal")]
pub fn show(text: &str) {
    println!("{text}");
}
