//! Builds the C library for a target, and runs C tools.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::{cargo_in, root, target_folder};

/// The targets of the library. Arm targets without `hf` have the soft and softfp calling
/// conventions, and RISC-V targets without `f` the soft one.
pub(super) const TARGETS: [&str; 10] = [
    "thumbv6m-none-eabi",
    "thumbv7m-none-eabi",
    "thumbv7em-none-eabi",
    "thumbv7em-none-eabihf",
    "thumbv8m.main-none-eabi",
    "thumbv8m.main-none-eabihf",
    "riscv32imc-unknown-none-elf",
    "riscv32imac-unknown-none-elf",
    "riscv32imafc-unknown-none-elf",
    "x86_64-unknown-linux-gnu",
];

/// The folders in which Arduino looks for the archive of a core and calling convention, and the
/// targets of these archives.
pub(super) const ARDUINO: [(&str, &str); 11] = [
    ("cortex-m0plus", "thumbv6m-none-eabi"),
    ("cortex-m3", "thumbv7m-none-eabi"),
    ("cortex-m4", "thumbv7em-none-eabi"),
    ("cortex-m4/fpv4-sp-d16-softfp", "thumbv7em-none-eabi"),
    ("cortex-m4/fpv4-sp-d16-hard", "thumbv7em-none-eabihf"),
    ("cortex-m7/fpv4-sp-d16-hard", "thumbv7em-none-eabihf"),
    ("cortex-m7/fpv5-d16-hard", "thumbv7em-none-eabihf"),
    ("cortex-m7/fpv5-d16-softfp", "thumbv7em-none-eabi"),
    ("cortex-m33", "thumbv8m.main-none-eabi"),
    ("cortex-m33/fpv5-sp-d16-hard", "thumbv8m.main-none-eabihf"),
    ("esp32c3", "riscv32imc-unknown-none-elf"),
];

/// The folder of the library's sources.
pub(super) fn folder() -> PathBuf {
    root().join("bindings/c")
}

/// Builds the static library for a target, and returns its path.
pub(super) fn archive(target: &str, features: &str) -> Result<PathBuf> {
    check_installed(target)?;
    let out = target_folder("c");
    let build = ["build", "--quiet", "--release", "--target", target, "--target-dir", &out, "--features", features];
    cargo_in(&folder(), &build, &[])?;
    Ok(Path::new(&out).join(target).join("release/libkinglet_c.a"))
}

/// Checks that Rust's library for a target is installed.
fn check_installed(target: &str) -> Result<()> {
    let library = succeed(Command::new("rustc").args(["--print", "target-libdir", "--target", target]))?;
    ensure!(
        Path::new(library.trim()).exists(),
        "Rust's library for {target} is not installed: rustup target add {target}"
    );
    Ok(())
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
