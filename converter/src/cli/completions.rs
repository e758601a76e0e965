//! `kinglet completions`: what a shell needs to complete commands and options.

use anyhow::Result;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, output};

/// Print a script that completes commands and options in a shell.
///
/// For bash: `kinglet completions bash > ~/.local/share/bash-completion/completions/kinglet`.
#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "kinglet", &mut script);
        output::line(String::from_utf8(script)?.trim_end())
    }
}
