//! `kinglet completions`: print a script that completes commands and options.

use anyhow::Result;
use clap::{Args, Command};
use clap_complete::Shell;

use super::output;

/// Print a script that completes commands and options in a shell.
///
/// For bash: `kinglet completions bash > ~/.local/share/bash-completion/completions/kinglet`.
#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, mut program: Command) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, "kinglet", &mut script);
        output::line(String::from_utf8(script)?.trim_end())
    }
}
