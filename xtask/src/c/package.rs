//! The package of the C library: a folder that CMake, Zephyr, ESP-IDF and Arduino can use directly.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::archive::{TARGETS, archive, folder, succeed};
use crate::cargo::target_folder;
use crate::programs::folder_of;

/// The folders in which Arduino looks for the archive of a core and calling convention, and the
/// targets of these archives.
const ARDUINO: [(&str, &str); 9] = [
    ("cortex-m0plus", "thumbv6m-none-eabi"),
    ("cortex-m3", "thumbv7m-none-eabi"),
    ("cortex-m4", "thumbv7em-none-eabi"),
    ("cortex-m4/fpv4-sp-d16-softfp", "thumbv7em-none-eabi"),
    ("cortex-m4/fpv4-sp-d16-hard", "thumbv7em-none-eabihf"),
    ("cortex-m7/fpv5-d16-softfp", "thumbv7em-none-eabi"),
    ("cortex-m33", "thumbv8m.main-none-eabi"),
    ("cortex-m33/fpv5-sp-d16-hard", "thumbv8m.main-none-eabihf"),
    ("esp32c3", "riscv32imc-unknown-none-elf"),
];

/// Writes the package with the archives for `targets`, and returns its path.
pub(crate) fn write(targets: &[&str]) -> Result<PathBuf> {
    let package = PathBuf::from(target_folder("c/kinglet"));
    copy(&folder().join("package"), &package)?;
    let header = folder().join("include/kinglet.h");
    for place in ["include", "arduino/src"] {
        fs::create_dir_all(package.join(place))?;
        fs::copy(&header, package.join(place).join("kinglet.h"))?;
    }
    for target in targets {
        let from = archive(target, "")?;
        let places = ARDUINO.iter().filter(|(_, of)| of == target).map(|(place, _)| format!("arduino/src/{place}"));
        for place in [format!("lib/{target}")].into_iter().chain(places) {
            fs::create_dir_all(package.join(&place))?;
            fs::copy(&from, package.join(&place).join("libkinglet.a"))?;
        }
    }
    Ok(package)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        if path.is_dir() {
            copy(&path, &to.join(name))?;
        } else {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// A CMake project that uses the package as a subdirectory or through `find_package`.
const PROJECT: &str = r#"cmake_minimum_required(VERSION 3.13)
project(firmware C)
if(AS_SUBDIRECTORY)
    add_subdirectory(${PACKAGE} kinglet)
else()
    find_package(kinglet REQUIRED CONFIG PATHS ${PACKAGE} NO_DEFAULT_PATH)
endif()
add_executable(firmware ${SAMPLE}/intents.c ${SAMPLE}/port/port.c ${SAMPLE}/port/host.c ${MODELS}/home_intent.c)
target_include_directories(firmware PRIVATE ${MODELS} ${SAMPLE})
target_link_libraries(firmware PRIVATE kinglet::kinglet)
"#;

/// Builds and runs a program with both CMake methods, and checks the descriptions for Zephyr, ESP-IDF
/// and Arduino.
pub(crate) fn check(models: &Path) -> Result<()> {
    let package = write(&["x86_64-unknown-linux-gnu"])?;
    let wanted = fs::read_to_string(folder_of("expected").join("classify.txt"))?;
    let project = models.join("cmake");
    fs::create_dir_all(&project)?;
    fs::write(project.join("CMakeLists.txt"), PROJECT)?;
    for way in ["OFF", "ON"] {
        let build = project.join(way);
        let mut configure = Command::new("cmake");
        configure.arg("-S").arg(&project).arg("-B").arg(&build).arg(format!("-DAS_SUBDIRECTORY={way}"));
        let sample = folder().join("sample");
        for (name, path) in [("PACKAGE", package.as_path()), ("SAMPLE", &sample), ("MODELS", models)] {
            configure.arg(format!("-D{name}={}", path.display()));
        }
        succeed(&mut configure)?;
        succeed(Command::new("cmake").arg("--build").arg(&build))?;
        let printed = succeed(&mut Command::new(build.join("firmware")))?;
        ensure!(printed == wanted, "through CMake (subdirectory: {way}) the sample prints:\n{printed}");
    }
    structure(&package)?;
    sketch(&package, models)
}

/// Checks that the files and archives named in the package's descriptions exist.
fn structure(package: &Path) -> Result<()> {
    let read = |name: &str| fs::read_to_string(package.join(name)).with_context(|| format!("reading {name}"));
    let module = read("zephyr/module.yml")?;
    for path in ["zephyr", "zephyr/Kconfig", "samples/zephyr"] {
        ensure!(
            module.contains(path) && package.join(path).exists(),
            "zephyr/module.yml must name {path}, which must exist"
        );
    }
    ensure!(read("zephyr/Kconfig")?.contains("config KINGLET\n"), "zephyr/Kconfig lacks the option");
    ensure!(read("samples/zephyr/prj.conf")?.contains("CONFIG_KINGLET=y"), "the sample does not set the option");
    for name in ["zephyr/CMakeLists.txt", "CMakeLists.txt"] {
        for line in read(name)?.lines().filter_map(|line| line.trim().strip_prefix("set(kinglet_archive ")) {
            let target = line.trim_end_matches(')');
            ensure!(TARGETS.contains(&target), "{name} names {target}, for which there is no archive");
        }
    }
    let properties = read("arduino/library.properties")?;
    for key in ["name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures"]
    {
        ensure!(properties.lines().any(|line| line.starts_with(&format!("{key}="))), "library.properties has no {key}");
    }
    ensure!(properties.contains("precompiled=true"), "library.properties does not set precompiled");
    ensure!(ARDUINO.iter().all(|(_, target)| TARGETS.contains(target)), "an archive for Arduino has no target");
    Ok(())
}

/// A header with the part of Arduino that the sketch uses.
const ARDUINO_H: &str = "#include <stddef.h>\n#include <stdint.h>\nextern \"C\" size_t strlen(const char *);\n\
    struct Port { void begin(long); size_t write(const uint8_t *, size_t); void println(); void println(int); };\n\
    extern Port Serial;\nvoid delay(unsigned long);\n";

/// Compiles the sketch and the samples, as the builds of Arduino, Zephyr and ESP-IDF would.
fn sketch(package: &Path, models: &Path) -> Result<()> {
    let out = models.join("sketch");
    fs::create_dir_all(&out)?;
    fs::write(out.join("Arduino.h"), ARDUINO_H)?;
    let files = [
        ("arm-none-eabi-g++", "c++", "arduino/examples/Intents/Intents.ino", &["-include", "Arduino.h"][..]),
        ("gcc", "c", "samples/zephyr/src/main.c", &[]),
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
