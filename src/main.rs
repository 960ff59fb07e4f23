//! The `touchstone` program: flags in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    touchstone::cli::main()
}
