//! `cargo xtask`: the tasks of CI and of developers. CI itself only calls `cargo xtask ci`, so
//! every check can be run locally.

mod bench;
mod beside;
mod blobs;
mod boards;
mod browser;
mod c;
mod cargo;
mod checkpoint;
mod counts;
mod deep;
mod emulate;
mod executors;
mod firmware;
mod first;
mod floats;
mod floors;
mod machines;
mod pico;
mod portable;
mod programs;
mod python;
mod readme;
mod signed;
mod table;
mod talk;
mod template;

use std::process::Command;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};

use crate::beside::Beside;
use crate::cargo::{cargo, kinglet, root, target_folder};

/// The targets for which the runtime must build without default features, and pass clippy.
const TARGETS: [&str; 7] = [
    "thumbv6m-none-eabi",
    "thumbv7m-none-eabi",
    "thumbv7em-none-eabihf",
    "thumbv8m.main-none-eabihf",
    "riscv32imc-unknown-none-elf",
    "aarch64-unknown-none",
    "wasm32-unknown-unknown",
];

/// Emulators, compilers and interpreters that the tests need, and the Debian packages that contain
/// them.
const EMULATORS: [(&str, &str); 11] = [
    ("qemu-system-arm", "qemu-system-arm"),
    ("qemu-system-riscv32", "qemu-system-misc"),
    ("qemu-aarch64", "qemu-user"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("chromedriver", "chromium-driver"),
    ("gcc", "gcc"),
    ("g++", "g++"),
    ("cmake", "cmake"),
    ("arm-none-eabi-gcc", "gcc-arm-none-eabi"),
    ("riscv64-unknown-elf-gcc", "gcc-riscv64-unknown-elf"),
];

#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run all checks that a change must pass.
    Ci,
    /// Run the checks of CI that concern other processors.
    #[command(hide = true)]
    Cores,
    /// Check formatting, module layers (floors), lints and documentation.
    Lint,
    /// Check the licences and sources of the dependencies, and the banned ones, against `deny.toml`.
    Deny,
    /// Run all tests that need Rust only.
    Test,
    /// Run the tests that need other tools: firmware on emulated cores, the runtime on 64-bit Arm
    /// and in WebAssembly, and the C library.
    Emulators,
    /// Generate the pages of `docs/` that are made from the program.
    Docs,
    /// Lint the runtime for every supported target.
    Targets,
    /// Check, by the symbols of a Cortex-M0+ program, that nothing between tokens and logits uses
    /// floating point or a heap.
    Floats,
    /// Build the firmware examples for every board, and run them on every emulated core.
    Firmware(firmware::Firmware),
    /// Build the package of the C library: the header, and an archive for every kind of core.
    C(c::Archives),
    /// Build the page and the npm package, and test them in Chromium and in Node.
    Browser(browser::Browser),
    /// Build the Python wheel, and test it in a fresh virtual environment.
    Python,
    /// Measure single operations and whole models on every core and on this machine, and print them
    /// in one table with figures of other implementations.
    Bench(bench::Bench),
    /// Run the runtime's tests and the examples on emulated 64-bit Arm and in WebAssembly.
    Portable,
    /// Convert the models that ship, and compare them with the blobs in the firmware examples.
    Blobs {
        /// Replace the blobs instead of comparing.
        #[arg(long)]
        write: bool,
    },
    /// Convert a model that ships with the project, and let it write a story.
    Demo,
    /// Run the checks that are too slow for CI, such as Miri, sanitizers and random models on other
    /// processors, and record the results in `docs/security.md`.
    Deep(deep::Deep),
}

fn main() -> Result<()> {
    match Cli::parse().task {
        Task::Ci => ci(),
        Task::Cores => cores(),
        Task::Lint => lint(),
        Task::Deny => deny(),
        Task::Test => test(),
        Task::Emulators => emulators(),
        Task::Docs => docs(),
        Task::Targets => targets(),
        Task::Portable => portable::check(),
        Task::Floats => floats::check(),
        Task::C(options) => c::archives(&options),
        Task::Browser(options) => browser::run(&options),
        Task::Python => python::check(),
        Task::Firmware(options) => firmware::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Blobs { write } => blobs::check(write),
        Task::Demo => demo(),
        Task::Deep(options) => deep::run(&options),
    }
}

/// Runs all checks. Those of other processors run beside those of this one, because linking a
/// program and emulating a core take one thread each.
fn ci() -> Result<()> {
    lint()?;
    deny()?;
    // Both halves run one `kinglet`, which has no Hub client, so the tests of the client come first.
    hub()?;
    let cores = Beside::start("cores")?;
    test()?;
    blobs::check(false)?;
    python::check()?;
    browser::run(&browser::Browser::default())?;
    demo()?;
    cores.finish()
}

/// Runs the checks that concern other processors.
fn cores() -> Result<()> {
    targets()?;
    floats::check()?;
    emulators()
}

/// Generates the pages that tests compare with the program.
fn docs() -> Result<()> {
    let bless = [("KINGLET_BLESS", "1")];
    cargo(&["test", "--quiet", "--package", "kinglet", "--lib", "error::page"], &bless)?;
    cargo(&["test", "--quiet", "--package", "kinglet-convert", "--bin", "kinglet", "pages"], &bless)
}

fn lint() -> Result<()> {
    cargo(&["fmt", "--all", "--check"], &[])?;
    floors::check(root())?;
    firmware::lint()?;
    clippy(&["--workspace", "--all-targets", "--all-features"], &[])?;
    clippy(&["--package", "kinglet-convert", "--test", "c"], &[])?;
    clippy(&["--package", "kinglet"], &[])?;
    cargo(&["doc", "--workspace", "--no-deps", "--all-features"], &[("RUSTDOCFLAGS", "-D warnings")])
}

/// Runs clippy. Warnings are errors, and so are library functions newer than `rust-version`.
fn clippy(of: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let deny = ["--", "-D", "warnings", "-D", "clippy::incompatible_msrv"];
    cargo(&[&["clippy"], of, &deny].concat(), environment)
}

/// Runs `cargo deny` on each lock file of the packages and the firmware.
fn deny() -> Result<()> {
    let there = Command::new("cargo-deny").arg("--version").output().is_ok_and(|output| output.status.success());
    ensure!(there, "cargo-deny is missing: CONTRIBUTING.md explains how to install it");
    for folder in ["", "bindings/c/", "bindings/python/", "firmware-examples/common/", "firmware-examples/browser/"] {
        let manifest = format!("{folder}Cargo.toml");
        let options =
            ["deny", "--manifest-path", &manifest, "--config", "deny.toml", "--log-level", "error", "--locked"];
        cargo(&[&options[..], &["check", "licenses", "bans", "sources"]].concat(), &[])?;
    }
    Ok(())
}

/// Runs the tests without the benchmarks and without the Hub client, which takes longer to compile
/// than all other dependencies of the converter together.
fn test() -> Result<()> {
    cargo(&["test", "--workspace", "--exclude", "kinglet-benches", "--no-default-features"], &[])?;
    // The feature `cores` is compiled without `std` only, so it needs a run of its own.
    cargo(&["test", "--package", "kinglet", "--lib", "--features", "cores", "threads::cores"], &[])
}

/// Tests the Hub client against a local server that the tests start.
fn hub() -> Result<()> {
    cargo(&["test", "--package", "kinglet-convert", "--lib", "--test", "cli", "hub"], &[])
}

/// Runs the tests that need another processor or compiler.
fn emulators() -> Result<()> {
    for (program, package) in EMULATORS {
        let found = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
        ensure!(found, "{program} is missing: install {package}, and the targets that `.ci/run` lists");
    }
    cargo(&["test", "--package", "kinglet-convert", "--no-default-features", "--test", "c"], &[])?;
    c::check(false)?;
    portable::check()?;
    firmware::run(&firmware::Firmware::all())?;
    first::check()
}

/// Lints the runtime for every target, and builds it for the one that no program here is for.
fn targets() -> Result<()> {
    for target in TARGETS {
        clippy(&["--package", "kinglet", "--target", target], &[])?;
    }
    // Code for instruction set extensions that a target does not imply.
    clippy(&["--package", "kinglet", "--target", "thumbv8m.main-none-eabihf", "--features", "mve"], &[])?;
    let vectors = [("RUSTFLAGS", "-C target-feature=+simd128")];
    clippy(&["--package", "kinglet", "--target", "wasm32-unknown-unknown"], &vectors)?;
    // Desktop processors other than this machine's.
    for target in ["aarch64-unknown-linux-musl", "wasm32-wasip1"] {
        clippy(&["--package", "kinglet", "--features", "std", "--target", target], &[])?;
    }
    clippy(&["--package", "kinglet", "--features", "defmt", "--target", "thumbv7em-none-eabihf"], &[])?;
    cargo(&["build", "--package", "kinglet", "--release", "--target", "aarch64-unknown-none"], &[])
}

fn demo() -> Result<()> {
    let blob = target_folder("stories.kinglet");
    kinglet(&["convert", "models/stories", "--output", &blob, "--keys", "16", "--force"])?;
    kinglet(&["verify", &blob, "models/stories"])?;
    kinglet(&["generate", &blob, "--ids", "1"])
}
