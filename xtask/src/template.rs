//! Creates projects from the firmware template, and builds them.

use std::path::{Path, PathBuf};
use std::{env, fs, process};

use anyhow::{Context, Result, ensure};

use crate::boards::{self, Boot, Memory};
use crate::cargo::{cargo_in, kinglet, root, target_folder};
use crate::programs::{FIRMWARE, folder_of};

/// The start addresses of flash and RAM in both projects.
const FLASH_START: u64 = 0x0800_0000;
const RAM_START: u64 = 0x2000_0000;

/// Follows the steps of a new user in a temporary folder: creates a project from the template,
/// exports a blob into it, and builds it.
pub(crate) fn check() -> Result<()> {
    const ANSWERS: [(&str, &str, &str, &str, &str); 2] = [
        ("stories", "STM32F446RETx", "thumbv7em-none-eabihf", "512K", "128K"),
        ("home-intent", "nRF5340_xxAA", "thumbv8m.main-none-eabihf", "1M", "512K"),
    ];
    let (from, made) = (folder_of("template"), env::temp_dir().join(format!("kinglet-template-{}", process::id())));
    let questions = fs::read_to_string(from.join("cargo-generate.toml"))?;
    let questions: Vec<&str> = questions.lines().filter_map(|line| line.strip_prefix("[placeholders.")).collect();
    let dependency = format!("path = {:?}", where_kinglet_is(&root().join("my-project"))?);
    let [flash_start, ram_start] = [FLASH_START, RAM_START].map(|start| format!("{start:#010x}"));
    for (model, chip, target, flash, ram) in ANSWERS {
        let answers = [
            ("project-name", "newcomer"),
            ("chip", chip),
            ("target", target),
            ("flash_start", &flash_start),
            ("flash", flash),
            ("ram_start", &ram_start),
            ("ram", ram),
            ("kinglet", &dependency),
        ];
        for question in &questions {
            let name = question.trim_end_matches(']');
            ensure!(
                answers.iter().any(|(answer, _)| *answer == name),
                "the template asks for {name}, which has no answer here"
            );
        }
        for file in
            [".cargo/config.toml", "Cargo.toml", "README.md", "build.rs", "memory.x", "src/main.rs"].map(Path::new)
        {
            let text = fs::read_to_string(from.join(file)).with_context(|| format!("reading {}", file.display()))?;
            let filled =
                answers.iter().fold(text, |text, (name, answer)| text.replace(&format!("{{{{{name}}}}}"), answer));
            ensure!(!filled.contains("{{"), "{} has a placeholder without a question", file.display());
            let to = made.join(file);
            fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
            fs::write(to, filled)?;
        }
        let blob = made.join("model.kinglet");
        fs::copy(folder_of("common").join(format!("models/{model}.kinglet")), &blob)?;
        let (blob, source) = (blob.to_string_lossy(), made.join("src"));
        kinglet(&["export", &blob, "--rust", &source.to_string_lossy(), "--force"])?;
        let out = target_folder(FIRMWARE);
        cargo_in(&made, &["build", "--quiet", "--release", "--target-dir", &out], &[])?;
        let path = format!("{out}/{target}/release/newcomer");
        boards::check(Path::new(&path), &memory(flash, ram)?, Boot::Vectors)?;
        let program = fs::read(path)?;
        let model = fs::read(source.join("model.kinglet"))?;
        let beginning = model.get(..64).context("a blob has a prelude")?;
        ensure!(program.windows(64).any(|bytes| bytes == beginning), "the program does not contain the model");
    }
    fs::remove_dir_all(made)?;
    eprintln!("projects made from the template build");
    Ok(())
}

/// The path of the runtime in the template's default answer, relative to a project.
fn where_kinglet_is(project: &Path) -> Result<PathBuf> {
    let questions = fs::read_to_string(folder_of("template").join("cargo-generate.toml"))?;
    let (_, question) = questions.split_once("[placeholders.kinglet]").context("the template asks for kinglet")?;
    let path = question.lines().find_map(|line| line.strip_prefix("default = 'path = \"")?.strip_suffix("\"'"));
    let path = path.context("the default answer for kinglet is not a path, but kinglet is not on a registry yet")?;
    // The project does not exist, so its `..` cannot be resolved by the file system.
    let path = path.strip_prefix("../").context("the default answer does not lead out of the project")?;
    let path = project.parent().context("a project is in a folder")?.join(path);
    let manifest =
        fs::read_to_string(path.join("Cargo.toml")).context("the path of the default answer does not exist")?;
    ensure!(manifest.contains("name = \"kinglet\""), "the path of the default answer is another crate");
    Ok(path)
}

/// Parses answers such as `512K` and `1M`.
fn memory(flash: &str, ram: &str) -> Result<Memory> {
    let bytes = |answer: &str| -> Result<u64> {
        let (number, unit) = answer.split_at(answer.len() - 1);
        Ok(number.parse::<u64>()? * if unit == "M" { 1 << 20 } else { 1 << 10 })
    };
    Ok(Memory { flash: FLASH_START..FLASH_START + bytes(flash)?, ram: RAM_START..RAM_START + bytes(ram)? })
}
