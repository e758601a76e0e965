//! `kinglet prefix`: compute the keys and values of a constant beginning of texts, for flash.

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail, ensure};
use clap::Args;
use kinglet::tokenizer::{EncodeOptions, Tokenizer};
use kinglet::{MemoryPlan, Model, Prefix, Session};
use kinglet_convert::files::write_atomically;
use kinglet_convert::tokenizer::encode;

use super::engine::{arena, open, read_blob};
use super::export::{generated, module_name, stem, write_source};
use super::input::given_text;
use super::output;

/// The tile of a prefix, in tokens: large, because a prefix must not leave a window behind.
const TILE: usize = 1024;

/// Compute the keys and values of a constant beginning of texts. Firmware uses them in flash: they
/// need no RAM, and no time to read the tokens again.
#[derive(Args, Debug)]
pub(crate) struct BakePrefix {
    /// The blob.
    model: PathBuf,
    /// The text; `-` for all of standard input.
    #[arg(long, required_unless_present = "ids")]
    text: Option<String>,
    /// Token ids instead of a text, such as 1,2,3.
    #[arg(long, value_delimiter = ',', value_name = "IDS", conflicts_with = "text")]
    ids: Option<Vec<u32>>,
    /// Leave out the special tokens around the text.
    #[arg(long, requires = "text")]
    no_special: bool,
    /// Write the prefix to this file.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write the prefix, and a module with the prefix as a constant, to this folder.
    #[arg(long, value_name = "DIR")]
    rust: Option<PathBuf>,
    /// The name of these files; by default that of the blob and `-prefix`.
    #[arg(long, requires = "rust")]
    name: Option<String>,
    /// Overwrite existing files.
    #[arg(long)]
    force: bool,
}

impl BakePrefix {
    pub(crate) fn run(self) -> Result<()> {
        ensure!(
            self.rust.is_some() || self.output.is_some(),
            "nothing to write was asked for\ngive --output FILE for the prefix, --rust DIR for a module of Rust firmware, or both"
        );
        let blob = read_blob(&self.model)?;
        let model = open(&blob)?;
        let (ids, text) = self.ids(&model)?;
        let spec = model.spec();
        let (Some(stack), None) = (&spec.decoder, &spec.encoder) else {
            bail!(
                "a prefix needs a decoder without an encoder, which this model does not have\ngive a blob of a decoder such as GPT-2 or Llama"
            );
        };
        let limit = stack.max_positions as usize;
        ensure!(
            ids.len() < limit,
            "the text has {} tokens, and the model {limit} positions\ngive a text that leaves room for what follows it",
            ids.len()
        );
        let plan = MemoryPlan::new(spec, ids.len(), 0, ids.len().min(TILE))?;
        let mut arena = arena(&plan)?;
        let bytes = Session::with_plan(&model, &mut arena, plan)?.make_prefix(&ids)?;
        let prefix = Prefix::from_bytes(&bytes, &model)?;
        if let Some(path) = &self.output {
            write_atomically(path, &bytes, self.force)?;
            output::line(&format!("wrote {}", path.display()))?;
        }
        if let Some(folder) = &self.rust {
            let name = match &self.name {
                Some(name) => name.clone(),
                None => format!("{}-prefix", stem(&self.model)?),
            };
            let module = module_name(&name)?;
            let beside = format!("{name}.prefix");
            write_source(folder, &beside, &bytes, self.force)?;
            write_source(folder, &format!("{module}.rs"), rust(&prefix, &beside, &text)?.as_bytes(), self.force)?;
        }
        output::note(&format!("{} tokens in {} bytes of flash", prefix.len(), bytes.len()));
        Ok(())
    }

    /// The token ids, and the text or list of ids that was given.
    fn ids(&self, model: &Model<'_>) -> Result<(Vec<u32>, String)> {
        if let Some(ids) = &self.ids {
            ensure!(!ids.is_empty(), "there are no tokens\ngive some, such as --ids 1,2,3");
            return Ok((ids.clone(), output::join(ids, ",")));
        }
        let tokenizer = Tokenizer::from_bytes(model.tokenizer_section())
            .map_err(|error| anyhow!("{error}\ngive token ids with --ids, or convert a folder with a tokenizer"))?;
        let text = self.text.as_deref().map(given_text).transpose()?.unwrap_or_default();
        let options = EncodeOptions { add_special_tokens: !self.no_special, ..EncodeOptions::default() };
        let tokens = encode(&tokenizer, &text, None, &options)?;
        ensure!(!tokens.is_empty(), "the text has no tokens\ngive one that is not empty");
        Ok((tokens.iter().map(|token| token.id).collect(), text))
    }
}

/// A Rust module that embeds the prefix as a constant.
fn rust(prefix: &Prefix<'_>, name: &str, text: &str) -> Result<String> {
    let (tokens, checksum) = (prefix.len(), prefix.checksum());
    let source = format!(
        "/// The prefix in the alignment that the runtime needs.\n\
         pub const BYTES: &[u8] = kinglet::include_model!({name:?});\n\
         /// The number of its tokens.\n\
         pub const TOKENS: usize = {tokens};\n\
         /// The text.\n\
         pub const TEXT: &str = {text:?};\n\
         /// The prefix, checked when this file was generated.\n\
         pub static PREFIX: kinglet::Prefix<'static> = kinglet::Prefix::from_export(BYTES, {checksum:#010x});\n"
    );
    generated(&source, "prefix")
}
