//! Builds the C library for every kind of core, and compares the output of its samples with that of
//! the Rust examples.

mod archive;
mod package;
mod systems;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::cargo::{cargo_in, kinglet, target_folder};
use crate::counts::Counted;
use crate::emulate::{emulate, measure};
use crate::machines::{CORES, Core};
use crate::programs::folder_of;
use crate::readme::follow;
use crate::table;
use archive::{TARGETS, archive, folder, succeed};

#[derive(Args)]
pub(crate) struct Archives {
    /// Only the targets whose name contains this.
    #[arg(long, default_value = "")]
    target: String,
    /// Test instead of writing the package: run the samples, and compare their output with that of
    /// the Rust examples.
    #[arg(long)]
    check: bool,
    /// Write the sizes of the samples to firmware-examples/counts.json, and their table to
    /// bindings/c/README.md.
    #[arg(long, requires = "check")]
    bless: bool,
}

/// A machine that samples run on, and their compiler.
struct Machine {
    /// The emulated core; `None` for the host.
    core: Option<&'static str>,
    target: &'static str,
    compiler: &'static str,
    flags: &'static str,
    port: &'static str,
}

const MACHINES: [Machine; 4] = [
    Machine {
        core: None,
        target: "x86_64-unknown-linux-gnu",
        compiler: "gcc",
        flags: "-fsanitize=address,undefined -fno-sanitize-recover=all",
        port: "host",
    },
    Machine {
        core: Some("M0+ code"),
        target: "thumbv6m-none-eabi",
        compiler: "arm-none-eabi-gcc",
        flags: "-mcpu=cortex-m0plus -mthumb",
        port: "cortex_m",
    },
    Machine {
        core: Some("M4F"),
        target: "thumbv7em-none-eabihf",
        compiler: "arm-none-eabi-gcc",
        flags: "-mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16",
        port: "cortex_m",
    },
    Machine {
        core: Some("RV32IMC"),
        target: "riscv32imc-unknown-none-elf",
        compiler: "riscv64-unknown-elf-gcc",
        flags: "-march=rv32imc -mabi=ilp32 -mcmodel=medany",
        port: "riscv32",
    },
];

/// The samples, their models, the maximum number of tokens, and the Rust examples with equal
/// output.
const SAMPLES: [(&str, &str, &str, &str); 2] =
    [("intents", "home-intent", "32", "classify"), ("story", "stories", "128", "generate")];

const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// Writes the package with the header and an archive per target, and prints their paths.
pub(crate) fn archives(options: &Archives) -> Result<()> {
    if options.check {
        return check(options.bless);
    }
    let targets: Vec<&str> = TARGETS.into_iter().filter(|target| target.contains(&options.target)).collect();
    ensure!(!targets.is_empty(), "no target's name contains \"{}\": there are {}", options.target, TARGETS.join(", "));
    let package = package::write(&targets)?;
    for target in targets {
        println!("{target}: {}", package.join("lib").join(target).join("libkinglet.a").display());
    }
    Ok(())
}

/// Checks the header, tests that misuse is refused, and compares the samples with the Rust examples.
///
/// With `bless`, it writes the sizes of the samples to the files made from them.
pub(crate) fn check(bless: bool) -> Result<()> {
    let out = target_folder("c");
    cargo_in(&folder(), &["fmt", "--check"], &[])?;
    cargo_in(
        &folder(),
        &["clippy", "--features", "std", "--all-targets", "--target-dir", &out, "--", "-D", "warnings"],
        &[],
    )?;
    cargo_in(&folder(), &["test", "--quiet", "--features", "std", "--target-dir", &out], &[])?;
    for (_, model, tokens, _) in SAMPLES {
        let blob = folder_of("common").join(format!("models/{model}.kinglet"));
        kinglet(&["export", &blob.to_string_lossy(), "--c", &out, "--tokens", tokens, "--force"])?;
    }
    let mut counted = Counted::read()?;
    for machine in &MACHINES {
        machine.check(Path::new(&out), &mut counted)?;
    }
    let table = table::of_c(&counted);
    eprintln!("{table}");
    if bless {
        counted.write()?;
        table::write("bindings/c/README.md", "sizes", &table)?;
    }
    package::check(Path::new(&out))?;
    follow(&folder().join("README.md"), &Path::new(&out).join("readme"))
}

impl Machine {
    fn check(&self, out: &Path, counted: &mut Counted) -> Result<()> {
        let features = if self.core.is_some() { "panics-do-not-link" } else { "" };
        let archive = archive(self.target, features)?;
        for (sample, model, _, example) in SAMPLES {
            let program = out.join(format!("{sample}-{}", self.port));
            self.build(sample, Some(model), &archive, &program)?;
            let printed = self.run(&program)?;
            let wanted = fs::read_to_string(folder_of("expected").join(format!("{example}.txt")))?;
            ensure!(
                printed == wanted,
                "{sample} in C prints on {}:\n{printed}but should print:\n{wanted}",
                self.target
            );
            if let Some(core) = self.core {
                counted.add_sizes(core, &format!("{sample}.c"), &measure(&program, "")?);
            }
        }
        if self.core.is_none() {
            let program = out.join("misuse");
            self.build("misuse", Some("home-intent"), &archive, &program)?;
            eprint!("{}", self.run(&program)?);
        }
        Ok(())
    }

    /// Compiles a sample as C and as C++, and links the C version.
    fn build(&self, sample: &str, model: Option<&str>, archive: &Path, program: &Path) -> Result<()> {
        let (folder, out) = (folder(), archive.ancestors().nth(3).context("an archive lies in three folders")?);
        let mut objects = Vec::new();
        let sources = folder.join("sample");
        let models = model.map(|model| out.join(model.replace('-', "_")).with_extension("c"));
        let ports = ["port.c".to_owned(), format!("{}.c", self.port)].map(|name| sources.join("port").join(name));
        let sample = sources.join(sample).with_extension("c");
        for source in [&sample].into_iter().chain(&models).chain(&ports) {
            let object = program.with_extension(format!("{}.o", source.file_stem().unwrap_or_default().display()));
            self.compile(source, &object, out, &["-std=c11"])?;
            objects.push(object);
        }
        self.compile(&sample, &program.with_extension("cpp.o"), out, &["-std=c++17", "-x", "c++"])?;
        let mut link = Command::new(self.compiler);
        link.args(self.flags.split(' ')).arg("-Wl,--gc-sections").args(&objects).arg(archive).arg("-o").arg(program);
        if self.core.is_some() {
            let script = sources.join("port").join(self.port).with_extension("ld");
            link.args(["-nostdlib", "-Wl,--build-id=none", "-T"]).arg(script).arg("-lgcc");
        }
        succeed(&mut link).map(|_| ())
    }

    fn compile(&self, source: &Path, object: &Path, models: &Path, standard: &[&str]) -> Result<()> {
        let mut command = Command::new(self.compiler);
        command.args(WARNINGS).args(standard).args(["-Os", "-ffunction-sections", "-fdata-sections", "-c"]);
        command.args(self.flags.split(' ')).arg("-I").arg(folder().join("include")).arg("-I").arg(models);
        if self.core.is_some() {
            command.arg("-ffreestanding");
        }
        succeed(command.arg(source).arg("-o").arg(object)).map(|_| ())
    }

    fn run(&self, program: &Path) -> Result<String> {
        match self.core {
            None => succeed(&mut Command::new(program)),
            Some(name) => {
                let core: &Core = CORES.iter().find(|core| core.name == name).context("the core does not exist")?;
                emulate(core, program)
            }
        }
    }
}
