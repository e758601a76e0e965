//! GPT-J (Wang and Komatsuzaki 2021): attention and network in parallel under one norm, rotary
//! positions.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{AttentionPosition, Residual};

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::head::{BASE, CAUSAL_LM, Head, LAST_TOKEN_CLASSIFICATION, Output, QUESTION_ANSWERING};
use super::parts::{Dimensions, activation_key, divide, layer_bits, short};
use super::rope::Rope;
use super::source::{Names, by_head, edit_blocks, paired_halves};

/// GPT-J.
pub(super) const FAMILY: Family = Family {
    model_types: &["gptj"],
    heads: &[
        BASE,
        Head { output: Output::Vocabulary { weight: &["lm_head.weight"], bias: &["lm_head.bias"] }, ..CAUSAL_LM },
        LAST_TOKEN_CLASSIFICATION,
        QUESTION_ANSWERING,
    ],
    map,
};

/// CodeGen (arXiv 2203.13474).
pub(super) const CODEGEN: Family = Family {
    model_types: &["codegen"],
    heads: &[
        BASE,
        Head { output: Output::Vocabulary { weight: &["lm_head.weight"], bias: &["lm_head.bias"] }, ..CAUSAL_LM },
    ],
    map: codegen,
};

const NAMES: Names = Names {
    prefixes: &["transformer."],
    stack: &[(StackPart::TokenEmbedding, "wte"), (StackPart::FinalNorm, "ln_f")],
    layer: "h.{}.",
    block: &[
        (BlockPart::AttentionNorm, "ln_1"),
        (BlockPart::Query, "attn.q_proj"),
        (BlockPart::Key, "attn.k_proj"),
        (BlockPart::Value, "attn.v_proj"),
        (BlockPart::Output, "attn.out_proj"),
        (BlockPart::Up, "mlp.fc_in"),
        (BlockPart::Down, "mlp.fc_out"),
    ],
};

/// The names of CodeGen: queries, values and keys in one matrix, in the parts in which it was
/// trained.
const FUSED: Names = Names {
    block: &[
        (BlockPart::AttentionNorm, "ln_1"),
        (BlockPart::Query, "attn.qkv_proj"),
        (BlockPart::Key, "attn.qkv_proj"),
        (BlockPart::Value, "attn.qkv_proj"),
        (BlockPart::Output, "attn.out_proj"),
        (BlockPart::Up, "mlp.fc_in"),
        (BlockPart::Down, "mlp.fc_out"),
    ],
    ..NAMES
};

/// The number of parts.
const PARTS: u32 = 4;

fn map(context: &Context<'_>) -> Result<Draft> {
    draft(context, &NAMES)
}

fn codegen(context: &Context<'_>) -> Result<Draft> {
    let mut draft = draft(context, &FUSED)?;
    let Some(stack) = draft.decoder else { return Ok(draft) };
    let hidden_size = stack.hidden_size;
    let width = divide(hidden_size, PARTS, "n_embd")?;
    divide(stack.block.attention.num_attention_heads.into(), PARTS, "num_attention_heads")?;
    edit_blocks(&mut draft.sources, |_, part, pick| {
        let at = match part {
            BlockPart::Query => 0,
            BlockPart::Value => 1,
            BlockPart::Key => 2,
            _ => return,
        };
        let stored: Vec<u32> = by_head(at, 3, PARTS, width).collect();
        pick.rows = Some(match pick.rows.take() {
            // Rows beyond the matrix come from a `rotary_dim` that is refused later.
            Some(rows) => rows.iter().filter_map(|row| stored.get(*row as usize).copied()).collect(),
            None => stored,
        });
    });
    Ok(draft)
}

fn draft(context: &Context<'_>, names: &Names) -> Result<Draft> {
    let config = context.config;
    let hidden_size = config.size(&["n_embd", "hidden_size"])?;
    let layers = config.size(&["n_layer", "num_hidden_layers"])?;
    let heads = config.size(&["n_head", "num_attention_heads"])?;
    let head_dim = divide(hidden_size, heads, "n_embd")?;
    let rotary_dim = config.size(&["rotary_dim"])?;
    let norm = Norm::layer(config.real_or(&["layer_norm_epsilon"], 1e-5)?);
    let dimensions = Dimensions {
        hidden_size,
        layers,
        heads,
        key_value_heads: heads,
        head_dim,
        intermediate_size: config.optional_size(&["n_inner"])?.unwrap_or(4 * hidden_size),
        vocab_size: config.size(&["vocab_size"])?,
        max_positions: context.computed_positions(config.size(&["n_positions", "max_position_embeddings"])?),
        norm,
        activation: activation_key(config, "activation_function", "gelu_new")?,
    };
    let mut stack = dimensions.stack()?;
    stack.final_norm = Some(norm.of(hidden_size));
    stack.block.residual = Residual::ParallelShared;
    stack.block.attention.qkv_bias = false;
    stack.block.attention.output_bias = false;
    stack.block.attention.position = AttentionPosition::Rotary {
        dims: short(rotary_dim, "rotary_dim")?,
        local: false,
        layers: layer_bits(layers, |_| true),
    };
    let mut draft = Draft::new(context, Stack::Decoder, stack, names, norm);
    draft.sources.insert(Role::Stack(Stack::Decoder, StackPart::Rotary), Rope::plain(10_000.0, 1.0).table());
    edit_blocks(&mut draft.sources, |_, part, pick| {
        if matches!(part, BlockPart::Query | BlockPart::Key) {
            pick.rows = Some(paired_halves(heads, head_dim, rotary_dim.min(head_dim)).collect());
        }
    });
    Ok(draft)
}
