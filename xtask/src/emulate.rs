//! Runs programs in QEMU and reads their output. Lines that begin with `#` are measurements, and
//! are not compared.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection};

use crate::machines::Core;

const CORTEX_M: &str = "qemu-system-arm -nographic -icount shift=6,align=off,sleep=off -machine";

/// The measurements of a program, by name.
pub(crate) type Counts = BTreeMap<String, u64>;

/// The measurements of a firmware program, and the sizes of its sections in bytes.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) values: Counts,
    pub(crate) code: u64,
    pub(crate) model: u64,
    pub(crate) memory: u64,
}

/// The QEMU command that runs a program on a core.
pub(crate) fn emulator(core: &Core, program: &Path) -> Command {
    let options = match core.qemu {
        "virt" => "qemu-system-riscv32 -nographic -icount shift=0 -cpu rv32 -bios none -machine virt".to_owned(),
        machine => format!("{CORTEX_M} {machine}"),
    };
    // Ends the emulator if the program hangs.
    let mut command = Command::new("timeout");
    command.arg("300").args(options.split_whitespace());
    command.args(["-semihosting-config", "enable=on,target=native", "-kernel"]).arg(program);
    command
}

pub(crate) fn emulate(core: &Core, program: &Path) -> Result<String> {
    let output = emulator(core, program).output().context("running QEMU: is it installed?")?;
    // Depending on its version, QEMU's semihosting writes to standard output or standard error.
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8(printed).context("the output of the firmware is not UTF-8")?;
    ensure!(output.status.success(), "{} on {}: {}\n{printed}", program.display(), core.name, output.status);
    Ok(printed)
}

/// The lines without measurements, which must be equal on every machine.
pub(crate) fn compared(printed: &str) -> String {
    printed.lines().filter(|line| !line.starts_with('#')).fold(String::new(), |all, line| all + line + "\n")
}

/// The measurements in a program's output.
pub(crate) fn counts(printed: &str) -> Result<Counts> {
    let lines = printed.lines().filter_map(|line| line.strip_prefix("# "));
    let each = lines.map(|line| {
        let (what, value) =
            line.rsplit_once(": ").with_context(|| format!("this line is not a measurement: {line}"))?;
        Ok((what.to_owned(), value.parse()?))
    });
    each.collect()
}

pub(crate) fn measure(program: &Path, printed: &str) -> Result<Measured> {
    let mut measured = Measured { values: counts(printed)?, ..Measured::default() };
    let bytes = fs::read(program)?;
    ensure!(!bytes.windows(12).any(|name| name == b"__rust_alloc"), "{} has a heap", program.display());
    let file = object::File::parse(bytes.as_slice())?;
    for section in file.sections() {
        match section.name()? {
            ".vector_table" | ".text" | ".init" | ".trap" | ".text.dummy" => measured.code += section.size(),
            ".rodata" => measured.model += section.size(),
            ".data" | ".bss" => measured.memory += section.size(),
            _ => {}
        }
    }
    Ok(measured)
}
