//! The fuzz targets: functions of arbitrary bytes that panic if a promise is broken.
//!
//! The programs in `fuzz/` call them with inputs that libFuzzer finds; `tests/it/fuzz.rs` calls
//! them with a fixed number of inputs generated from seeds, and with the inputs that once showed a
//! fault.

mod checkpoints;
mod lines;
mod models;
mod mutate;
mod tokenizers;

pub use models::use_model;
pub use mutate::Mutator;

/// A function of arbitrary bytes, with initial inputs.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of the target and of the program in `fuzz/`.
    pub name: &'static str,
    /// Panics if a promise is broken.
    pub run: fn(&[u8]),
    /// Initial inputs that reach deep into the code; none if arbitrary bytes do.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: [Target; 13] = [
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
    Target { name: "json_lines", run: lines::json_lines, seeds: lines::files },
];

/// The target with a name.
///
/// # Panics
/// If there is none.
pub fn target(name: &str) -> Target {
    TARGETS.into_iter().find(|target| target.name == name).unwrap_or_else(|| panic!("no target {name}"))
}

impl Target {
    /// Runs `count` inputs generated from a seed, which are equal in every run.
    pub fn run_seeded(&self, seed: u64, count: u64) {
        let mut mutator = Mutator::new(seed, (self.seeds)());
        for _ in 0..count {
            (self.run)(&mutator.input());
        }
    }
}
