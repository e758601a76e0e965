//! Runs the runtime's tests and the examples on emulated 64-bit Arm and in WebAssembly, and
//! compares the examples' output with the host's.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::{cargo_in, root, target_folder};
use crate::emulate::compared;
use crate::machines::EXAMPLES;
use crate::programs::folder_of;

/// A target, and the emulator for it.
struct Machine {
    name: &'static str,
    target: &'static str,
    flags: &'static str,
    runs_in: &'static str,
}

/// A target with static linking, which Rust's bundled linker can link.
const ARM: &str = "aarch64-unknown-linux-musl";
const WASI: &str = "wasm32-wasip1";
const NODE: &str = "node --no-warnings xtask/wasi.mjs";

/// 64-bit Arm with and without dot products, WebAssembly with and without SIMD.
const MACHINES: [Machine; 4] = [
    Machine { name: "AArch64 with SDOT", target: ARM, flags: "", runs_in: "qemu-aarch64 -cpu max" },
    Machine { name: "Cortex-A53", target: ARM, flags: "", runs_in: "qemu-aarch64 -cpu cortex-a53" },
    Machine { name: "WebAssembly", target: WASI, flags: "", runs_in: NODE },
    Machine { name: "WebAssembly with vectors", target: WASI, flags: "-C target-feature=+simd128", runs_in: NODE },
];

pub(crate) fn check() -> Result<()> {
    for machine in &MACHINES {
        machine.tests().and_then(|()| machine.examples()).with_context(|| format!("on {}", machine.name))?;
        eprintln!("{}: the tests pass, and {} examples print what the host prints", machine.name, EXAMPLES.len());
    }
    Ok(())
}

/// The output of a command.
fn output(command: &mut Command, folder: &Path) -> Result<String> {
    let output =
        command.current_dir(folder).output().with_context(|| format!("running {command:?}: is it installed?"))?;
    let printed = String::from_utf8(output.stdout)?;
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{printed}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(printed)
}

/// The target folder. All machines share it, so that procedural macros are built once.
fn out() -> String {
    target_folder("portable")
}

impl Machine {
    /// Runs the runtime's unit tests, including the comparison of every kernel set with the scalar
    /// set.
    fn tests(&self) -> Result<()> {
        self.cargo("", &["test", "--quiet", "--release", "--package", "kinglet", "--features", "std", "--lib"])
    }

    /// Runs the examples: tokens, text and the bits of logits of whole models.
    fn examples(&self) -> Result<()> {
        self.cargo("firmware-examples/host", &["build", "--quiet", "--release"])?;
        let suffix = if self.target == WASI { ".wasm" } else { "" };
        let program = format!("{}/{}/release/host{suffix}", out(), self.target);
        for example in EXAMPLES {
            let mut words = self.runs_in.split(' ');
            let mut command = Command::new(words.next().unwrap_or_default());
            let printed = compared(&output(command.args(words).args([&program, example]), root())?);
            let wanted = fs::read_to_string(folder_of("expected").join(format!("{example}.txt")))?;
            ensure!(printed == wanted, "{example} prints:\n{printed}but should print:\n{wanted}");
        }
        Ok(())
    }

    fn cargo(&self, folder: &str, arguments: &[&str]) -> Result<()> {
        let runner = self.runs_in.replace("xtask/", &format!("{}/xtask/", root().display()));
        let variable = format!("CARGO_TARGET_{}", self.target.replace('-', "_").to_uppercase());
        let (run, link) = (format!("{variable}_RUNNER"), format!("{variable}_LINKER"));
        // Tests and examples use one profile, so they share compiled dependencies.
        let environment = [
            (run.as_str(), runner.as_str()),
            (&link, "rust-lld"),
            ("RUSTFLAGS", self.flags),
            ("CARGO_PROFILE_RELEASE_DEBUG", "0"),
        ];
        let where_to = ["--target", self.target, "--target-dir", &out()];
        cargo_in(&root().join(folder), &[arguments, &where_to].concat(), &environment)
    }
}
