//! Shared code of the integration tests.

pub mod fuzz;
pub mod tiny;

use std::fs;
use std::path::{Path, PathBuf};

use kinglet_convert::convert::{Converted, convert};
use kinglet_convert::family::Options;
use kinglet_convert::opened::Source;
use serde_json::Value;

/// A golden case: a checkpoint, and the results of `transformers` for it.
#[derive(Debug)]
pub struct Golden {
    /// The folder's name.
    pub name: String,
    /// The checkpoint.
    pub folder: PathBuf,
    /// The language embedding that it is run with, if it has any.
    pub language: Option<u32>,
    /// The inputs, with expected results.
    pub inputs: Vec<Expected>,
}

/// An input and its expected results.
#[derive(Debug, Default)]
pub struct Expected {
    /// The token ids of the first stack.
    pub ids: Vec<u32>,
    /// The token types (segments) of these tokens.
    pub token_types: Vec<u32>,
    /// The token ids of an encoder-decoder's decoder.
    pub decoder_ids: Vec<u32>,
    /// The head's outputs, row by row.
    pub rows: Vec<Vec<f32>>,
    /// The result of greedy decoding.
    pub generated: Vec<u32>,
    /// The results of beam search with their scores, best first, one per beam.
    pub beams: Vec<(Vec<u32>, f32)>,
    /// Results of `generate` with options: objects with the options, as `transformers` names them,
    /// and the `sequence`.
    pub searches: Vec<Value>,
}

/// All golden cases, in the order of their names.
///
/// # Panics
/// If a case cannot be read.
pub fn golden_cases() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let entries = fs::read_dir(&folder).expect("the golden folder is there");
    let folders =
        entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.join("expected.json").exists());
    let mut cases: Vec<Golden> = folders.map(|folder| read_case(&folder)).collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(cases.len() >= 17, "only {} golden cases were found", cases.len());
    cases
}

fn read_case(folder: &Path) -> Golden {
    let text = fs::read_to_string(folder.join("expected.json")).expect("expected.json can be read");
    let expected: Value = serde_json::from_str(&text).expect("expected.json is JSON");
    let inputs = expected["inputs"].as_array().expect("a list of inputs").iter().map(read_input).collect();
    let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
    let language = expected["language"].as_u64().map(|language| language as u32);
    Golden { name, folder: folder.to_owned(), language, inputs }
}

fn read_input(value: &Value) -> Expected {
    let ids = |key: &str| -> Vec<u32> { serde_json::from_value(value[key].clone()).unwrap_or_default() };
    let row = |key: &str| -> Vec<f32> { serde_json::from_value(value[key].clone()).unwrap_or_default() };
    let rows = |key: &str| -> Vec<Vec<f32>> { serde_json::from_value(value[key].clone()).unwrap_or_default() };
    let mut found = [rows("logits"), rows("hidden")].concat();
    found.extend(Some(row("embedding")).filter(|vector| !vector.is_empty()));
    found.extend(row("start_logits").into_iter().zip(row("end_logits")).map(|(start, end)| vec![start, end]));
    assert!(!found.is_empty(), "an input without anything expected of it");
    Expected {
        ids: ids("ids"),
        token_types: ids("token_type_ids"),
        decoder_ids: ids("decoder_ids"),
        rows: found,
        generated: ids("generated"),
        beams: read_beams(&value["beams"]),
        searches: value["searches"].as_array().cloned().unwrap_or_default(),
    }
}

fn read_beams(value: &Value) -> Vec<(Vec<u32>, f32)> {
    let sequences: Vec<Vec<u32>> = serde_json::from_value(value["sequences"].clone()).unwrap_or_default();
    let scores: Vec<f32> = serde_json::from_value(value["scores"].clone()).unwrap_or_default();
    assert_eq!(sequences.len(), scores.len(), "a score for each text");
    sequences.into_iter().zip(scores).collect()
}

impl Golden {
    /// The default options for converting the case.
    pub fn options(&self) -> Options {
        Options { language: self.language, ..Options::default() }
    }

    /// Opens the checkpoint.
    ///
    /// # Panics
    /// If that fails.
    pub fn open(&self) -> Source {
        self.open_with(&self.options())
    }

    /// Opens the checkpoint.
    ///
    /// # Panics
    /// If that fails.
    pub fn open_with(&self, options: &Options) -> Source {
        Source::open(&self.folder, options).unwrap_or_else(|error| panic!("{}: {error:?}", self.name))
    }

    /// Opens and converts the checkpoint.
    ///
    /// # Panics
    /// If that fails.
    pub fn convert(&self, options: &Options) -> (Source, Converted) {
        let source = self.open_with(options);
        let converted = convert(&source, &[], None, &|| ()).unwrap_or_else(|error| panic!("{}: {error:?}", self.name));
        (source, converted)
    }
}
