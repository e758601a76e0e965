//! Checks the package for Zephyr, ESP-IDF and Arduino without their kits, which no package registry
//! has: with stand-ins for the functions of their builds, and with those of their tools that PyPI has.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::archive::{ARDUINO, TARGETS, folder, succeed};
use crate::python::environment;

/// The options of Zephyr's configurations, and the archives for them; `None` if there is none.
const ZEPHYR: [(&str, Option<&str>); 14] = [
    ("ARMV6_M_ARMV8_M_BASELINE", Some("thumbv6m-none-eabi")),
    ("CPU_CORTEX_M3 ARMV7_M_ARMV8_M_MAINLINE", Some("thumbv7m-none-eabi")),
    ("ARMV7_M_ARMV8_M_MAINLINE", Some("thumbv7em-none-eabi")),
    ("ARMV7_M_ARMV8_M_MAINLINE FP_HARDABI", Some("thumbv7em-none-eabihf")),
    ("ARMV7_M_ARMV8_M_MAINLINE ARMV8_M_MAINLINE", Some("thumbv8m.main-none-eabi")),
    ("ARMV7_M_ARMV8_M_MAINLINE ARMV8_M_MAINLINE FP_HARDABI", Some("thumbv8m.main-none-eabihf")),
    ("RISCV RISCV_ISA_EXT_M RISCV_ISA_EXT_C", Some("riscv32imc-unknown-none-elf")),
    ("RISCV RISCV_ISA_EXT_M RISCV_ISA_EXT_C RISCV_ISA_EXT_A", Some("riscv32imac-unknown-none-elf")),
    ("RISCV RISCV_ISA_EXT_M RISCV_ISA_EXT_C RISCV_ISA_EXT_A FLOAT_HARD", Some("riscv32imafc-unknown-none-elf")),
    ("RISCV RISCV_ISA_EXT_M RISCV_ISA_EXT_C RISCV_ISA_EXT_A FLOAT_HARD CPU_HAS_FPU_DOUBLE_PRECISION", None),
    ("RISCV RISCV_ISA_EXT_M RISCV_ISA_EXT_C 64BIT", None),
    ("RISCV RISCV_ISA_EXT_C", None),
    ("XTENSA", None),
    ("ARCH_POSIX 64BIT", Some("x86_64-unknown-linux-gnu")),
];

/// Chips of ESP-IDF with a processor for which there is no archive.
const XTENSA: [&str; 3] = ["esp32", "esp32s2", "esp32s3"];

/// The packages from PyPI that parse what Zephyr and ESP-IDF read.
const TOOLS: [&str; 2] = ["idf-component-manager", "kconfiglib"];

/// Checks the package in every way, with the exported models in `models`.
pub(super) fn check(package: &Path, models: &Path) -> Result<()> {
    archives(package)?;
    descriptions(package)?;
    parsed(package, models)?;
    zephyr(package, models)?;
    sketch(package, models)
}

/// Checks the archive that is selected for each configuration.
fn archives(package: &Path) -> Result<()> {
    for (options, wanted) in ZEPHYR {
        let set: Vec<String> = options.split(' ').map(|option| format!("CONFIG_{option}=y")).collect();
        let found = selected(package, &set);
        ensure!(found.as_deref().ok() == wanted, "for Zephyr with {options}: {found:?}");
    }
    let component = fs::read_to_string(package.join("idf_component.yml"))?;
    let chips = component.lines().find_map(|line| line.strip_prefix("targets: [")?.strip_suffix(']'));
    for chip in chips.context("idf_component.yml has no targets")?.split(", ") {
        let archive = selected(package, &[format!("IDF_TARGET={chip}")])?;
        ensure!(TARGETS.contains(&archive.as_str()), "for {chip}: {archive}");
    }
    for chip in XTENSA {
        ensure!(selected(package, &[format!("IDF_TARGET={chip}")]).is_err(), "{chip} is not refused");
    }
    ensure!(ARDUINO.iter().all(|(_, target)| TARGETS.contains(target)), "an archive for Arduino has no target");
    Ok(())
}

/// The target of the archive that the package selects for a configuration.
fn selected(package: &Path, options: &[String]) -> Result<String> {
    let mut cmake = Command::new("cmake");
    cmake.arg(format!("-DPACKAGE={}", package.display())).args(options.iter().map(|option| format!("-D{option}")));
    Ok(succeed(cmake.arg("-P").arg(folder().join("tests/archive.cmake")))?.trim_start_matches("-- ").trim().to_owned())
}

/// Checks that the files exist that the descriptions name, and that Arduino's has its keys.
fn descriptions(package: &Path) -> Result<()> {
    let read = |name: &str| fs::read_to_string(package.join(name)).with_context(|| format!("reading {name}"));
    let module = read("zephyr/module.yml")?;
    for path in ["zephyr", "zephyr/Kconfig", "samples/zephyr"] {
        ensure!(
            module.contains(path) && package.join(path).exists(),
            "zephyr/module.yml must name {path}, which must exist"
        );
    }
    let properties = read("arduino/library.properties")?;
    for key in ["name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures"]
    {
        ensure!(properties.lines().any(|line| line.starts_with(&format!("{key}="))), "library.properties has no {key}");
    }
    for line in ["precompiled=true", "ldflags=-lkinglet", "includes=kinglet.h"] {
        ensure!(properties.lines().any(|each| each == line), "library.properties lacks {line}");
    }
    Ok(())
}

/// Parses the Kconfig file with Zephyr's parser, and packs the component with ESP-IDF's component
/// manager, which checks its description.
fn parsed(package: &Path, models: &Path) -> Result<()> {
    let programs = environment("c", &TOOLS)?;
    let option =
        "import kconfiglib, sys; print(kconfiglib.Kconfig(sys.argv[1]).syms['KINGLET'].type == kconfiglib.BOOL)";
    let mut kconfig = Command::new(programs.join("python"));
    let found = succeed(kconfig.args(["-c", option]).arg(package.join("zephyr/Kconfig")))?;
    ensure!(found.trim() == "True", "zephyr/Kconfig does not define the option KINGLET");
    let mut pack = Command::new(programs.join("compote"));
    pack.args(["component", "pack", "--name", "kinglet", "--dest-dir"]).arg(models.join("component"));
    succeed(pack.current_dir(package)).map(|_| ())
}

/// Builds the sample for Zephyr with a stand-in that runs it on this machine.
fn zephyr(package: &Path, models: &Path) -> Result<()> {
    let build = models.join("zephyr");
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(package.join("samples/zephyr")).arg("-B").arg(&build);
    let stand_in = folder().join("tests");
    for (name, path) in [("Zephyr_DIR", stand_in.as_path()), ("ZEPHYR_EXTRA_MODULES", package), ("MODEL", models)] {
        configure.arg(format!("-D{name}={}", path.display()));
    }
    succeed(&mut configure)?;
    succeed(Command::new("cmake").arg("--build").arg(&build))?;
    let printed = succeed(&mut Command::new(build.join("app")))?;
    ensure!(printed.ends_with(" -> light.set\n"), "the sample for Zephyr prints:\n{printed}");
    Ok(())
}

/// A header with the part of Arduino that the sketch uses.
const ARDUINO_H: &str = "#include <stddef.h>\n#include <stdint.h>\nextern \"C\" size_t strlen(const char *);\n\
    struct Port { void begin(long); size_t write(const uint8_t *, size_t); void println(); void println(int); };\n\
    extern Port Serial;\nvoid delay(unsigned long);\n";

/// Compiles the sketch and the sample for ESP-IDF, as their builds would.
fn sketch(package: &Path, models: &Path) -> Result<()> {
    let out = models.join("sketch");
    fs::create_dir_all(&out)?;
    fs::write(out.join("Arduino.h"), ARDUINO_H)?;
    let files = [
        ("arm-none-eabi-g++", "c++", "arduino/examples/Intents/Intents.ino", &["-include", "Arduino.h"][..]),
        ("gcc", "c", "samples/esp-idf/main/main.c", &[]),
    ];
    for (compiler, language, file, more) in files {
        let mut command = Command::new(compiler);
        command.args(["-Wall", "-Wextra", "-Werror", "-c", "-x", language]).arg(package.join(file)).args(more);
        for folder in [&out, &package.join("arduino/src"), models] {
            command.arg("-I").arg(folder);
        }
        succeed(command.arg("-o").arg(out.join("compiled.o")))?;
    }
    Ok(())
}
