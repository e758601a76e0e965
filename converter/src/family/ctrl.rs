//! CTRL (arXiv 1909.05858): pre-norm blocks, sinusoidal positions, scaled token vectors.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{Activation, PositionTable, TokenScale};

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::head::{BASE, CAUSAL_LM, Head, LAST_TOKEN_CLASSIFICATION, Output};
use super::parts::{Dimensions, divide};
use super::source::{Names, Value};
use crate::fixed::multiplier;
use crate::tables::Sinusoid;

/// CTRL.
pub(super) const FAMILY: Family = Family {
    model_types: &["ctrl"],
    heads: &[
        BASE,
        Head { output: Output::Vocabulary { weight: &["lm_head.weight"], bias: &["lm_head.bias"] }, ..CAUSAL_LM },
        Head { output: Output::Labels { module: "classifier", bias: false }, ..LAST_TOKEN_CLASSIFICATION },
    ],
    map,
};

const NAMES: Names = Names {
    prefixes: &["transformer."],
    stack: &[(StackPart::TokenEmbedding, "w"), (StackPart::FinalNorm, "layernorm")],
    layer: "h.{}.",
    block: &[
        (BlockPart::AttentionNorm, "layernorm1"),
        (BlockPart::Query, "multi_head_attention.Wq"),
        (BlockPart::Key, "multi_head_attention.Wk"),
        (BlockPart::Value, "multi_head_attention.Wv"),
        (BlockPart::Output, "multi_head_attention.dense"),
        (BlockPart::FeedForwardNorm, "layernorm2"),
        (BlockPart::Up, "ffn.0"),
        (BlockPart::Down, "ffn.2"),
    ],
};

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    let hidden_size = config.size(&["n_embd", "hidden_size"])?;
    let heads = config.size(&["n_head", "num_attention_heads"])?;
    let dimensions = Dimensions {
        hidden_size,
        layers: config.size(&["n_layer", "num_hidden_layers"])?,
        heads,
        key_value_heads: heads,
        head_dim: divide(hidden_size, heads, "n_embd")?,
        intermediate_size: config.size(&["dff"])?,
        vocab_size: config.size(&["vocab_size"])?,
        max_positions: context.computed_positions(config.size(&["n_positions", "max_position_embeddings"])?),
        // The configuration gives only the epsilon of the last norm.
        norm: Norm::layer(1e-6),
        activation: Activation::Relu,
    };
    let last_norm = Norm::layer(config.real_or(&["layer_norm_epsilon"], 1e-6)?);
    let mut stack = dimensions.stack()?;
    stack.embedding.positions = PositionTable::BeforeNorm;
    stack.embedding.scale = TokenScale::Fixed(multiplier(libm::sqrt(f64::from(hidden_size)))?);
    stack.final_norm = Some(last_norm.of(hidden_size));
    let mut draft = Draft::new(context, Stack::Decoder, stack, &NAMES, last_norm);
    let sinusoid = Sinusoid { interleaved: false, closed: false, first: 0, padded: false };
    draft.sources.insert(Role::Stack(Stack::Decoder, StackPart::PositionEmbedding), Value::Sinusoidal(sinusoid).into());
    Ok(draft)
}
