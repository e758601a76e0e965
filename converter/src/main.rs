//! The `kinglet` command line: what there is to say, and which command says it.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // One line of what is wrong and one of what to do.
    match cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", cli::explain(&error));
            ExitCode::FAILURE
        }
    }
}
