//! Builds the wheel of the Python package, installs it into a fresh virtual environment, and runs
//! the tests there.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::{cargo_in, root, target_folder};

/// The packages from PyPI that build and test the wheel.
const TOOLS: [&str; 4] = ["maturin>=1.8,<2", "mypy", "numpy", "pytest"];

pub(crate) fn check() -> Result<()> {
    let (folder, out) = (root().join("bindings/python"), target_folder("python"));
    let (environment, wheels) = (format!("{out}/environment"), format!("{out}/wheels"));
    cargo_in(&folder, &["fmt", "--check"], &[])?;
    if Path::new(&wheels).exists() {
        fs::remove_dir_all(&wheels)?;
    }
    run(&folder, &out, "python3", &["-m", "venv", "--clear", &environment])?;
    let program = |name: &str| format!("{environment}/bin/{name}");
    let pip = program("pip");
    run(&folder, &out, &pip, &[&["install", "--quiet"], &TOOLS[..]].concat())?;
    // The `dev` profile compiles faster than a release, and is fast enough for the tests.
    run(&folder, &out, &program("maturin"), &["build", "--quiet", "--profile", "dev", "--out", &wheels])?;
    let wheel = fs::read_dir(&wheels)?.next().context("maturin wrote no wheel")??.path();
    run(&folder, &out, &pip, &["install", "--quiet", &wheel.to_string_lossy()])?;
    run(&folder, &out, &program("mypy"), &["--no-error-summary"])?;
    run(&folder, &out, &program("pytest"), &["--quiet"])
}

/// Runs a program, with `out` as cargo's target folder.
fn run(folder: &Path, out: &str, program: &str, arguments: &[&str]) -> Result<()> {
    eprintln!("$ {program} {}", arguments.join(" "));
    let mut command = Command::new(program);
    let command = command.args(arguments).current_dir(folder).env("CARGO_TARGET_DIR", out);
    let status = command.status().with_context(|| format!("running {program}: is it installed?"))?;
    ensure!(status.success(), "{program}: {status}");
    Ok(())
}
