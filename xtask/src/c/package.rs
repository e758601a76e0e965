//! The package of the C library: a folder that CMake, Zephyr, ESP-IDF and Arduino can use directly.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use super::archive::{ARDUINO, archive, folder, succeed};
use super::systems;
use crate::cargo::target_folder;
use crate::programs::folder_of;

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

/// Builds and runs a program with both CMake methods, and checks the package as far as Zephyr,
/// ESP-IDF and Arduino can be had here.
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
    systems::check(&package, models)
}
