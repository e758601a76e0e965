//! Builds the wheel of the Python package, installs it into a fresh virtual environment, and runs
//! the tests there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::{cargo_in, root, target_folder};

/// The packages from PyPI that build and test the wheel.
const TOOLS: [&str; 4] = ["maturin>=1.8,<2", "mypy", "numpy", "pytest"];

pub(crate) fn check() -> Result<()> {
    let (folder, out) = (root().join("bindings/python"), target_folder("python"));
    let wheels = format!("{out}/wheels");
    cargo_in(&folder, &["fmt", "--check"], &[])?;
    if Path::new(&wheels).exists() {
        fs::remove_dir_all(&wheels)?;
    }
    let programs = environment("python", &TOOLS)?;
    let program = |name: &str| programs.join(name).to_string_lossy().into_owned();
    // The `dev` profile compiles faster than a release, and is fast enough for the tests.
    run(&folder, &out, &program("maturin"), &["build", "--quiet", "--profile", "dev", "--out", &wheels])?;
    let wheel = fs::read_dir(&wheels)?.next().context("maturin wrote no wheel")??.path();
    run(&folder, &out, &program("pip"), &["install", "--quiet", &wheel.to_string_lossy()])?;
    run(&folder, &out, &program("mypy"), &["--no-error-summary"])?;
    run(&folder, &out, &program("pytest"), &["--quiet"])
}

/// Makes a fresh virtual environment in `target/NAME` with packages from PyPI, and returns the folder
/// of its programs.
pub(crate) fn environment(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let (folder, out) = (root(), target_folder(name));
    let environment = format!("{out}/environment");
    run(folder, &out, "python3", &["-m", "venv", "--clear", &environment])?;
    run(folder, &out, &format!("{environment}/bin/pip"), &[&["install", "--quiet"], packages].concat())?;
    Ok(Path::new(&environment).join("bin"))
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
