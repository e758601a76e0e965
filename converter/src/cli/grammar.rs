//! `kinglet grammar`: compile a grammar to a table over a model's tokens.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use kinglet::format::spec::ModelSpec;
use kinglet::task::{GrammarState, grammar_table};
use kinglet::tokenizer::Tokenizer;
use kinglet_convert::files::{read_text, write_atomically};
use kinglet_convert::grammar::{automaton, compile};

use super::engine::{open, read_blob};
use super::export::{array, c_header, generated, module_name, stem, write_source};
use super::output;

/// The format of rules, for the help.
const RULES: &str = "\
A rule is a line: a name, a colon, and an expression. The first rule describes the whole text.

  root: set {room} light[s] to {0..100} percent
  room: kitchen | living room

  {name}          the expression of the rule of this name
  {0..100} {a..z} a whole number or a character in a range
  one | other     one of them
  (...)           what is inside, as one part
  [...]           what is inside, or nothing
  ...* ...+       any number of the part before, and at least one of it
  \\x              the character x itself; \\n is the end of a line, \\ before a space keeps it
  # ...           a comment";

/// Compile a grammar to a table over a model's tokens, with which a model writes only texts of the
/// grammar.
#[derive(Args, Debug)]
#[command(after_help = RULES)]
pub(crate) struct Grammar {
    /// The file of rules, the first of which describes the whole text.
    rules: PathBuf,
    /// The blob that has the tokenizer.
    #[arg(long)]
    model: PathBuf,
    /// Write the table to this file.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write the table, and a module with the grammar as a constant, to this folder.
    #[arg(long, value_name = "DIR")]
    rust: Option<PathBuf>,
    /// Write the table as a C array, with a header, to this folder.
    #[arg(long, value_name = "DIR")]
    c: Option<PathBuf>,
    /// The name of the files for Rust and C, instead of that of the rules.
    #[arg(long)]
    name: Option<String>,
    /// Overwrite existing files.
    #[arg(long)]
    force: bool,
}

impl Grammar {
    pub(crate) fn run(self) -> Result<()> {
        ensure!(
            self.rust.is_some() || self.c.is_some() || self.output.is_some(),
            "nothing to write was asked for\ngive --output FILE for the table, --rust DIR for a module of Rust firmware, or --c DIR for a C array"
        );
        let blob = read_blob(&self.model)?;
        let model = open(&blob)?;
        let states = of_file(&self.rules, model.spec(), model.tokenizer_section())?;
        let table = grammar_table(&states, model.tokenizer_section());
        if let Some(path) = &self.output {
            write_atomically(path, &table, self.force)?;
            output::line(&format!("wrote {}", path.display()))?;
        }
        let name = self.name.as_deref().unwrap_or(stem(&self.rules)?);
        if let Some(folder) = &self.rust {
            let module = module_name(name)?;
            let beside = format!("{name}.grammar");
            write_source(folder, &beside, &table, self.force)?;
            write_source(folder, &format!("{module}.rs"), rust(&table, &beside)?.as_bytes(), self.force)?;
        }
        if let Some(folder) = &self.c {
            let module = module_name(name)?;
            let file = format!("{module}.h");
            write_source(folder, &file, header(&table, &module).as_bytes(), self.force)?;
            let source = array(&table, &file, &format!("{module}_grammar"));
            write_source(folder, &format!("{module}.c"), source.as_bytes(), self.force)?;
        }
        let edges: usize = states.iter().map(|state| state.edges.len()).sum();
        output::note(&format!("{} states and {edges} edges in {} bytes of flash", states.len(), table.len()));
        Ok(())
    }
}

/// Compiles a file of rules to states over the tokens of a model. `section` is the model's
/// tokenizer.
pub(super) fn of_file(path: &Path, spec: &ModelSpec, section: &[u8]) -> Result<Vec<GrammarState>> {
    let rules = read_text(path).with_context(|| format!("reading {}", path.display()))?;
    let grammar = automaton(&rules).with_context(|| path.display().to_string())?;
    let tokenizer =
        Tokenizer::from_bytes(section).map_err(|error| anyhow!("{error}\nconvert a folder with a tokenizer in it"))?;
    compile(&grammar, &tokenizer, spec.encoder.is_some()).with_context(|| path.display().to_string())
}

/// A Rust module that embeds the table as a constant.
fn rust(table: &[u8], name: &str) -> Result<String> {
    let checksum = table.last_chunk().map_or(0, |sum| u32::from_le_bytes(*sum));
    let source = format!(
        "/// The grammar, checked when this file was generated.\n\
         pub static GRAMMAR: kinglet::task::Grammar<'static> =\n\
         kinglet::task::Grammar::from_export(include_bytes!({name:?}), {checksum:#010x});\n"
    );
    generated(&source, "grammar")
}

/// The C header of a table.
fn header(table: &[u8], name: &str) -> String {
    let (big, bytes) = (name.to_uppercase(), table.len());
    let definitions = format!("#define {big}_GRAMMAR_BYTES {bytes}u\n");
    let array = format!("extern const uint8_t {name}_grammar[{big}_GRAMMAR_BYTES];\n");
    c_header(name, "A grammar for kinglet_generate_options, as kinglet grammar wrote it.", &definitions, &array)
}
