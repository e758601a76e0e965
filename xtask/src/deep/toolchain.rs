//! Runs the commands of a given toolchain.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::cargo::{root, target_folder};

/// The target of this machine.
pub(super) const HOST: &str = "x86_64-unknown-linux-gnu";

/// Runs cargo of a toolchain in the project's folder, and returns what it prints.
pub(super) fn cargo(toolchain: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<String> {
    cargo_in(root(), toolchain, arguments, environment)
}

/// Runs cargo of a toolchain in a folder, with a target folder for that toolchain, and returns what
/// it prints.
pub(super) fn cargo_in(
    place: &Path,
    toolchain: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<String> {
    let told = arguments.join(" ");
    eprintln!("$ cargo {toolchain} {told}");
    let mut command = Command::new("cargo");
    // These variables of the current toolchain would override the toolchain in the arguments.
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").arg(toolchain).args(arguments);
    let folder = target_folder(&format!("deep{toolchain}"));
    let environment = environment.iter().copied().chain([("CARGO_TARGET_DIR", folder.as_str())]);
    let output =
        command.envs(environment).current_dir(place).stderr(Stdio::inherit()).output().context("running cargo")?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "cargo {told}: {}\n{printed}", output.status);
    Ok(printed)
}

/// The output of a program.
pub(super) fn said_by(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).env_remove("RUSTUP_TOOLCHAIN").args(arguments).output();
    let output = output.with_context(|| format!("running {program}: is it installed?"))?;
    ensure!(output.status.success(), "{program}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
