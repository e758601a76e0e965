//! `kinglet export`: a blob as source code for firmware.

use core::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use kinglet::format::blob::{CHECKSUM_LEN, checksum};
use kinglet::tokenizer::Tokenizer;
use kinglet::tokenizer::section::Uses;
use kinglet::{MemoryPlan, Model};
use kinglet_convert::convert::write_atomically;
use kinglet_convert::report::memory;
use kinglet_convert::source::expression;

use super::engine::{open, read_blob};
use super::output;

/// Write a blob as a module for Rust firmware, or as a header and an array for C.
#[derive(Args, Debug)]
pub(crate) struct Export {
    /// The blob.
    model: PathBuf,
    /// Write the blob and a module beside it, of the same name, to this folder: the model and its tokenizer as constants, sizes and labels.
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
            let name = self.model.file_name().and_then(|name| name.to_str());
            let name = name.with_context(|| format!("{} has a name that is no text", self.model.display()))?;
            let module = self.model.file_stem().and_then(|stem| stem.to_str()).unwrap_or(name);
            self.write(folder, name, &blob)?;
            self.write(folder, &format!("{}.rs", identifier(module)), rust(&blob, &model, name, tokens)?.as_bytes())?;
        }
        if let Some(folder) = &self.c {
            self.write(folder, "model.h", header(&model, blob.len(), tokens, arena).as_bytes())?;
            self.write(folder, "model.c", array(&blob).as_bytes())?;
        }
        Ok(())
    }

    /// Writes a file, unless it is there already as it should be.
    fn write(&self, folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let path = folder.join(name);
        if fs::read(&path).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        write_atomically(&path, bytes, self.force)?;
        output::line(&format!("wrote {}", path.display()))
    }
}

/// A name as modules have it.
fn identifier(name: &str) -> String {
    let mut identifier = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    if identifier.starts_with(|c: char| c.is_ascii_digit()) {
        identifier.insert(0, '_');
    }
    identifier
}

/// A module that embeds the blob beside it, with the model and the tokenizer as constants.
fn rust(blob: &[u8], model: &Model<'_>, name: &str, tokens: usize) -> Result<String> {
    let checksum = checksum(&blob[..blob.len() - CHECKSUM_LEN]);
    let (manifest, places) = (expression(model.manifest())?, model.places());
    let mut text = format!(
        "/// The blob of {}, aligned as it must be. `kinglet export` wrote this module.\n\
         pub const BLOB: &[u8] = kinglet::include_model!({name:?});\n\
         /// The longest text, in tokens.\n\
         pub const MAX_TOKENS: usize = {tokens};\n\
         /// Bytes of arena that a session needs.\n\
         pub const ARENA: usize = kinglet::arena_bytes(BLOB, MAX_TOKENS);\n\
         /// The model, which was checked when this was written: it takes no memory, and no time when the program starts.\n\
         pub static MODEL: kinglet::Model<'static> = {{\n\
         use kinglet::format::{{blob::*, spec::*}};\n\
         kinglet::Model::from_export(BLOB, {checksum:#010x}, {manifest}, {places:?})\n\
         }};\n",
        model.manifest().provenance.source.escape_default()
    );
    if !model.tokenizer_section().is_empty() {
        let tokenizer = Tokenizer::from_bytes(model.tokenizer_section())?;
        let (header, first) = (expression(tokenizer.header())?, tokenizer.first_of_added());
        let uses = Uses::of(tokenizer.header()).bits();
        _ = writeln!(
            text,
            "/// Its tokenizer, likewise.\n\
             pub static TOKENIZER: kinglet::tokenizer::Tokenizer<'static> = {{\n\
             use kinglet::tokenizer::{{pattern::*, section::*, tables::*, vocabulary::*}};\n\
             kinglet::tokenizer::Tokenizer::from_export(MODEL.tokenizer_section(), {header}, Uses::from_bits({uses:#x}), {first:?})\n\
             }};"
        );
    }
    let labels: Vec<&str> = model.labels().collect();
    if !labels.is_empty() {
        _ = writeln!(
            text,
            "/// What the outputs mean, in order.\npub const LABELS: [&str; {}] = {labels:?};",
            labels.len()
        );
    }
    Ok(prettyplease::unparse(&syn::parse_file(&text).context("what was to be exported is no Rust")?))
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
