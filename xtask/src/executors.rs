//! Builds the RTIC and embassy examples, runs them on an emulated Cortex-M4, and compares their
//! output. They may panic, because their executors may.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::emulate::{compared, emulate};
use crate::machines::CORES;
use crate::programs::{build, folder_of};

/// The folders and program names of these examples.
pub(crate) const FOLDERS: [(&str, &str); 2] = [("rtic", "rtic-classifier"), ("embassy", "embassy-classifier")];

pub(crate) fn check() -> Result<()> {
    let core = CORES.iter().find(|core| core.name == "M4F").context("there is no core M4F")?;
    for (folder, program) in FOLDERS {
        let release = build(&folder_of(folder), core.target, "", &[])?;
        let printed = compared(&emulate(core, &release.join(program))?);
        let file = folder_of("expected").join(format!("{folder}.txt"));
        let wanted = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        ensure!(printed == wanted, "{folder} prints:\n{printed}but should print:\n{wanted}");
    }
    eprintln!("the examples with an executor print the expected output");
    Ok(())
}
