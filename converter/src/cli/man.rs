//! `kinglet man`: write man pages.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Command};

use super::output;

/// Write man pages: one for the program, and one for each command.
///
/// `man -l DIR/kinglet-convert.1` shows one; `man kinglet-convert` finds those in
/// ~/.local/share/man/man1.
#[derive(Args, Debug)]
pub(crate) struct Man {
    /// The folder to write to, which is made if it does not exist. Older pages in it are replaced.
    folder: PathBuf,
}

impl Man {
    pub(crate) fn run(self, program: Command) -> Result<()> {
        let failed = || format!("writing to {}", self.folder.display());
        std::fs::create_dir_all(&self.folder).with_context(failed)?;
        clap_mangen::generate_to(program, &self.folder).with_context(failed)?;
        output::line(&format!("wrote the pages to {}", self.folder.display()))
    }
}
