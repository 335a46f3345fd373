//! The program: see `musterd::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    musterd::cli::run(std::env::args_os()).into()
}
