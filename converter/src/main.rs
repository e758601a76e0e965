//! The `kinglet` command line: runs a command, and prints what went wrong.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

fn main() -> ExitCode {
    // An error is one line about what is wrong, and one about what to do.
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            error.exit()
        }
        Err(error) => {
            cli::output::say(&cli::explain_usage(&error));
            return ExitCode::from(2);
        }
    };
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::output::say(&format!("error: {}", cli::explain(&error)));
            ExitCode::FAILURE
        }
    }
}
