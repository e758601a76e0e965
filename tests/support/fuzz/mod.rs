//! What is fuzzed: functions of any bytes that panic where a promise is broken.
//!
//! The programs in `fuzz/` call them with inputs that libFuzzer finds; `tests/it/fuzz.rs` calls
//! them with a fixed number of inputs made of seeds, and with every input that ever showed a fault.

mod checkpoints;
mod models;
mod mutate;
mod tokenizers;

pub use models::use_model;
pub use mutate::Mutator;

/// A function of any bytes, with inputs to begin from.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of the program in `fuzz/`.
    pub name: &'static str,
    /// Panics where a promise is broken.
    pub run: fn(&[u8]),
    /// Inputs that lead far into the code; none where any bytes do.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub const TARGETS: [Target; 12] = [
    Target { name: "model", run: models::model, seeds: Vec::new },
    Target { name: "blob", run: models::blob, seeds: Vec::new },
    Target { name: "bytes", run: models::bytes, seeds: models::blobs },
    Target { name: "tables", run: tokenizers::tables, seeds: Vec::new },
    Target { name: "section", run: tokenizers::section_bytes, seeds: tokenizers::sections },
    Target { name: "text", run: tokenizers::text, seeds: tokenizers::texts },
    Target { name: "tokenizer_json", run: tokenizers::json, seeds: tokenizers::files },
    Target { name: "sentence_piece", run: tokenizers::sentence_piece, seeds: tokenizers::sentence_pieces },
    Target { name: "config", run: checkpoints::config, seeds: checkpoints::configs },
    Target { name: "generation_config", run: checkpoints::generation_config, seeds: checkpoints::generation_configs },
    Target { name: "safetensors", run: checkpoints::safetensors, seeds: checkpoints::all_safetensors },
    Target { name: "pickle", run: checkpoints::pickle, seeds: checkpoints::pickles },
];

/// The target of this name.
///
/// # Panics
/// When there is none.
pub fn target(name: &str) -> Target {
    TARGETS.into_iter().find(|target| target.name == name).unwrap_or_else(|| panic!("no target {name}"))
}

impl Target {
    /// Runs `count` inputs of a seed: equal ones each time.
    pub fn run_seeded(&self, seed: u64, count: u64) {
        let mut mutator = Mutator::new(seed, (self.seeds)());
        for _ in 0..count {
            (self.run)(&mutator.input());
        }
    }
}
