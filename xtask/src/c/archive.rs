//! Builds the C library for a target, and runs C tools.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::{cargo_in, root, target_folder};

/// The targets of the library. Arm targets without `hf` have the soft and softfp calling
/// conventions.
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

/// The folder of the library's sources.
pub(super) fn folder() -> PathBuf {
    root().join("bindings/c")
}

/// Builds the static library for a target, and returns its path.
pub(super) fn archive(target: &str, features: &str) -> Result<PathBuf> {
    let out = target_folder("c");
    let build = ["build", "--quiet", "--release", "--target", target, "--target-dir", &out, "--features", features];
    cargo_in(&folder(), &build, &[])?;
    Ok(Path::new(&out).join(target).join("release/libkinglet_c.a"))
}

/// The output of a command.
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
