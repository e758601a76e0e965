//! The commands that CI and people run. What CI does is here, so that it can be done at a desk.

mod bench;
mod boards;
mod firmware;
mod first;
mod floats;
mod floors;
mod portable;
mod template;

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};

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

/// Programs that run or compile what this machine's Rust does not, and the packages of Debian that have them.
const EMULATORS: [(&str, &str); 6] = [
    ("qemu-system-arm", "qemu-system-arm"),
    ("qemu-system-riscv32", "qemu-system-misc"),
    ("qemu-aarch64", "qemu-user"),
    ("node", "nodejs"),
    ("gcc", "gcc"),
    ("g++", "g++"),
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
    /// Formatting, the floors of the runtime, lints and documentation.
    Lint,
    /// All tests that need Rust alone.
    Test,
    /// Firmware on emulated cores, the runtime on 64-bit Arm and in WebAssembly, and exports to C: all that needs more than Rust.
    Emulators,
    /// Write the pages of `docs/` that are made from the program.
    Docs,
    /// The runtime for every supported target.
    Targets,
    /// No floating point between tokens and logits, and no heap: read off the symbols of a Cortex-M0+ program.
    Floats,
    /// The firmware examples: built for every board, and run on every core that QEMU has.
    Firmware(firmware::Firmware),
    /// What single operations and whole models cost, on every core and here, beside what others reach: one table.
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
}

fn main() -> Result<()> {
    match Cli::parse().task {
        Task::Ci => {
            lint()?;
            test()?;
            optimized()?;
            targets()?;
            floats::check()?;
            firmware::blobs(false)?;
            emulators()?;
            demo()
        }
        Task::Lint => lint(),
        Task::Test => test(),
        Task::Emulators => emulators(),
        Task::Docs => cargo("test --quiet --package kinglet-convert --bin kinglet pages", &[("KINGLET_BLESS", "1")]),
        Task::Targets => targets(),
        Task::Portable => portable::check(),
        Task::Floats => floats::check(),
        Task::Firmware(options) => firmware::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Blobs { write } => firmware::blobs(write),
        Task::Demo => demo(),
    }
}

fn lint() -> Result<()> {
    cargo("fmt --all --check", &[])?;
    floors::check(root())?;
    firmware::lint()?;
    cargo("clippy --workspace --all-targets --all-features -- -D warnings -D clippy::incompatible_msrv", &[])?;
    cargo("clippy --package kinglet-convert --test c -- -D warnings", &[])?;
    cargo("clippy --package kinglet -- -D warnings", &[])?;
    cargo("doc --workspace --no-deps --all-features", &[("RUSTDOCFLAGS", "-D warnings")])
}

fn test() -> Result<()> {
    cargo("test --workspace", &[])
}

/// The tests of whole models once more, with the compiler's optimizations and without its checks: the bits are equal.
fn optimized() -> Result<()> {
    cargo("test --package kinglet-tests --release", &[])
}

/// Whatever needs another processor or another compiler.
fn emulators() -> Result<()> {
    for (program, package) in EMULATORS {
        let found = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
        ensure!(found, "{program} is missing: install {package}, and the targets that `.ci/run` lists");
    }
    cargo("test --package kinglet-convert --test c", &[])?;
    portable::check()?;
    firmware::run(&firmware::Firmware::default())?;
    first::check()
}

fn targets() -> Result<()> {
    for target in TARGETS {
        cargo(&format!("build --package kinglet --release --target {target}"), &[])?;
        cargo(&format!("clippy --package kinglet --target {target} -- -D warnings"), &[])?;
    }
    // Code for units that a target does not promise.
    cargo("clippy --package kinglet --target thumbv8m.main-none-eabihf --features mve -- -D warnings", &[])?;
    let vectors = [("RUSTFLAGS", "-C target-feature=+simd128")];
    cargo("clippy --package kinglet --target wasm32-unknown-unknown -- -D warnings", &vectors)?;
    cargo("build --package kinglet --release --features defmt --target thumbv7em-none-eabihf", &[])
}

/// With the profile of the tests, which is compiled sooner than that of a release, and fast enough for a small model.
fn demo() -> Result<()> {
    let blob = root().join("target/stories.kinglet");
    let blob = blob.to_str().context("the project lies in a folder whose name is not text")?;
    let kinglet = "run --quiet --package kinglet-convert --bin kinglet --";
    cargo(&format!("{kinglet} convert models/stories --output {blob} --keys 16 --force"), &[])?;
    cargo(&format!("{kinglet} verify {blob} models/stories"), &[])?;
    cargo(&format!("{kinglet} generate {blob} --ids 1"), &[])
}

/// The project's folder.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the project's folder")
}

/// What cargo prints in a folder.
fn output_of(folder: &Path, arguments: &str) -> Result<String> {
    let mut command = Command::new(env!("CARGO"));
    let output = command.args(arguments.split_whitespace()).current_dir(folder).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "cargo {arguments}: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs cargo with words that have no spaces in them, in the project's folder.
fn cargo(arguments: &str, environment: &[(&str, &str)]) -> Result<()> {
    cargo_in(root(), arguments, environment)
}

/// The same in another folder, whose own configuration counts.
fn cargo_in(folder: &Path, arguments: &str, environment: &[(&str, &str)]) -> Result<()> {
    eprintln!("$ cargo {arguments}");
    let status = Command::new(env!("CARGO"))
        .args(arguments.split_whitespace())
        .envs(environment.iter().copied())
        .current_dir(folder)
        .status()
        .context("running cargo")?;
    ensure!(status.success(), "cargo {arguments}: {status}");
    Ok(())
}
