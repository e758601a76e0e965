//! Builds and runs the README's program, with a model that `kinglet export` writes.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::{kinglet, target_folder};
use crate::programs::{FIRMWARE, folder_of};

pub(crate) fn check() -> Result<()> {
    let (folder, model) = (folder_of("first"), target_folder("model.kinglet"));
    fs::copy(folder_of("common").join("models/home-intent.kinglet"), &model)?;
    kinglet(&["export", &model, "--rust", "firmware-examples/first/src", "--force"])?;
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--release", "--target-dir", &target_folder(FIRMWARE)])
        .current_dir(&folder)
        .output()
        .context("running cargo")?;
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(
        output.status.success() && printed.trim_end() == "light.set",
        "the README's program prints {printed:?}: {}\n{errors}",
        output.status
    );
    Ok(())
}
