//! The archive of the C library for a target, and the programs that work on it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::{cargo_in, root, target_folder};

/// Targets that archives are made for. Those without `hf` are for soft and softfp calls of
/// functions.
pub(super) const TARGETS: [&str; 9] = [
    "thumbv6m-none-eabi",
    "thumbv7m-none-eabi",
    "thumbv7em-none-eabi",
    "thumbv7em-none-eabihf",
    "thumbv8m.main-none-eabi",
    "thumbv8m.main-none-eabihf",
    "riscv32imc-unknown-none-elf",
    "riscv32imac-unknown-none-elf",
    "x86_64-unknown-linux-gnu",
];

/// Where the sources of the library lie.
pub(super) fn folder() -> PathBuf {
    root().join("bindings/c")
}

/// Builds the archive for a target, and says where it is.
pub(super) fn archive(target: &str, features: &str) -> Result<PathBuf> {
    let out = target_folder("c");
    let build = ["build", "--quiet", "--release", "--target", target, "--target-dir", &out, "--features", features];
    cargo_in(&folder(), &build, &[])?;
    Ok(Path::new(&out).join(target).join("release/libkinglet_c.a"))
}

/// What a command prints, when it succeeds.
pub(super) fn succeed(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("running {command:?}: is it installed?"))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{printed}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(printed.into_owned())
}
