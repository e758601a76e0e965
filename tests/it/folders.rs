//! Compares tokenizers of checkpoint folders with `transformers`.
//! `tests/tokenizers/make_folders.py` writes the folders and the expected tokens.

use std::fs;
use std::path::{Path, PathBuf};

use kinglet::Model;
use kinglet::tokenizer::{EncodeOptions, Tokenizer};
use kinglet_convert::convert::convert;
use kinglet_convert::family::Options;
use kinglet_convert::opened::Source;
use kinglet_convert::tokenizer::{build, describe, encode};
use serde_json::{Value, json};

/// Folders that the converter refuses, with a part of the error.
const REFUSED: [(&str, &str); 6] = [
    ("ctrl", "CTRLTokenizer"),
    ("xlm", "XLMTokenizer"),
    ("modernbert", "modernbert"),
    ("llama as bytes", "llama"),
    ("gemma as bytes", "tokenizer.model"),
    ("mistral strips, not legacy", "legacy"),
];

/// Additional folders for the test on the device: variants of a class that are not a model type's
/// default.
const ON_DEVICE: [&str; 5] =
    ["mistral strips", "mistral unigram", "llama as published", "bert beside added_tokens_decoder", "mbart50"];

fn material() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tokenizers/folders")
}

fn expected() -> Vec<Value> {
    let file = fs::read_to_string(material().join("expected.json")).expect("the file");
    let folders: Vec<Value> = serde_json::from_str(&file).expect("a list");
    assert!(folders.len() >= 190, "only {} folders", folders.len());
    folders
}

fn fill(folder: &Value) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a folder");
    for (name, source) in folder["material"].as_object().expect("files") {
        let source = material().join("material").join(source.as_str().expect("a name"));
        fs::copy(source, directory.path().join(name)).expect("a copy");
    }
    for (name, value) in folder["json"].as_object().expect("files") {
        fs::write(directory.path().join(name), value.to_string()).expect("a file");
    }
    directory
}

/// The texts of a folder: first, second, ids, segments.
fn texts(folder: &Value) -> impl Iterator<Item = (&str, Option<&str>, Vec<u32>, Option<Vec<u32>>)> {
    let ids = |value: &Value| serde_json::from_value(value.clone()).expect("ids");
    let one = move |row: &'_ Value| ids(&row[1]);
    let singles = folder["texts"].as_array().into_iter().flatten();
    let pairs = folder["pairs"].as_array().into_iter().flatten();
    let singles = singles.map(move |row| (row[0].as_str().expect("a text"), None, one(row), None));
    let types = |value: &Value| serde_json::from_value(value.clone()).expect("segments");
    singles.chain(pairs.map(move |row| {
        (
            row[0].as_str().expect("a text"),
            row[1].as_str(),
            serde_json::from_value(row[2].clone()).expect("ids"),
            types(&row[3]),
        )
    }))
}

#[test]
fn every_folder_is_described_as_transformers_reads_it() {
    let (mut tried, mut refused) = (0, 0);
    for folder in expected() {
        let name = folder["name"].as_str().expect("a name");
        let directory = fill(&folder);
        let described = describe(directory.path());
        if let Some((_, part)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
            let error = described.expect_err(name).to_string();
            assert!(error.contains(part) && error.lines().count() == 2, "{name}: {error}");
            refused += 1;
            continue;
        }
        assert!(folder["failed"].is_null(), "{name}: transformers cannot read it");
        let mut description = described.unwrap_or_else(|error| panic!("{name}: {error:?}")).expect("a tokenizer");
        description["version"] = json!("1.0");
        let tokenizer = tokenizers::Tokenizer::from_bytes(description.to_string().as_bytes());
        let mut tokenizer = tokenizer.unwrap_or_else(|error| panic!("{name}: {error}"));
        tokenizer.with_padding(None).with_truncation(None).expect("nothing to cut");
        for (text, pair, ids, segments) in texts(&folder) {
            let found = match pair {
                Some(pair) => tokenizer.encode((text, pair), true),
                None => tokenizer.encode(text, true),
            };
            let found = found.expect("tokens");
            assert_eq!(found.get_ids(), ids, "{name}: {text:?} {pair:?}: {:?}", found.get_tokens());
            if let Some(segments) = segments {
                assert_eq!(found.get_type_ids(), segments, "{name}: segments of {text:?} {pair:?}");
            }
            tried += 1;
        }
    }
    assert_eq!(refused, REFUSED.len());
    assert!(tried > 4000, "only {tried} texts");
}

#[test]
fn a_folder_of_each_class_becomes_the_same_tokens_on_the_device() {
    let mut seen = std::collections::HashSet::new();
    for folder in expected() {
        let name = folder["name"].as_str().expect("a name");
        if (name.contains(' ') && !ON_DEVICE.contains(&name)) || REFUSED.iter().any(|(refused, _)| *refused == name) {
            continue;
        }
        let directory = fill(&folder);
        // Model types of one class share their tokenizer.
        if !seen.insert(describe(directory.path()).expect(name).expect("a tokenizer").to_string()) {
            continue;
        }
        let section = build(directory.path()).expect(name).expect("a tokenizer");
        let tokenizer = Tokenizer::from_bytes(&section).expect("a tokenizer");
        for (text, pair, ids, _) in texts(&folder) {
            let tokens = encode(&tokenizer, text, pair, &EncodeOptions::default()).expect("tokens");
            let found: Vec<u32> = tokens.iter().map(|token| token.id).collect();
            assert_eq!(found, ids, "{name}: {text:?} {pair:?}");
        }
    }
    assert!(seen.len() >= 24, "only {} tokenizers", seen.len());
}

#[test]
fn a_blob_says_what_may_stand_before_a_text() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/bert_sentences");
    let mut source = Source::open(&golden, &Options::default()).expect("a checkpoint");
    let prompts = |source: &Source| {
        let blob = convert(source, &[], None, &|| ()).expect("a blob").blob;
        let model = Model::from_bytes(&blob).expect("a model");
        let list: Vec<(String, String)> = model.prompts().map(|(name, text)| (name.into(), text.into())).collect();
        (model.default_prompt().map(str::to_owned), list)
    };
    assert_eq!(prompts(&source), (None, Vec::new()));
    source.prompts.list = vec![("query".into(), "query: \n".into()), ("passage".into(), String::new())];
    assert_eq!(prompts(&source), (None, source.prompts.list.clone()));
    source.prompts.default = Some("passage".into());
    assert_eq!(prompts(&source), (Some("passage".into()), source.prompts.list.clone()));
}

#[test]
fn static_embeddings_read_a_text_without_special_tokens() {
    for name in ["static_embedding", "static_embedding_model2vec"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
        let section = build(&folder).expect("a tokenizer").expect("it is there");
        let tokenizer = Tokenizer::from_bytes(&section).expect("the section is valid");
        let expected = fs::read_to_string(folder.join("expected.json")).expect("the file");
        let expected: Value = serde_json::from_str(&expected).expect("JSON");
        for input in expected["inputs"].as_array().expect("a list") {
            let text = input["text"].as_str().expect("a text");
            let tokens = encode(&tokenizer, text, None, &EncodeOptions::default()).expect("tokens");
            assert_eq!(json!(tokens.iter().map(|token| token.id).collect::<Vec<_>>()), input["ids"], "{name}: {text}");
        }
    }
}
