//! `kinglet verify`: check a blob, and compare it with its checkpoint.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use kinglet::MemoryPlan;
use kinglet::golden::Golden;
use kinglet_convert::fidelity::{self, Fidelity};
use kinglet_convert::inputs::Reader;
use kinglet_convert::tokenizer;
use kinglet_convert::vocabulary::Wish;
use serde_json::json;

use super::engine::{arena, locate, open, read_blob};
use super::input::InputArgs;
use super::keep::{KeepArgs, cut};
use super::{number, output, sign};

/// Check a blob's bytes and its golden vectors; with a key, its signature; with its checkpoint,
/// measure the cost of quantization.
///
/// A decoder is measured on texts that the reference writes, other models on the given inputs or on
/// token ids spread over the vocabulary.
#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// The blob.
    model: PathBuf,
    /// The checkpoint that the blob was converted from: a folder, or a model of the Hub.
    source: Option<PathBuf>,
    /// The blob is signed: check its signature with this public key, a PEM file.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The folder of the adapter that was merged into the blob.
    #[arg(long, value_name = "DIR", requires = "source")]
    adapter: Option<PathBuf>,
    #[command(flatten)]
    keep: KeepArgs,
    #[command(flatten)]
    input: InputArgs,
    /// The number of texts to measure on, if no input is given.
    #[arg(long, default_value_t = 6, allow_negative_numbers = true, value_parser = number::at_least_one())]
    texts: usize,
    /// The number of tokens in each text.
    #[arg(long, default_value_t = 200, allow_negative_numbers = true, value_parser = number::at_least_one())]
    tokens: usize,
    /// The seed of the texts that the reference writes.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    seed: u64,
    /// Print one JSON object on standard output, and nothing else.
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(crate) fn run(self) -> Result<()> {
        let wish = self.keep.wish()?;
        let file = read_blob(&self.model)?;
        let signed = self.key.as_deref().map(|key| sign::verify(&file, key)).transpose()?;
        let model = open(signed.map_or(&file, |signed| signed.blob))?;
        let longest = Golden::all(model.golden_section())
            .map(|golden| golden.ids.iter().len().max(golden.decoder_ids.iter().len()));
        let plan = MemoryPlan::standard(model.spec(), longest.max().unwrap_or(0))?;
        model.self_test(&mut arena(&plan)?).context("the blob's golden vectors")?;
        let fidelity = self.source.as_ref().map(|dir| self.measure(&model, dir, wish.as_ref())).transpose()?;
        if let Some(fidelity) = fidelity.filter(|fidelity| fidelity.is_broken(&model.spec().numerics)) {
            bail!("the blob does not compute what its checkpoint does: {fidelity}\n{}", fidelity::ADVICE);
        }
        if self.json {
            let mut found = json!({ "self_test": "pass", "fidelity": fidelity });
            if let Some(signed) = signed {
                found["counter"] = signed.counter.into();
            }
            return output::json(&found);
        }
        if let Some(signed) = signed {
            output::line(&format!("signature: pass, counter {}", signed.counter))?;
        }
        output::line("self test: pass")?;
        fidelity.map_or(Ok(()), |fidelity| output::line(&fidelity.to_string()))
    }

    fn measure(&self, model: &kinglet::Model<'_>, dir: &Path, wish: Option<&Wish>) -> Result<Fidelity> {
        let spec = model.spec();
        let located = locate(dir)?;
        let adapter = self.adapter.as_deref().map(locate).transpose()?;
        let dir = located.dir.as_path();
        let mut source = fidelity::open_source(dir, adapter.map(|adapter| adapter.dir), spec)?;
        if let Some(wish) = wish {
            let full = tokenizer::build(dir)?.unwrap_or_default();
            cut(dir, &Reader::new(full.leak())?, wish, Some(&mut source))?;
        }
        fidelity::check_source(&source, dir, spec)?;
        let reader = Reader::new(Vec::leak(model.tokenizer_section().to_vec()))?;
        let inputs = if self.input.is_given() {
            self.input.read(&reader)?.into_iter().map(Into::into).collect()
        } else {
            fidelity::standard_texts(&source, self.texts, self.tokens, self.seed)?
        };
        let progress = output::bar(inputs.len()).with_message("comparing");
        let found = fidelity::compare(&source, model, &inputs, 16, &|| progress.inc(1));
        progress.finish_and_clear();
        found
    }
}
