//! Runs the checks that are too slow for CI: Miri, sanitizers, 32-bit builds, random models on
//! other processors, faults in system calls. Each part records its result in `docs/security.md`.

mod coverage;
mod libfuzzer;
mod reproducible;
mod toolchain;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};

use crate::cargo::{root, target_folder};
use toolchain::{HOST, cargo, said_by};

/// Options of `cargo xtask deep`.
#[derive(Args)]
pub(crate) struct Deep {
    /// The parts to run; all by default.
    parts: Vec<Part>,
    /// The number of random models on each machine.
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// The number of fuzz inputs, as a multiple of CI's.
    #[arg(long, default_value_t = 20)]
    times: u64,
    /// libFuzzer: how many seconds each target runs.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The fuzz targets with more inputs than in CI, optimized and with overflow checks.
    Fuzz,
    /// The fuzz targets under libFuzzer, which looks for inputs that reach other code.
    Libfuzzer,
    /// Random models with every kernel set here, in a 32-bit build, on emulated Arm and in Node.
    Random,
    /// The runtime's unit tests under Miri.
    Miri,
    /// The runtime's unit tests with the address sanitizer.
    Address,
    /// The thread tests with the thread sanitizer.
    Thread,
    /// The runtime's unit tests in a 32-bit build.
    Narrow,
    /// Conversions in which one system call on files fails; needs strace.
    Faults,
    /// Every code point through every small tokenizer.
    Unicode,
    /// The lines and regions that CI's tests reach: needs rustup's llvm-tools.
    Coverage,
    /// Two clean builds of the program and of firmware, compared.
    Reproducible,
}

/// A 32-bit target whose programs run on this machine, and that Rust's bundled linker can link.
const NARROW: &str = "i686-unknown-linux-musl";

/// The machines for random models: name, target, compiler flags, and emulator.
const MACHINES: [(&str, &str, &str, &str); 5] = [
    ("i686", NARROW, "", ""),
    ("AArch64 with SDOT", "aarch64-unknown-linux-musl", "", "qemu-aarch64 -cpu max"),
    ("Cortex-A53", "aarch64-unknown-linux-musl", "", "qemu-aarch64 -cpu cortex-a53"),
    ("WebAssembly", "wasm32-wasip1", "", "node --no-warnings xtask/wasi.mjs"),
    ("WebAssembly with vectors", "wasm32-wasip1", "-C target-feature=+simd128", "node --no-warnings xtask/wasi.mjs"),
];

pub(crate) fn run(options: &Deep) -> Result<()> {
    let parts = if options.parts.is_empty() { Part::value_variants() } else { &options.parts };
    for part in parts {
        let start = Instant::now();
        let found = part.run(options)?;
        let minutes = start.elapsed().as_secs_f64() / 60.0;
        let name = part.to_possible_value().context("each part has a name")?;
        let (day, compiler) = (said_by("date", &["+%F"])?, compiler(part.toolchain())?);
        record(name.get_name(), &format!("{found}; {day}, {minutes:.1} minutes, {compiler}"))?;
    }
    Ok(())
}

impl Part {
    fn toolchain(self) -> &'static str {
        match self {
            Self::Miri | Self::Address | Self::Thread => "+nightly",
            _ => "+stable",
        }
    }

    fn run(self, options: &Deep) -> Result<String> {
        let unit_tests = ["--package", "kinglet", "--features", "std", "--lib"];
        let build_std = ["-Zbuild-std", "--target", HOST];
        // Release builds have no such checks by default.
        let checked =
            [("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true"), ("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true")];
        match self {
            Self::Fuzz => {
                let times = options.times.to_string();
                let environment = [checked[0], checked[1], ("KINGLET_FUZZ", times.as_str())];
                tests(self, &["test", "--release", "--package", "kinglet-tests", "--test", "it", "fuzz"], &environment)
                    .map(|found| format!("{found}, {times} times CI's inputs"))
            }
            Self::Libfuzzer => libfuzzer::run(options.seconds),
            Self::Unicode => {
                let arguments = ["test", "--release", "--package", "kinglet-tests", "--test", "it", "code_points"];
                tests(self, &arguments, &[checked[0], checked[1], ("KINGLET_EXHAUSTIVE", "1")])
            }
            Self::Miri => {
                // Exhaustive tests would take days. Rayon violates Stacked Borrows but not Tree
                // Borrows. The symbolic check of alignment would refuse casts that depend on an
                // address.
                let environment = [("MIRIFLAGS", "-Zmiri-tree-borrows -Zmiri-ignore-leaks")];
                let skip = MIRI_SKIPS.iter().flat_map(|test| ["--skip", test]);
                // libm computes square roots in assembly, which Miri does not support.
                let soft = ["--package", "kinglet", "--features", "std,libm/force-soft-floats", "--lib", "--"];
                let arguments: Vec<&str> = ["miri", "test"].into_iter().chain(soft).chain(skip).collect();
                tests(self, &arguments, &environment)
            }
            Self::Address => {
                let arguments = [&["test"], &build_std[..], &unit_tests].concat();
                tests(self, &arguments, &[("RUSTFLAGS", "-Zsanitizer=address")])
            }
            Self::Thread => {
                let arguments = [&["test"], &build_std[..], &unit_tests, &["threads"]].concat();
                tests(self, &arguments, &[("RUSTFLAGS", "-Zsanitizer=thread")])
            }
            Self::Narrow => {
                let arguments = [&["test", "--target", NARROW], &unit_tests[..]].concat();
                tests(self, &arguments, &[("CARGO_TARGET_I686_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld")])
            }
            Self::Faults => {
                let arguments = ["test", "--package", "kinglet-convert", "--no-default-features", "--test", "strace"];
                let output = output(self, &[&arguments[..], &["--", "--nocapture"]].concat(), &[])?;
                let told = output.lines().find(|line| line.contains("conversions, of which"));
                told.map(str::to_owned).context("the test printed no result")
            }
            Self::Random => random(options.seeds),
            Self::Coverage => coverage::run(),
            Self::Reproducible => reproducible::run(),
        }
    }
}

/// Tests that loop over millions of numbers, or read files, which Miri does not allow.
const MIRI_SKIPS: [&str; 13] = [
    "exhaustive",
    "page_of_errors",
    "every_set_",
    "packed_weights_are",
    "exp2_is",
    "half_precision",
    "matches_are_those",
    "frequencies_follow",
    "the_largest_vocabulary",
    "a_row_times_a_matrix",
    "quantize",
    "inverse_sqrt",
    "sums_are_those",
];

/// Runs tests, and returns how many passed, as text.
fn tests(part: Part, arguments: &[&str], environment: &[(&str, &str)]) -> Result<String> {
    let printed = output(part, arguments, environment)?;
    let passed = printed
        .lines()
        .filter_map(|line| line.strip_prefix("test result: ok. ")?.split(' ').next()?.parse::<u32>().ok());
    let passed: u32 = passed.sum();
    ensure!(passed > 0, "no test ran");
    Ok(if passed == 1 { "1 test passes".to_owned() } else { format!("{passed} tests pass") })
}

/// The output of cargo.
fn output(part: Part, arguments: &[&str], environment: &[(&str, &str)]) -> Result<String> {
    cargo(part.toolchain(), arguments, environment)
}

/// Runs random models on every machine, and compares their output.
fn random(seeds: u64) -> Result<String> {
    let count = seeds.to_string();
    let wanted = run_random(HOST, "", "", &count)?;
    let mut names = vec!["x86-64"];
    for (name, target, flags, runner) in MACHINES {
        let found = run_random(target, flags, runner, &count)?;
        if let Some((found, wanted)) = found.lines().zip(wanted.lines()).find(|(found, wanted)| found != wanted) {
            bail!("{name} prints\n{found}\ninstead of\n{wanted}");
        }
        ensure!(found == wanted, "{name} prints {} lines", found.lines().count());
        names.push(name);
    }
    let sum = |word: usize| -> u64 {
        wanted.lines().filter_map(|line| line.split(' ').nth(word)?.parse::<u64>().ok()).max().unwrap_or(0)
    };
    Ok(format!("{} models, {} calls, with every kernel set of {}", sum(0), sum(2), names.join(", ")))
}

fn run_random(target: &str, flags: &str, runner: &str, seeds: &str) -> Result<String> {
    let linker = format!("CARGO_TARGET_{}_LINKER", target.replace('-', "_").to_uppercase());
    let mut environment = vec![("RUSTFLAGS", flags), ("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true")];
    if target != HOST {
        environment.push((&linker, "rust-lld"));
    }
    cargo("+stable", &["build", "--release", "--package", "kinglet-random", "--target", target], &environment)?;
    let suffix = if target.starts_with("wasm") { ".wasm" } else { "" };
    let program = format!("{}/{target}/release/kinglet-random{suffix}", target_folder("deep+stable"));
    let mut words = runner.split(' ').filter(|word| !word.is_empty()).chain([program.as_str(), "0", seeds]);
    let first = words.next().unwrap_or_default();
    let output = Command::new(first).args(words).current_dir(root()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("running {first}: is it installed?"))?;
    ensure!(output.status.success(), "{target}: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// The compiler's version.
fn compiler(toolchain: &str) -> Result<String> {
    let said = said_by("rustc", &[toolchain, "--version"])?;
    Ok(said.split(" (").next().unwrap_or(&said).to_owned())
}

/// Writes the result of a part into its row of `docs/security.md`.
fn record(part: &str, found: &str) -> Result<()> {
    println!("{part}: {found}");
    let path = Path::new(root()).join("docs/security.md");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let begin = format!("| `cargo xtask deep {part}` |");
    let mut rows = 0;
    let lines: Vec<String> = text
        .lines()
        .map(|line| match line.strip_prefix(&begin).and_then(|rest| rest.split('|').next()) {
            Some(what) => {
                rows += 1;
                format!("{begin}{what}| {found} |")
            }
            None => line.to_owned(),
        })
        .collect();
    ensure!(rows == 1, "docs/security.md has {rows} rows for `{part}`");
    Ok(fs::write(&path, lines.join("\n") + "\n")?)
}
