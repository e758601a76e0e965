//! Checks that a linked program contains no floating-point code between tokens and logits, and no
//! heap.
//!
//! A Cortex-M0+ has no floating-point unit, so every float operation is a call of a library
//! function with a known name. As a control, the check must find such calls in a second program,
//! which does use floats.

use std::fs;

use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSymbol};

use crate::cargo::{cargo, target_folder};

/// Prefixes of the names of soft-float and conversion functions in the Arm run-time ABI and in
/// compiler-rt.
const FLOAT: [&str; 22] = [
    "__aeabi_f",
    "__aeabi_d",
    "__aeabi_cf",
    "__aeabi_cd",
    "__aeabi_i2f",
    "__aeabi_i2d",
    "__aeabi_ui2f",
    "__aeabi_ui2d",
    "__aeabi_l2f",
    "__aeabi_l2d",
    "__aeabi_ul2f",
    "__aeabi_ul2d",
    "__addsf",
    "__adddf",
    "__mulsf",
    "__muldf",
    "__divsf",
    "__divdf",
    "__float",
    "__fix",
    "__extendsf",
    "__truncdf",
];

const HEAP: [&str; 3] = ["__rust_alloc", "__rust_realloc", "__rg_alloc"];

pub(crate) fn check() -> Result<()> {
    let path = symbols("")?;
    let found = matching(&path, &FLOAT);
    ensure!(found.is_empty(), "floating point between tokens and logits: {}", found.join(", "));
    let found = matching(&path, &HEAP);
    ensure!(found.is_empty(), "the runtime allocates: {}", found.join(", "));
    let control = matching(&symbols("floats")?, &FLOAT);
    ensure!(!control.is_empty(), "the check does not find the floats of the control");
    let panics = path.iter().filter(|name| name.contains("panicking")).count();
    eprintln!(
        "no float and no heap function among {} symbols; {} float functions in the control; {panics} panic functions",
        path.len(),
        control.len()
    );
    Ok(())
}

/// The names of all functions that are linked into the probe.
fn symbols(features: &str) -> Result<Vec<String>> {
    let target = "thumbv6m-none-eabi";
    let folder = target_folder("probe");
    let build = ["build", "--quiet", "--release", "--manifest-path", "xtask/probe/Cargo.toml", "--target", target];
    cargo(&[&build[..], &["--target-dir", &folder, "--features", features]].concat(), &[])?;
    let program = fs::read(format!("{folder}/{target}/release/kinglet-probe")).context("reading the probe")?;
    let program = object::File::parse(program.as_slice()).context("the probe is not an object file")?;
    let names = program.symbols().filter_map(|symbol| symbol.name().ok().map(str::to_owned));
    let names: Vec<String> = names.filter(|name| !name.is_empty() && !name.starts_with('$')).collect();
    ensure!(names.iter().any(|name| name.contains("Session")), "the probe does not contain the runtime");
    Ok(names)
}

fn matching(names: &[String], beginnings: &[&str]) -> Vec<String> {
    names.iter().filter(|name| beginnings.iter().any(|beginning| name.starts_with(beginning))).cloned().collect()
}
