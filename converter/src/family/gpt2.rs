//! GPT-2 (Radford et al. 2019): pre-norm blocks, learned positions, matrices stored as `[inputs,
//! outputs]`.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Stack, StackPart};
use kinglet::format::spec::PositionTable;
use serde_json::Value as Json;

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::head::{BASE, CAUSAL_LM, LAST_TOKEN_CLASSIFICATION, QUESTION_ANSWERING, TOKEN_CLASSIFICATION};
use super::parts::{Dimensions, activation_key, divide, score_scale};
use super::source::{Names, Sources, edit_blocks, stacked};

/// GPT-2.
pub(super) const FAMILY: Family = Family {
    model_types: &["gpt2"],
    heads: &[BASE, CAUSAL_LM, LAST_TOKEN_CLASSIFICATION, TOKEN_CLASSIFICATION, QUESTION_ANSWERING],
    map,
};

pub(super) const NAMES: Names = Names {
    prefixes: &["transformer."],
    stack: &[(StackPart::TokenEmbedding, "wte"), (StackPart::PositionEmbedding, "wpe"), (StackPart::FinalNorm, "ln_f")],
    layer: "h.{}.",
    block: &[
        (BlockPart::AttentionNorm, "ln_1"),
        (BlockPart::Query, "attn.c_attn"),
        (BlockPart::Key, "attn.c_attn"),
        (BlockPart::Value, "attn.c_attn"),
        (BlockPart::Output, "attn.c_proj"),
        (BlockPart::FeedForwardNorm, "ln_2"),
        (BlockPart::Up, "mlp.c_fc"),
        (BlockPart::Down, "mlp.c_proj"),
    ],
};

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    config.only("add_cross_attention", &[Json::Bool(false)])?;
    let hidden_size = config.size(&["n_embd", "hidden_size"])?;
    let heads = config.size(&["n_head", "num_attention_heads"])?;
    let norm = Norm::layer(config.real_or(&["layer_norm_epsilon"], 1e-5)?);
    let dimensions = Dimensions {
        hidden_size,
        layers: config.size(&["n_layer", "num_hidden_layers"])?,
        heads,
        key_value_heads: heads,
        head_dim: divide(hidden_size, heads, "n_embd")?,
        intermediate_size: config.optional_size(&["n_inner"])?.unwrap_or(4 * hidden_size),
        vocab_size: config.size(&["vocab_size"])?,
        max_positions: context.stored_positions(config.size(&["n_positions", "max_position_embeddings"])?)?,
        norm,
        activation: activation_key(config, "activation_function", "gelu_new")?,
    };
    let mut stack = dimensions.stack()?;
    stack.embedding.positions = PositionTable::BeforeNorm;
    stack.final_norm = Some(norm.of(hidden_size));
    if !config.flag_or(&["scale_attn_weights"], true)? {
        stack.block.attention.scale = score_scale(1.0)?;
    }
    let by_layer = config.flag_or(&["scale_attn_by_inverse_layer_idx"], false)?;

    let mut draft = Draft::new(context, Stack::Decoder, stack, &NAMES, norm);
    split_fused(&mut draft.sources, hidden_size);
    if by_layer {
        edit_blocks(&mut draft.sources, |block, part, pick| {
            if part == BlockPart::Query {
                pick.factor = 1.0 / (f32::from(block) + 1.0);
            }
        });
    }
    Ok(draft)
}

/// Splits the matrix of queries, keys and values, which like all matrices of the blocks is stored
/// as `[inputs, outputs]`.
pub(super) fn split_fused(sources: &mut Sources, hidden_size: u32) {
    edit_blocks(sources, |_, part, pick| {
        // Vectors have no second order.
        pick.transposed = true;
        let fused = match part {
            BlockPart::Query => 0,
            BlockPart::Key => 1,
            BlockPart::Value => 2,
            _ => return,
        };
        pick.rows = Some(stacked(fused, hidden_size).collect());
    });
}
