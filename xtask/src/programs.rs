//! Firmware as cargo builds it: where its sources lie, and where its programs do.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::cargo::{cargo_in, root, target_folder};
use crate::machines::{Core, LEAN};

/// The folder of `target` for all firmware: what every board depends on is compiled once for each
/// target, and what runs in the compiler once.
pub(crate) const FIRMWARE: &str = "firmware";

/// Where a folder of firmware lies.
pub(crate) fn folder_of(name: &str) -> PathBuf {
    root().join("firmware-examples").join(name)
}

/// Builds the programs whose code is measured, and says where they are.
pub(crate) fn build_lean(core: &Core) -> Result<PathBuf> {
    let Core { folder, target, features, .. } = core;
    let bins = LEAN.map(|name| ["--bin", name]).concat();
    let options = [&bins[..], &["--no-default-features", "--features", features]].concat();
    build_with(&folder_of(folder), target, "lean", &options, core.environment())
}

/// Builds one program that needs a feature of its own, and says where it is.
pub(crate) fn build_one(core: &Core, program: &str, feature: &str, environment: &[(&str, &str)]) -> Result<PathBuf> {
    let Core { folder, target, features, .. } = core;
    let features = [feature, features].join(",");
    let options = ["--bin", program, "--features", features.trim_end_matches(',')];
    Ok(build_with(&folder_of(folder), target, FIRMWARE, &options, environment)?.join(program))
}

/// Builds a folder's programs and says where they are.
pub(crate) fn build(folder: &Path, target: &str, features: &str, environment: &[(&str, &str)]) -> Result<PathBuf> {
    build_with(folder, target, FIRMWARE, &["--bins", "--features", features], environment)
}

/// Builds programs of a folder in a folder of `target`, and says where they are. They stay there
/// until programs of equal names are built for that target.
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
