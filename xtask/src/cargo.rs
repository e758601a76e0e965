//! Runs cargo, and prints each call.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

/// The project's root folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the project's folder")
}

/// The path of a folder or file in the project's `target`.
pub(crate) fn target_folder(name: &str) -> String {
    root().join("target").join(name).to_string_lossy().into_owned()
}

/// The output of cargo, run in a folder.
pub(crate) fn output_of(folder: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(env!("CARGO"));
    let output = command.args(arguments).current_dir(folder).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "cargo {}: {}", arguments.join(" "), output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs cargo in the project's root folder.
pub(crate) fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    cargo_in(root(), arguments, environment)
}

/// Runs `kinglet`, built in the `dev` profile, which compiles faster than a release and is fast
/// enough for a small model.
pub(crate) fn kinglet(arguments: &[&str]) -> Result<()> {
    cargo(&[&KINGLET, arguments].concat(), &[])
}

/// The output of `kinglet`.
pub(crate) fn kinglet_output(arguments: &[&str]) -> Result<String> {
    output_of(root(), &[&KINGLET, arguments].concat())
}

/// Builds `kinglet`, and returns its path.
pub(crate) fn kinglet_program() -> Result<PathBuf> {
    cargo(&["build", "--quiet", "--package", "kinglet-convert", "--no-default-features", "--bin", "kinglet"], &[])?;
    Ok(target_folder("debug/kinglet").into())
}

const KINGLET: [&str; 8] =
    ["run", "--quiet", "--package", "kinglet-convert", "--no-default-features", "--bin", "kinglet", "--"];

/// Runs cargo in a folder, with the folder's own configuration, and prints the call and its
/// duration.
pub(crate) fn cargo_in(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let told = arguments.join(" ");
    eprintln!("$ cargo {told}");
    let start = Instant::now();
    let mut command = Command::new(env!("CARGO"));
    let command = command.args(arguments).envs(environment.iter().copied()).current_dir(folder);
    let status = command.status().context("running cargo")?;
    ensure!(status.success(), "cargo {told}: {status}");
    eprintln!("  {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}
