//! Builds firmware, and returns the paths of its sources and programs.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::cargo::{cargo_in, root, target_folder};
use crate::machines::{Core, LEAN};

/// The folder in `target` for all firmware. Boards share it, so that their dependencies are
/// compiled once per target, and procedural macros once.
pub(crate) const FIRMWARE: &str = "firmware";

/// The path of a folder in `firmware-examples`.
pub(crate) fn folder_of(name: &str) -> PathBuf {
    root().join("firmware-examples").join(name)
}

/// Builds the programs whose code size is measured, and returns their folder.
pub(crate) fn build_lean(core: &Core) -> Result<PathBuf> {
    let Core { folder, target, features, .. } = core;
    let bins = LEAN.map(|name| ["--bin", name]).concat();
    let options = [&bins[..], &["--no-default-features", "--features", features]].concat();
    build_with(&folder_of(folder), target, "lean", &options, core.environment())
}

/// Builds a program that needs an additional feature, and returns its path.
pub(crate) fn build_one(core: &Core, program: &str, feature: &str, environment: &[(&str, &str)]) -> Result<PathBuf> {
    let Core { folder, target, features, .. } = core;
    let features = [feature, features].join(",");
    let options = ["--bin", program, "--features", features.trim_end_matches(',')];
    Ok(build_with(&folder_of(folder), target, FIRMWARE, &options, environment)?.join(program))
}

/// Builds all programs of a folder, and returns the folder with the results.
pub(crate) fn build(folder: &Path, target: &str, features: &str, environment: &[(&str, &str)]) -> Result<PathBuf> {
    build_with(folder, target, FIRMWARE, &["--bins", "--features", features], environment)
}

/// Builds programs in a folder of `target`, and returns the folder with the results. A later build
/// of programs with equal names for that target overwrites them.
fn build_with(
    folder: &Path,
    target: &str,
    out: &str,
    options: &[&str],
    environment: &[(&str, &str)],
) -> Result<PathBuf> {
    let out = target_folder(out);
    let build = ["build", "--quiet", "--release", "--target", target, "--target-dir", &out];
    cargo_in(folder, &[&build, options].concat(), environment)?;
    Ok(PathBuf::from(out).join(target).join("release"))
}
