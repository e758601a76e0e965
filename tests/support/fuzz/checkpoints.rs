//! Fuzz targets for checkpoints: one file of a folder is the input. The converter must refuse the
//! folder, or write a blob that passes the runtime's checks.

use std::fs;
use std::path::{Path, PathBuf};

use kinglet::Model;
use kinglet_convert::convert::convert;
use kinglet_convert::family::Options;
use kinglet_convert::opened::Source;

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

/// A temporary folder, in memory if possible, because a disk is slow.
pub(super) fn memory_folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a folder")
}

/// Opens and converts the folder of a case, in which one file is replaced by `bytes`.
fn open(case: &str, file: &str, bytes: &[u8]) {
    let directory = memory_folder();
    for name in ["config.json", "generation_config.json", "model.safetensors"] {
        let from = folder("golden").join(case).join(name);
        if name != file && from.exists() {
            fs::copy(from, directory.path().join(name)).expect("memory");
        }
    }
    fs::write(directory.path().join(file), bytes).expect("memory");
    if file == "pytorch_model.bin" {
        fs::remove_file(directory.path().join("model.safetensors")).expect("it was copied");
    }
    match Source::open(directory.path(), &Options::default()).and_then(|source| convert(&source, &[], None, &|| ())) {
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
