//! `kinglet export`: write a blob as source code for firmware.

use core::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use kinglet::format::blob::CHECKSUM_LEN;
use kinglet::format::checksum::checksum;
use kinglet::tokenizer::Tokenizer;
use kinglet::tokenizer::section::Uses;
use kinglet::{MemoryPlan, Model};
use kinglet_convert::files::{self, write_atomically};
use kinglet_convert::report::memory;
use kinglet_convert::source::expression;

use super::engine::{open, read_blob};
use super::{number, output};

/// Write a blob as a module for Rust firmware, or as a header and an array for C.
#[derive(Args, Debug)]
pub(crate) struct Export {
    /// The blob.
    model: PathBuf,
    /// Write the blob, and a module with the model and its tokenizer as constants, sizes and
    /// labels, to this folder.
    #[arg(long, value_name = "DIR")]
    rust: Option<PathBuf>,
    /// Write a header and an array, named after the blob, to this folder; for C and C++.
    #[arg(long, value_name = "DIR")]
    c: Option<PathBuf>,
    /// The name of the files and constants, instead of the blob's.
    #[arg(long)]
    name: Option<String>,
    /// The longest text, for which the arena's size is computed; by default as many tokens as the
    /// model takes, up to 128.
    #[arg(long, allow_negative_numbers = true, value_parser = number::at_least_one())]
    tokens: Option<usize>,
    /// Overwrite existing files.
    #[arg(long)]
    force: bool,
}

impl Export {
    pub(crate) fn run(self) -> Result<()> {
        ensure!(
            self.rust.is_some() || self.c.is_some(),
            "nothing to write was asked for\ngive --rust DIR for a module of Rust firmware, --c DIR for a header and an array of C, or both"
        );
        let blob = read_blob(&self.model)?;
        let model = open(&blob)?;
        let spec = model.spec();
        let longest = memory(spec)?.iter().map(|memory| memory.tokens).max().unwrap_or(1);
        let tokens = self.tokens.unwrap_or_else(|| longest.min(128));
        let arena = MemoryPlan::standard(spec, tokens)?.bytes();
        let name = self.name.as_deref().unwrap_or(stem(&self.model)?);
        let module = identifier(name);
        ensure!(
            self.name.is_none() || module == name.replace('-', "_"),
            "\"{name}\" is not an identifier\ngive one of letters, digits and underscores that does not begin with a digit and is not a keyword"
        );
        if let Some(folder) = &self.rust {
            let beside = format!("{name}.kinglet");
            write_source(folder, &beside, &blob, self.force)?;
            write_source(
                folder,
                &format!("{module}.rs"),
                rust(&blob, &model, &beside, tokens)?.as_bytes(),
                self.force,
            )?;
        }
        if let Some(folder) = &self.c {
            let header = header(&model, &module, blob.len(), tokens, arena);
            write_source(folder, &format!("{module}.h"), header.as_bytes(), self.force)?;
            let blob_name = format!("{module}_blob");
            let source = array(&blob, &format!("{module}.h"), &blob_name);
            write_source(folder, &format!("{module}.c"), source.as_bytes(), self.force)?;
        }
        Ok(())
    }
}

/// The name of a file without its extension.
pub(super) fn stem(path: &Path) -> Result<&str> {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    stem.with_context(|| format!("{} has a name that is not text", path.display()))
}

/// Writes a file to a folder, unless it exists with these bytes.
pub(super) fn write_source(folder: &Path, name: &str, bytes: &[u8], force: bool) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let path = folder.join(name);
    if files::read(&path, u64::MAX).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    write_atomically(&path, bytes, force)?;
    output::line(&format!("wrote {}", path.display()))
}

/// A name as an identifier of Rust and C.
fn identifier(name: &str) -> String {
    let mut identifier = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    if identifier.starts_with(|c: char| c.is_ascii_digit()) {
        identifier.insert(0, '_');
    }
    if syn::parse_str::<syn::Ident>(&identifier).is_err() {
        identifier.push('_');
    }
    identifier
}

/// The module name for a given name.
///
/// # Errors
/// When the name is not an identifier.
pub(super) fn module_name(name: &str) -> Result<String> {
    let module = identifier(name);
    ensure!(
        module == name.replace('-', "_"),
        "\"{name}\" is not an identifier\ngive one with --name, of letters, digits and underscores, that does not begin with a digit and is not a keyword"
    );
    Ok(module)
}

/// The source of a module, with a first line that names the command that generated it.
pub(super) fn generated(items: &str, command: &str) -> Result<String> {
    let module = syn::parse_file(items).context("the generated module is not Rust")?;
    // Tools and reviewers skip files whose first line says this.
    Ok(format!("// @generated by `kinglet {command}`\n\n{}", prettyplease::unparse(&module)))
}

/// A Rust module that embeds the blob, with the model and the tokenizer as constants.
fn rust(blob: &[u8], model: &Model<'_>, name: &str, tokens: usize) -> Result<String> {
    let checksum = checksum(&blob[..blob.len() - CHECKSUM_LEN]);
    let (manifest, places) = (expression(model.manifest())?, model.places());
    let mut text = format!(
        "/// The blob of {}, in the alignment that the runtime needs.\n\
         pub const BLOB: &[u8] = kinglet::include_model!({name:?});\n\
         /// The longest text, in tokens.\n\
         pub const MAX_TOKENS: usize = {tokens};\n\
         /// Bytes of arena that a session needs.\n\
         pub const ARENA: usize = kinglet::arena_bytes(BLOB, MAX_TOKENS);\n\
         /// The model, checked when this file was generated: it takes no memory, and no time
         /// when the program starts.\n\
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
            "/// The labels of the outputs, in order.\npub const LABELS: [&str; {}] = {labels:?};",
            labels.len()
        );
    }
    generated(&text, "export")
}

/// The C header of a blob. All names begin with the blob's, so that a program may have several
/// blobs.
fn header(model: &Model<'_>, name: &str, bytes: usize, tokens: usize, arena: u64) -> String {
    let big = name.to_uppercase();
    let source = &model.manifest().provenance.source;
    let source = source.replace(|c: char| !(c.is_ascii_alphanumeric() || " ._-@:".contains(c)), "_");
    let mut text = format!(
        "#define {big}_BLOB_BYTES {bytes}u\n\
         /* The longest text, in tokens. */\n#define {big}_MAX_TOKENS {tokens}u\n\
         /* Memory that a session needs, at a 16-byte boundary. */\n#define {big}_ARENA_BYTES {arena}u\n"
    );
    let special = &model.manifest().tokens;
    for (what, meaning, token) in [
        ("BOS", "begins a text", special.bos),
        ("PAD", "fills up a batch", special.pad),
        ("MASK", "stands for a word to predict", special.mask),
        ("DECODER_START", "begins the output", special.decoder_start),
        ("FORCED_BOS", "must be written first", special.forced_bos),
        ("FORCED_EOS", "must be written last", special.forced_eos),
    ] {
        if let Some(token) = token {
            _ = writeln!(text, "/* The token that {meaning}. */\n#define {big}_TOKEN_{what} {token}u");
        }
    }
    let list = |tokens: &[u32]| tokens.iter().map(|token| format!("{token}u")).collect::<Vec<_>>().join(", ");
    for (what, meaning, tokens) in [
        ("EOS", "that end a text", special.eos.as_slice()),
        ("SUPPRESSED", "that must not be written", &special.suppressed),
        ("SUPPRESSED_FIRST", "that must not be written first", &special.suppressed_first),
    ] {
        if !tokens.is_empty() {
            let count = tokens.len();
            _ = writeln!(text, "/* The tokens {meaning}. */\n#define {big}_TOKENS_{what} {{ {} }}", list(tokens));
            _ = writeln!(text, "#define {big}_TOKENS_{what}_COUNT {count}u");
        }
    }
    let labels: Vec<String> = model.labels().map(literal).collect();
    if !labels.is_empty() {
        let count = labels.len();
        _ = writeln!(
            text,
            "/* The labels of the outputs, in order. */\n#define {big}_LABELS {{ {} }}",
            labels.join(", ")
        );
        _ = writeln!(text, "#define {big}_LABELS_COUNT {count}u");
    }
    let array = format!("/* At a 16-byte boundary. */\nextern const uint8_t {name}_blob[{big}_BLOB_BYTES];\n");
    c_header(name, &format!("{source}, as kinglet export wrote it."), &text, &array)
}

/// A C header for C and C++, which says `about` first. Its definitions are followed by the
/// declaration of an array.
pub(super) fn c_header(name: &str, about: &str, definitions: &str, array: &str) -> String {
    let big = name.to_uppercase();
    format!(
        "/* {about} */\n#ifndef {big}_H\n#define {big}_H\n\n#include <stdint.h>\n\n\
         {definitions}\n#ifdef __cplusplus\nextern \"C\" {{\n#endif\n\n\
         {array}\n#ifdef __cplusplus\n}}\n#endif\n\n#endif\n"
    )
}

/// A C string literal. Bytes outside printable ASCII are octal escapes; question marks are escaped,
/// too, because they may begin a trigraph.
fn literal(text: &str) -> String {
    let mut literal = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' | b'?' => _ = write!(literal, "\\{}", char::from(byte)),
            b' '..=b'~' => literal.push(char::from(byte)),
            _ => _ = write!(literal, "\\{byte:03o}"),
        }
    }
    literal + "\""
}

/// C source that defines the bytes that a header declares as the array `name`.
pub(super) fn array(bytes: &[u8], header: &str, name: &str) -> String {
    let mut text = format!(
        "#include \"{header}\"\n\n\
         #if defined(__GNUC__)\n#define ALIGNED __attribute__((aligned(16)))\n\
         #elif defined(__cplusplus)\n#define ALIGNED alignas(16)\n\
         #else\n#define ALIGNED _Alignas(16)\n#endif\n\n\
         ALIGNED const uint8_t {name}[{}_BYTES] = {{\n",
        name.to_uppercase()
    );
    for line in bytes.chunks(24) {
        line.iter().for_each(|byte| _ = write!(text, "{byte},"));
        text.push('\n');
    }
    text + "};\n"
}
