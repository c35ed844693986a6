//! The command line of milvus-coord.

use std::process::ExitCode;

fn main() -> ExitCode {
    milvus_coord::cli::main(std::env::args_os()).into()
}
