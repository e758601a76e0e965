//! `kinglet export`: a blob as source code for firmware.

use core::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use kinglet::{MemoryPlan, Model};
use kinglet_convert::convert::write_atomically;
use kinglet_convert::report::memory;

use super::engine::{open, read_blob};
use super::output;

/// Write a blob as a module for Rust firmware, or as a header and an array for C.
#[derive(Args, Debug)]
pub(crate) struct Export {
    /// The blob.
    model: PathBuf,
    /// Write `model.kinglet` and `model.rs` to this folder: the blob, its sizes and its labels.
    #[arg(long, value_name = "DIR", required_unless_present = "c")]
    rust: Option<PathBuf>,
    /// Write `model.h` and `model.c` to this folder.
    #[arg(long, value_name = "DIR")]
    c: Option<PathBuf>,
    /// The longest text, which the arena's size is told for; by default as many tokens as the model takes, up to 128.
    #[arg(long)]
    tokens: Option<usize>,
    /// Write over files that are there.
    #[arg(long)]
    force: bool,
}

impl Export {
    pub(crate) fn run(self) -> Result<()> {
        let blob = read_blob(&self.model)?;
        let model = open(&blob)?;
        let spec = model.spec();
        let longest = memory(spec)?.iter().map(|memory| memory.tokens).max().unwrap_or(1);
        let tokens = self.tokens.unwrap_or_else(|| longest.min(128));
        let arena = MemoryPlan::standard(spec, tokens)?.bytes();
        if let Some(folder) = &self.rust {
            self.write(folder, "model.kinglet", &blob)?;
            self.write(folder, "model.rs", rust(&model, tokens).as_bytes())?;
        }
        if let Some(folder) = &self.c {
            self.write(folder, "model.h", header(&model, blob.len(), tokens, arena).as_bytes())?;
            self.write(folder, "model.c", array(&blob).as_bytes())?;
        }
        Ok(())
    }

    fn write(&self, folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let path = folder.join(name);
        write_atomically(&path, bytes, self.force)?;
        output::line(&format!("wrote {}", path.display()))
    }
}

/// A module that embeds the blob beside it.
fn rust(model: &Model<'_>, tokens: usize) -> String {
    let mut text = format!(
        "//! {}, as `kinglet export` wrote it.\n\n\
         /// The blob, aligned as it must be.\n\
         pub const MODEL: &[u8] = kinglet::include_model!(\"model.kinglet\");\n\
         /// The longest text, in tokens.\n\
         pub const MAX_TOKENS: usize = {tokens};\n\
         /// Bytes of arena that a session needs.\n\
         pub const ARENA: usize = kinglet::arena_bytes(MODEL, MAX_TOKENS);\n",
        model.manifest().provenance.source.escape_default()
    );
    let labels: Vec<&str> = model.labels().collect();
    if !labels.is_empty() {
        _ = writeln!(text, "/// What the outputs mean, in order.\npub const LABELS: [&str; {}] = [", labels.len());
        labels.iter().for_each(|label| _ = writeln!(text, "    {label:?},"));
        text.push_str("];\n");
    }
    text
}

fn header(model: &Model<'_>, bytes: usize, tokens: usize, arena: u64) -> String {
    let source = model.manifest().provenance.source.replace("*/", "");
    let mut text = format!(
        "/* {source}, as kinglet export wrote it. */\n#ifndef KINGLET_MODEL_H\n#define KINGLET_MODEL_H\n\n#include <stdint.h>\n\n\
         #define KINGLET_MODEL_BYTES {bytes}u\n#define KINGLET_MODEL_MAX_TOKENS {tokens}u\n\
         /* Of memory at a 16-byte boundary. */\n#define KINGLET_MODEL_ARENA_BYTES {arena}u\n\
         extern const uint8_t kinglet_model[KINGLET_MODEL_BYTES];\n"
    );
    let labels: Vec<String> = model.labels().map(|label| format!("{:?}", label)).collect();
    if !labels.is_empty() {
        _ = writeln!(text, "#define KINGLET_MODEL_LABELS {{ {} }}", labels.join(", "));
    }
    text + "\n#endif\n"
}

fn array(blob: &[u8]) -> String {
    let mut text = String::from(
        "#include \"model.h\"\n\n__attribute__((aligned(16))) const uint8_t kinglet_model[KINGLET_MODEL_BYTES] = {\n",
    );
    for line in blob.chunks(24) {
        line.iter().for_each(|byte| _ = write!(text, "{byte},"));
        text.push('\n');
    }
    text + "};\n"
}
