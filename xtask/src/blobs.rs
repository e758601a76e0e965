//! Checks that converting the models that ship yields the blobs that the firmware examples embed.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cargo::{kinglet, kinglet_output, root};
use crate::programs::folder_of;

/// The checkpoints that ship, the names of their blobs, and the options of their conversion.
const BLOBS: [(&str, &str, &[&str]); 7] = [
    ("models/stories", "stories", &["--keys", "16"]),
    ("models/stories-backward", "stories-backward", &["--keys", "16"]),
    ("models/home/words", "home-words", IDS),
    ("models/home/intent", "home-intent", IDS),
    ("models/home/slots", "home-slots", IDS),
    ("models/home/command", "home-command", IDS),
    ("models/search", "search", &["--calibration", PHRASES]),
];

/// The prefix of the example `chat`: its model, its name and its text.
const PREFIX: (&str, &str, &str) =
    ("stories", "stories-once", "There was once a kind girl named Mia who liked to play in the forest.");

/// Commands for a home do not resemble the default calibration texts.
const IDS: &[&str] = &["--calibration-ids"];

/// The phrases of the example `search`, one per line.
const PHRASES: &str = "models/search/phrases.txt";

/// The file with the vectors of the phrases.
const VECTORS: &str = "search.vectors";

/// Converts and exports the models that ship. Compares the files with the embedded files of the
/// examples, or replaces these.
pub(crate) fn check(write: bool) -> Result<()> {
    let kept = folder_of("common").join("models");
    let made = if write { kept.clone() } else { root().join("target/models") };
    let folder = made.to_str().context("the path of the project is not UTF-8")?;
    fs::create_dir_all(&made)?;
    for (checkpoint, name, options) in BLOBS {
        let blob = format!("{folder}/{name}.kinglet");
        kinglet(&[&["convert", checkpoint, "--output", &blob, "--force"], options].concat())?;
        kinglet(&["export", &blob, "--rust", folder, "--force"])?;
        compare(&kept, &made, name, "kinglet")?;
    }
    fs::write(made.join(VECTORS), vectors(&format!("{folder}/search.kinglet"))?)?;
    compare_file(&kept, &made, VECTORS)?;
    let (of, name, text) = PREFIX;
    let blob = format!("{folder}/{of}.kinglet");
    kinglet(&["prefix", &blob, "--text", text, "--rust", folder, "--name", name, "--force"])?;
    compare(&kept, &made, name, "prefix")
}

/// Compares a file, and the module that embeds it, with the examples' files.
fn compare(kept: &Path, made: &Path, name: &str, extension: &str) -> Result<()> {
    for file in [format!("{name}.{extension}"), format!("{}.rs", name.replace('-', "_"))] {
        compare_file(kept, made, &file)?;
    }
    Ok(())
}

fn compare_file(kept: &Path, made: &Path, file: &str) -> Result<()> {
    let same = fs::read(kept.join(file))? == fs::read(made.join(file))?;
    ensure!(same, "{file} differs from the conversion of its checkpoint: `cargo xtask blobs --write` replaces it");
    Ok(())
}

/// The vectors of [`PHRASES`] as little-endian Q15.
fn vectors(blob: &str) -> Result<Vec<u8>> {
    let printed = kinglet_output(&["embed", blob, "--input", PHRASES, "--json"])?;
    let mut bytes = Vec::new();
    for line in printed.lines() {
        let answer: Value = serde_json::from_str(line)?;
        for value in answer["embedding"].as_array().context("a line has no vector")? {
            let real = value.as_f64().context("a vector is not a list of numbers")?;
            bytes.extend(((real * 32_767.0).round() as i16).to_le_bytes());
        }
    }
    Ok(bytes)
}
