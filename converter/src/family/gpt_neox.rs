//! GPT-NeoX (arXiv 2204.06745) and Pythia: attention and network in parallel, partial rotary
//! positions, queries, keys and values in one matrix by head.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{AttentionPosition, Residual};

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::head::{BASE, CAUSAL_LM, Head, LAST_TOKEN_CLASSIFICATION, Output, QUESTION_ANSWERING, TOKEN_CLASSIFICATION};
use super::parts::{Dimensions, activation_key, divide, layer_bits, rotated};
use super::rope::{Rope, rope};
use super::source::{Names, by_head, edit_blocks};

/// GPT-NeoX.
pub(super) const FAMILY: Family = Family {
    model_types: &["gpt_neox"],
    heads: &[
        BASE,
        Head { output: Output::Vocabulary { weight: &["embed_out.weight", "lm_head.weight"], bias: &[] }, ..CAUSAL_LM },
        LAST_TOKEN_CLASSIFICATION,
        TOKEN_CLASSIFICATION,
        QUESTION_ANSWERING,
    ],
    map,
};

const NAMES: Names = Names {
    prefixes: &["gpt_neox."],
    stack: &[(StackPart::TokenEmbedding, "embed_in"), (StackPart::FinalNorm, "final_layer_norm")],
    layer: "layers.{}.",
    block: &[
        (BlockPart::AttentionNorm, "input_layernorm"),
        (BlockPart::Query, "attention.query_key_value"),
        (BlockPart::Key, "attention.query_key_value"),
        (BlockPart::Value, "attention.query_key_value"),
        (BlockPart::Output, "attention.dense"),
        (BlockPart::FeedForwardNorm, "post_attention_layernorm"),
        (BlockPart::Up, "mlp.dense_h_to_4h"),
        (BlockPart::Down, "mlp.dense_4h_to_h"),
    ],
};

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    let hidden_size = config.size(&["hidden_size"])?;
    let layers = config.size(&["num_hidden_layers"])?;
    let heads = config.size(&["num_attention_heads"])?;
    let head_dim = divide(hidden_size, heads, "hidden_size")?;
    let norm = Norm::layer(config.real_or(&["layer_norm_eps"], 1e-5)?);
    let dimensions = Dimensions {
        hidden_size,
        layers,
        heads,
        key_value_heads: heads,
        head_dim,
        intermediate_size: config.size(&["intermediate_size"])?,
        vocab_size: config.size(&["vocab_size"])?,
        max_positions: context.computed_positions(config.size(&["max_position_embeddings"])?),
        norm,
        activation: activation_key(config, "hidden_act", "gelu")?,
    };
    let default = Rope::plain(10_000.0, 0.25);
    let rope = rope(context, None, "rotary_emb_base", Some("rotary_pct"), default)?;
    let parallel = config.flag_or(&["use_parallel_residual"], true)?;
    let bias = config.flag_or(&["attention_bias"], true)?;
    let mut stack = dimensions.stack()?;
    stack.final_norm = Some(norm.of(hidden_size));
    stack.block.residual = if parallel { Residual::Parallel } else { Residual::PreNorm };
    (stack.block.attention.qkv_bias, stack.block.attention.output_bias) = (bias, bias);
    // An odd width is rotated like the next even one, at the frequencies of the odd width.
    let width = rotated(head_dim, rope.partial)?;
    if width > 0 {
        stack.block.attention.position = AttentionPosition::Rotary {
            dims: width.next_multiple_of(2),
            local: false,
            layers: layer_bits(layers, |_| true),
        };
    }
    let mut draft = Draft::new(context, Stack::Decoder, stack, &NAMES, norm);
    draft.sources.insert(Role::Stack(Stack::Decoder, StackPart::Rotary), rope.table_over(width));
    edit_blocks(&mut draft.sources, |_, part, pick| {
        let fused = match part {
            BlockPart::Query => 0,
            BlockPart::Key => 1,
            BlockPart::Value => 2,
            _ => return,
        };
        pick.rows = Some(by_head(fused, 3, heads, head_dim).collect());
    });
    Ok(draft)
}
