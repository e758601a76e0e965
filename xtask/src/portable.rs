//! The runtime on processors that this machine does not have: its own tests, and the examples, which must print what they print
//! on the host.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::firmware::{EXAMPLES, compared, folder_of, target_folder};
use crate::{cargo_in, root};

/// What a build is for, and what runs it.
struct Machine {
    name: &'static str,
    target: &'static str,
    flags: &'static str,
    runs_in: &'static str,
}

/// Static programs, which the linker that comes with Rust links.
const ARM: &str = "aarch64-unknown-linux-musl";
const WASI: &str = "wasm32-wasip1";
const NODE: &str = "node --no-warnings xtask/wasi.mjs";

/// With the products of bytes that 64-bit Arm may have and without them, with WebAssembly's vectors and without them.
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

impl Machine {
    /// The runtime's own tests, among them those of the kernels: every set against the definition.
    fn tests(&self) -> Result<()> {
        self.cargo("", &format!("test --quiet --release --package kinglet --lib --target-dir {}", self.out("tests")))
    }

    /// Whole models: tokens, text, and the bits of logits.
    fn examples(&self) -> Result<()> {
        let out = self.out("examples");
        self.cargo("firmware-examples/host", &format!("build --quiet --release --target-dir {out}"))?;
        let suffix = if self.target == WASI { ".wasm" } else { "" };
        let program = format!("{out}/{}/release/host{suffix}", self.target);
        for example in EXAMPLES {
            let mut words = self.runs_in.split(' ');
            let output = Command::new(words.next().unwrap_or_default())
                .args(words)
                .args([&program, example])
                .current_dir(root())
                .output()
                .with_context(|| format!("running {}: is it installed?", self.runs_in))?;
            let printed = compared(&String::from_utf8(output.stdout)?);
            let errors = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{example}: {}\n{printed}{errors}", output.status);
            let wanted = fs::read_to_string(folder_of("expected").join(format!("{example}.txt")))?;
            ensure!(printed == wanted, "{example} prints:\n{printed}but should print:\n{wanted}");
        }
        Ok(())
    }

    /// Where this machine's programs are built: where those of others with its flags are.
    fn out(&self, what: &str) -> String {
        target_folder(&format!("portable/{what}{}", if self.flags.is_empty() { "" } else { "-vectors" }))
    }

    fn cargo(&self, folder: &str, arguments: &str) -> Result<()> {
        let runner = self.runs_in.replace("xtask/", &format!("{}/xtask/", root().display()));
        let variable = format!("CARGO_TARGET_{}", self.target.replace('-', "_").to_uppercase());
        let (run, link) = (format!("{variable}_RUNNER"), format!("{variable}_LINKER"));
        let environment = [(run.as_str(), runner.as_str()), (&link, "rust-lld"), ("RUSTFLAGS", self.flags)];
        cargo_in(&root().join(folder), &format!("{arguments} --target {}", self.target), &environment)
    }
}
