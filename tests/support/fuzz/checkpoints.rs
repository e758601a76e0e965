//! Fuzz targets for checkpoints: one file of a folder is the input. The converter must refuse the
//! folder, or write a blob that passes the runtime's checks.

use core::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use kinglet::Model;
use kinglet_convert::convert::convert;
use kinglet_convert::family::Options;
use kinglet_convert::opened::Source;
use tempfile::TempDir;

/// Small golden checkpoints of different kinds.
const CASES: [&str; 10] = [
    "bert_classifier",
    "gpt2",
    "llama",
    "mt5",
    "gemma2",
    "deberta_v2",
    "mobilebert",
    "gpt_neox",
    "bart",
    "albert_masked",
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Writes `bytes` to a file of a temporary folder, and returns the folder. Each thread has one
/// folder for each kind, which `prepare` fills when it is new.
pub(super) fn with_file(kind: &str, file: &str, bytes: &[u8], prepare: impl FnOnce(&Path)) -> PathBuf {
    thread_local! {
        static FOLDERS: RefCell<BTreeMap<String, TempDir>> = const { RefCell::new(BTreeMap::new()) };
    }
    FOLDERS.with_borrow_mut(|folders| {
        let directory = folders.entry(kind.to_owned()).or_insert_with(|| {
            // In memory if possible, because a disk is slow.
            let memory = Path::new("/dev/shm");
            let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
            let directory = directory.expect("a folder");
            prepare(directory.path());
            directory
        });
        fs::write(directory.path().join(file), bytes).expect("memory");
        directory.path().to_owned()
    })
}

/// Opens and converts the folder of a case, in which one file is replaced by `bytes`.
fn open(case: &str, file: &str, bytes: &[u8]) {
    let directory = with_file(&format!("{case} {file}"), file, bytes, |directory| {
        let weights = if file == "pytorch_model.bin" { None } else { Some("model.safetensors") };
        for name in ["config.json", "generation_config.json"].into_iter().chain(weights) {
            let from = folder("golden").join(case).join(name);
            if name != file && from.exists() {
                fs::copy(from, directory.join(name)).expect("memory");
            }
        }
    });
    match Source::open(&directory, &Options::default()).and_then(|source| convert(&source, &[], None, &|| ())) {
        Ok(converted) => {
            Model::from_bytes(&converted.blob).expect("what the converter writes is valid");
        }
        Err(error) => {
            let said = format!("{error:#}");
            assert!(!said.is_empty() && said.len() < 1 << 20, "an error of {} bytes", said.len());
        }
    }
}

fn with_case(bytes: &[u8], file: &str) {
    if let Some((first, rest)) = bytes.split_first() {
        open(CASES[usize::from(*first) % CASES.len()], file, rest);
    }
}

/// The first byte selects the checkpoint, the rest is its `config.json`.
pub(super) fn config(bytes: &[u8]) {
    with_case(bytes, "config.json");
}

/// The first byte selects the checkpoint, the rest is its `generation_config.json`.
pub(super) fn generation_config(bytes: &[u8]) {
    with_case(bytes, "generation_config.json");
}

/// The first byte selects the checkpoint, the rest is its `model.safetensors`.
pub(super) fn safetensors(bytes: &[u8]) {
    with_case(bytes, "model.safetensors");
}

/// The bytes are `pytorch_model.bin`.
pub(super) fn pickle(bytes: &[u8]) {
    open("gpt2", "pytorch_model.bin", bytes);
}

fn of_cases(file: &str) -> Vec<Vec<u8>> {
    let cases = (0..).zip(CASES).filter_map(|(index, case)| {
        let bytes = fs::read(folder("golden").join(case).join(file)).ok()?;
        Some([&[index], bytes.as_slice()].concat())
    });
    cases.collect()
}

pub(super) fn configs() -> Vec<Vec<u8>> {
    of_cases("config.json")
}

pub(super) fn generation_configs() -> Vec<Vec<u8>> {
    let keys = serde_json::json!({
        "bos_token_id": 1, "eos_token_id": [2, 3], "pad_token_id": 0, "decoder_start_token_id": 0, "num_beams": 4,
        "length_penalty": 0.6, "early_stopping": true, "no_repeat_ngram_size": 3, "min_length": 2, "max_length": 20,
        "repetition_penalty": 1.2, "bad_words_ids": [[4, 5]], "suppress_tokens": [6], "begin_suppress_tokens": [7],
        "forced_bos_token_id": 1, "forced_eos_token_id": 2
    });
    (0..CASES.len() as u8).map(|index| [&[index], keys.to_string().as_bytes()].concat()).collect()
}

pub(super) fn all_safetensors() -> Vec<Vec<u8>> {
    of_cases("model.safetensors")
}

pub(super) fn pickles() -> Vec<Vec<u8>> {
    let files = ["gpt2_bare/pytorch_model.bin", "views/zip.bin", "views/pickles.bin"];
    files.map(|file| fs::read(folder("torch").join(file)).expect("a file")).to_vec()
}
