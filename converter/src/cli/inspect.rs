//! `kinglet inspect`: print what is in a blob, and how much memory it needs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use kinglet::MemoryPlan;
use kinglet::format::blob::{CHECKSUM_LEN, FORMAT_VERSION};
use kinglet::tokenizer::Tokenizer;
use kinglet_convert::fit::stacks;
use kinglet_convert::report::{Memory, memory};
use kinglet_convert::widths;
use serde_json::json;

use super::engine::{open, read_blob, task_name};
use super::{number, output};

/// Print what is in a blob, and how much memory it needs at several lengths.
#[derive(Args, Debug)]
pub(crate) struct Inspect {
    /// The blob.
    model: PathBuf,
    /// Print how much memory it needs at this length of the decoder, or of a model with one stack.
    #[arg(long, allow_negative_numbers = true, value_parser = number::at_least_one())]
    tokens: Option<usize>,
    /// The length of the encoder's input, with --tokens.
    #[arg(long, requires = "tokens", allow_negative_numbers = true, value_parser = number::at_least_one())]
    source_tokens: Option<usize>,
    /// Tokens that go through a layer together, with --tokens.
    #[arg(long, requires = "tokens", allow_negative_numbers = true, value_parser = number::tile())]
    tile: Option<usize>,
    /// Print one JSON object on standard output, and nothing else.
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(crate) fn run(self) -> Result<()> {
        let blob = read_blob(&self.model)?;
        let model = open(&blob)?;
        let (spec, manifest) = (model.spec(), model.manifest());
        let memory = match self.tokens {
            None => memory(spec)?,
            Some(tokens) => {
                let tile = self.tile.unwrap_or(spec.numerics.tile.into());
                let plan = MemoryPlan::new(spec, tokens, self.source_tokens.unwrap_or(tokens), tile)?;
                vec![Memory { tokens, arena: plan.bytes(), cache: plan.cache_bytes(spec) }]
            }
        };
        let checksum = blob.last_chunk::<CHECKSUM_LEN>().map(|bytes| format!("{:08x}", u32::from_le_bytes(*bytes)));
        let labels: Vec<&str> = model.labels().collect();
        let stacks = stacks();
        if self.json {
            return output::json(&json!({
                "format_version": FORMAT_VERSION,
                "bytes": blob.len(),
                "payload_bytes": model.payload().len(),
                "tokenizer_bytes": model.tokenizer_section().len(),
                "checksum": checksum,
                "task": task_name(spec.head.task),
                "spec": spec,
                "tokens": manifest.tokens,
                "generation": manifest.generation,
                "labels": labels,
                "provenance": manifest.provenance,
                "memory": memory,
                "stack": stacks.into_iter().collect::<BTreeMap<_, _>>(),
            }));
        }
        let provenance = &manifest.provenance;
        output::line(&format!("{}: {}", provenance.source, task_name(spec.head.task)))?;
        output::line(&format!(
            "blob: {} bytes (weights {}, tokenizer {}), format {FORMAT_VERSION}, checksum {}, converter {}",
            blob.len(),
            model.payload().len(),
            model.tokenizer_section().len(),
            checksum.unwrap_or_default(),
            provenance.converter
        ))?;
        for (name, stack) in [("encoder", &spec.encoder), ("decoder", &spec.decoder)] {
            let Some(stack) = stack else { continue };
            let attention = &stack.block.attention;
            let short = stack.convolution.short().map_or_else(String::new, |short| {
                format!("{} with short convolutions over {} tokens, ", short.layers.count_ones(), short.kernel_size)
            });
            output::line(&format!(
                "{name}: {} layers of {}, {short}{} heads of {} over {}, feed-forward {}, vocabulary {}, {} positions",
                stack.num_hidden_layers,
                stack.hidden_size,
                attention.num_attention_heads,
                attention.head_dim,
                attention.num_key_value_heads,
                stack.block.feed_forward.intermediate_size,
                stack.embedding.vocab_size,
                stack.max_positions
            ))?;
        }
        if let Ok(tokenizer) = Tokenizer::from_bytes(model.tokenizer_section()) {
            output::line(&format!(
                "tokenizer: {} tokens in {} bytes; at most {} bytes of RAM for each byte of text",
                tokenizer.vocab_size(),
                model.tokenizer_section().len(),
                4 * tokenizer.header().words_per_byte
            ))?;
        }
        let numerics = &spec.numerics;
        output::line(&format!(
            "numerics: {:?} weights, {:?} activations, {:?} keys, {} fraction bits, {} tokens at a time",
            numerics.weights, numerics.activations, numerics.keys, numerics.fraction_bits, numerics.tile
        ))?;
        let packed: Vec<String> = widths::packed(spec).iter().map(ToString::to_string).collect();
        if !packed.is_empty() {
            output::line(&format!("four bits a weight: {}", packed.join(" ")))?;
        }
        if !labels.is_empty() {
            output::line(&format!("labels: {}", labels.join(", ")))?;
        }
        for memory in memory {
            output::line(&format!(
                "RAM: {} bytes of arena at {} tokens, {} of them keys and values",
                memory.arena, memory.tokens, memory.cache
            ))?;
        }
        let stacks = stacks.map(|(call, bytes)| format!("{bytes} for {call}"));
        output::line(&format!("stack: bytes of a call on a Cortex-M4, without its result: {}", stacks.join(", ")))?;
        Ok(())
    }
}
