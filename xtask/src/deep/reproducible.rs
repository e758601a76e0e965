//! Checks that two clean builds have one hash: of the program in two folders, and of firmware.
//!
//! Cargo hashes the path of a crate outside the built workspace into the names of its symbols, and
//! no option of stable Rust prevents that. The examples depend on such crates, so firmware is built
//! twice in one folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::toolchain::{cargo_in, said_by};
use crate::cargo::{root, target_folder};

const CORTEX_M: &str = "thumbv7em-none-eabihf";

pub(super) fn run() -> Result<String> {
    let program = ["build", "--release", "--package", "kinglet-convert", "--no-default-features", "--bin", "kinglet"];
    let of_program = equal(["here", "at/another/place"], ".", &program, "release/kinglet")?;
    let firmware = ["build", "--release", "--target", CORTEX_M, "--bin", "generate"];
    let file = format!("{CORTEX_M}/release/generate");
    let of_firmware = equal(["here"; 2], "firmware-examples/qemu-cortex-m", &firmware, &file)?;
    Ok(format!("`kinglet` is `{of_program}…` in two folders, `generate` for Cortex-M4 `{of_firmware}…` in one, twice"))
}

/// Builds the contents of Git's index in two folders, and returns the beginning of their common
/// hash.
fn equal(places: [&str; 2], folder: &str, arguments: &[&str], file: &str) -> Result<String> {
    let [first, second] = places.map(|place| hash(place, folder, arguments, file));
    let (first, second) = (first?, second?);
    ensure!(first == second, "{file} has the hash {first} after one build, and {second} after another");
    Ok(first[..16].to_owned())
}

fn hash(place: &str, folder: &str, arguments: &[&str], file: &str) -> Result<String> {
    let all = PathBuf::from(target_folder("reproducible"));
    let place = all.join(place);
    if all.exists() {
        fs::remove_dir_all(&all)?;
    }
    let prefix = format!("--prefix={}/", place.display());
    said_by("git", &["-C", &root().display().to_string(), "checkout-index", "--all", &prefix])?;
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| home + "/.cargo"));
    let cargo_home = home.context("where Cargo keeps crates")?;
    // These flags add to the folder's own configuration; `RUSTFLAGS` would replace it.
    let flags = format!(
        "target.'cfg(all())'.rustflags=['--remap-path-prefix={}=/kinglet', '--remap-path-prefix={cargo_home}=/cargo']",
        place.display()
    );
    let target = place.join("target").display().to_string();
    let arguments = [arguments, &["--locked", "--config", &flags, "--target-dir", &target]].concat();
    cargo_in(&place.join(folder), "+stable", &arguments, &[])?;
    let built = Path::new(&target).join(file);
    let said = said_by("sha256sum", &[&built.display().to_string()])?;
    let hash = said.split(' ').next().filter(|hash| hash.len() == 64);
    hash.map(str::to_owned).with_context(|| format!("{} has no hash", built.display()))
}
