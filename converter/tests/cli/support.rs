//! Runs the program, and makes its input.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) fn stories() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/stories")
}

pub(crate) fn kinglet(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kinglet")).args(arguments).output().expect("kinglet runs")
}

/// Runs a command that must succeed, and returns its output.
pub(crate) fn run(arguments: &[&str]) -> String {
    let output = kinglet(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Runs a command that prints one JSON object and nothing else.
pub(crate) fn run_json(arguments: &[&str]) -> Value {
    serde_json::from_str(&run(arguments)).expect("one JSON object")
}

/// Runs a command that must fail with one line about what is wrong and one about what to do, and
/// returns both.
pub(crate) fn refused(arguments: &[&str]) -> String {
    let output = kinglet(arguments);
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(!output.status.success(), "{arguments:?} succeeded");
    assert!(
        output.stdout.is_empty() && said.starts_with("error: ") && said.lines().count() == 2,
        "{arguments:?}: {said}"
    );
    said
}

/// A folder with the blob of the story teller.
pub(crate) fn converted() -> (TempDir, String) {
    let folder = TempDir::new().expect("a folder");
    let blob = path(&folder, "stories.kinglet");
    run(&["convert", text(&stories()), "-o", &blob]);
    (folder, blob)
}

pub(crate) fn path(folder: &TempDir, name: &str) -> String {
    text(&folder.path().join(name)).to_owned()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

/// A copy of the checkpoint that a test may corrupt.
pub(crate) fn copy_of_stories() -> TempDir {
    copy_of("stories")
}

/// A copy of a checkpoint that ships, with the files that Hugging Face's tools would write.
pub(crate) fn copy_of(model: &str) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for name in ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(stories().join("..").join(model).join(name), folder.path().join(name)).expect("a copy");
    }
    folder
}

pub(crate) fn change_config(folder: &TempDir, key: &str, value: Value) {
    let file = folder.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).expect("config.json")).expect("JSON");
    config[key] = value;
    fs::write(&file, config.to_string()).expect("a changed config.json");
}

/// A blob that the firmware examples embed.
pub(crate) fn shipped(name: &str) -> String {
    text(&Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../firmware-examples/common/models/{name}.kinglet")))
        .to_owned()
}
