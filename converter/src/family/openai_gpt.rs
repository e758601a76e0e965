//! GPT (Radford et al. 2018): post-norm blocks, learned positions, matrices stored as `[inputs,
//! outputs]`.

use anyhow::Result;
use kinglet::format::layout::{Stack, StackPart};
use kinglet::format::spec::{Activation, PositionTable, Residual};

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::gpt2::{self, split_fused};
use super::head::{BASE, CAUSAL_LM, LAST_TOKEN_CLASSIFICATION};
use super::parts::{Dimensions, activation, divide};
use super::source::Names;

/// GPT.
pub(super) const FAMILY: Family =
    Family { model_types: &["openai-gpt"], heads: &[BASE, CAUSAL_LM, LAST_TOKEN_CLASSIFICATION], map };

const NAMES: Names = Names {
    stack: &[(StackPart::TokenEmbedding, "tokens_embed"), (StackPart::PositionEmbedding, "positions_embed")],
    ..gpt2::NAMES
};

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    let hidden_size = config.size(&["n_embd", "hidden_size"])?;
    let heads = config.size(&["n_head", "num_attention_heads"])?;
    let norm = Norm::layer(config.real_or(&["layer_norm_epsilon"], 1e-5)?);
    let dimensions = Dimensions {
        hidden_size,
        layers: config.size(&["n_layer", "num_hidden_layers"])?,
        heads,
        key_value_heads: heads,
        head_dim: divide(hidden_size, heads, "n_embd")?,
        intermediate_size: 4 * hidden_size,
        vocab_size: config.size(&["vocab_size"])?,
        max_positions: context.stored_positions(config.size(&["n_positions", "max_position_embeddings"])?)?,
        norm,
        // Here "gelu" means its tanh approximation.
        activation: match config.text_or(&["afn"], "gelu")? {
            "gelu" => Activation::GeluTanh,
            name => activation("afn", name)?,
        },
    };
    let mut stack = dimensions.stack()?;
    stack.embedding.positions = PositionTable::BeforeNorm;
    stack.block.residual = Residual::PostNorm;
    let mut draft = Draft::new(context, Stack::Decoder, stack, &NAMES, norm);
    split_fused(&mut draft.sources, hidden_size);
    Ok(draft)
}
