//! The commands that CI and people run. What CI does is here, so that it can be done at a desk.

mod bench;
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
mod portable;
mod programs;
mod python;
mod signed;
mod table;
mod talk;
mod template;

use std::process::Command;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};

use crate::cargo::{cargo, kinglet, root, target_folder};

/// Where the runtime must build without a default feature, and clippy has nothing to say.
const TARGETS: [&str; 7] = [
    "thumbv6m-none-eabi",
    "thumbv7m-none-eabi",
    "thumbv7em-none-eabihf",
    "thumbv8m.main-none-eabihf",
    "riscv32imc-unknown-none-elf",
    "aarch64-unknown-none",
    "wasm32-unknown-unknown",
];

/// Programs that run or compile what this machine's Rust does not, and the packages of Debian that
/// have them.
const EMULATORS: [(&str, &str); 10] = [
    ("qemu-system-arm", "qemu-system-arm"),
    ("qemu-system-riscv32", "qemu-system-misc"),
    ("qemu-aarch64", "qemu-user"),
    ("node", "nodejs"),
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
    /// All that follows, in order: what a change must pass.
    Ci,
    /// Formatting, the floors of the runtime and the converter, lints and documentation.
    Lint,
    /// All tests that need Rust alone.
    Test,
    /// Firmware on emulated cores, the runtime on 64-bit Arm and in WebAssembly, and exports to C:
    /// all that needs more than Rust.
    Emulators,
    /// Write the pages of `docs/` that are made from the program.
    Docs,
    /// The runtime for every supported target.
    Targets,
    /// No floating point between tokens and logits, and no heap: read off the symbols of a
    /// Cortex-M0+ program.
    Floats,
    /// The firmware examples: built for every board, and run on every core that QEMU has.
    Firmware(firmware::Firmware),
    /// The C library: a package with the header and an archive for every kind of core.
    C(c::Archives),
    /// The page and the npm package: made, and run in Chromium and in Node.
    Browser(browser::Browser),
    /// The Python package: its wheel in a fresh virtual environment, and its tests.
    Python,
    /// What single operations and whole models cost, on every core and here, beside what others
    /// reach: one table.
    Bench(bench::Bench),
    /// The runtime's tests and the examples on emulated 64-bit Arm processors and in WebAssembly.
    Portable,
    /// The blobs in the firmware examples: converted again, and compared; or written anew.
    Blobs {
        /// Write them.
        #[arg(long)]
        write: bool,
    },
    /// Convert the model that ships with the project, and have it tell a story.
    Demo,
    /// What takes longer than CI has: Miri, sanitizers, random models on other processors; the
    /// figures go to `docs/security.md`.
    Deep(deep::Deep),
}

fn main() -> Result<()> {
    match Cli::parse().task {
        Task::Ci => {
            lint()?;
            test()?;
            hub()?;
            targets()?;
            floats::check()?;
            blobs::check(false)?;
            emulators()?;
            python::check()?;
            browser::run(&browser::Browser::default())?;
            demo()
        }
        Task::Lint => lint(),
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

/// Writes the pages that tests hold to the program.
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

/// Lints, of which none may be found, and no function of a younger library than `rust-version` has.
fn clippy(of: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let deny = ["--", "-D", "warnings", "-D", "clippy::incompatible_msrv"];
    cargo(&[&["clippy"], of, &deny].concat(), environment)
}

/// Without the client of the Hub, which takes longer to compile than all other crates that the
/// converter is made of, and without the benchmarks.
fn test() -> Result<()> {
    cargo(&["test", "--workspace", "--exclude", "kinglet-benches", "--no-default-features"], &[])?;
    // Cores of a microcontroller, for which there are threads with `std`.
    cargo(&["test", "--package", "kinglet", "--lib", "--features", "cores", "threads::cores"], &[])
}

/// The client of the Hub, against a server that the tests start.
fn hub() -> Result<()> {
    cargo(&["test", "--package", "kinglet-convert", "--lib", "--test", "cli", "hub"], &[])
}

/// Whatever needs another processor or another compiler.
fn emulators() -> Result<()> {
    for (program, package) in EMULATORS {
        let found = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
        ensure!(found, "{program} is missing: install {package}, and the targets that `.ci/run` lists");
    }
    cargo(&["test", "--package", "kinglet-convert", "--test", "c"], &[])?;
    c::check(false)?;
    portable::check()?;
    firmware::run(&firmware::Firmware::all())?;
    first::check()
}

fn targets() -> Result<()> {
    for target in TARGETS {
        cargo(&["build", "--package", "kinglet", "--release", "--target", target], &[])?;
        clippy(&["--package", "kinglet", "--target", target], &[])?;
    }
    // Code for units that a target does not promise.
    clippy(&["--package", "kinglet", "--target", "thumbv8m.main-none-eabihf", "--features", "mve"], &[])?;
    let vectors = [("RUSTFLAGS", "-C target-feature=+simd128")];
    clippy(&["--package", "kinglet", "--target", "wasm32-unknown-unknown"], &vectors)?;
    let logged = ["--features", "defmt", "--target", "thumbv7em-none-eabihf"];
    cargo(&[&["build", "--package", "kinglet", "--release"], &logged[..]].concat(), &[])
}

fn demo() -> Result<()> {
    let blob = target_folder("stories.kinglet");
    kinglet(&["convert", "models/stories", "--output", &blob, "--keys", "16", "--force"])?;
    kinglet(&["verify", &blob, "models/stories"])?;
    kinglet(&["generate", &blob, "--ids", "1"])
}
