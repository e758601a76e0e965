//! BLOOM (arXiv 2211.05100), MPT (MosaicML 2023), Falcon (arXiv 2311.16867) and GPTBigCode (arXiv
//! 2301.03988): decoders with one matrix for queries, keys and values, and ALiBi (arXiv
//! 2108.12409), rotary or learned positions.

use anyhow::Result;
use half::bf16;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{Activation, AttentionPosition, PositionTable, Residual, StackSpec};
use serde_json::Value as Json;

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::gpt2;
use super::head::{BASE, CAUSAL_LM, Head, LAST_TOKEN_CLASSIFICATION, QUESTION_ANSWERING, TOKEN_CLASSIFICATION};
use super::parts::{Dimensions, activation_key, divide, layer_bits, score_scale};
use super::rope::{Rope, rope};
use super::source::{Names, Sources, Value, by_group, edit_blocks, split_fused};
use crate::refuse;
use crate::tables::slopes;

/// BLOOM.
pub(super) const FAMILY: Family = Family { model_types: &["bloom"], heads: HEADS, map: bloom };
/// MPT.
pub(super) const MPT: Family = Family { model_types: &["mpt"], heads: HEADS, map: mpt };
/// Falcon.
pub(super) const FALCON: Family = Family { model_types: &["falcon"], heads: HEADS, map: falcon };
/// GPTBigCode, the architecture of SantaCoder and the first StarCoder.
pub(super) const BIGCODE: Family = Family {
    model_types: &["gpt_bigcode"],
    heads: &[BASE, CAUSAL_LM, LAST_TOKEN_CLASSIFICATION, TOKEN_CLASSIFICATION],
    map: bigcode,
};

const HEADS: &[Head] = &[BASE, CAUSAL_LM, LAST_TOKEN_CLASSIFICATION, TOKEN_CLASSIFICATION, QUESTION_ANSWERING];

const NAMES: Names = Names {
    prefixes: &["transformer."],
    stack: &[
        (StackPart::TokenEmbedding, "word_embeddings"),
        (StackPart::EmbeddingNorm, "word_embeddings_layernorm"),
        (StackPart::FinalNorm, "ln_f"),
    ],
    layer: "h.{}.",
    block: &[
        (BlockPart::AttentionNorm, "input_layernorm"),
        (BlockPart::Query, "self_attention.query_key_value"),
        (BlockPart::Key, "self_attention.query_key_value"),
        (BlockPart::Value, "self_attention.query_key_value"),
        (BlockPart::Output, "self_attention.dense"),
        (BlockPart::FeedForwardNorm, "post_attention_layernorm"),
        (BlockPart::Up, "mlp.dense_h_to_4h"),
        (BlockPart::Down, "mlp.dense_4h_to_h"),
    ],
};

/// Names with a norm for each half of a parallel block.
const FALCON_NAMES: Names = Names {
    block: &[
        (BlockPart::AttentionNorm, "ln_attn"),
        (BlockPart::Query, "self_attention.query_key_value"),
        (BlockPart::Key, "self_attention.query_key_value"),
        (BlockPart::Value, "self_attention.query_key_value"),
        (BlockPart::Output, "self_attention.dense"),
        (BlockPart::FeedForwardNorm, "ln_mlp"),
        (BlockPart::Up, "mlp.dense_h_to_4h"),
        (BlockPart::Down, "mlp.dense_4h_to_h"),
    ],
    ..NAMES
};

const MPT_NAMES: Names = Names {
    stack: &[(StackPart::TokenEmbedding, "wte"), (StackPart::FinalNorm, "norm_f")],
    layer: "blocks.{}.",
    block: &[
        (BlockPart::AttentionNorm, "norm_1"),
        (BlockPart::Query, "attn.Wqkv"),
        (BlockPart::Key, "attn.Wqkv"),
        (BlockPart::Value, "attn.Wqkv"),
        (BlockPart::Output, "attn.out_proj"),
        (BlockPart::FeedForwardNorm, "norm_2"),
        (BlockPart::Up, "ffn.up_proj"),
        (BlockPart::Down, "ffn.down_proj"),
    ],
    ..NAMES
};

fn bloom(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    config.only("apply_residual_connection_post_layernorm", &[false.into()])?;
    // How matrices were split for training, and the rounding of that.
    config.get(&["slow_but_exact"]);
    let hidden_size = config.size(&["n_embed", "hidden_size"])?;
    let heads = config.size(&["n_head", "num_attention_heads"])?;
    // No class reads this key any more, because it limits only the training.
    let trained = config.get(&["seq_length"]).and_then(Json::as_u64).and_then(|length| u32::try_from(length).ok());
    let norm = Norm::layer(config.real_or(&["layer_norm_epsilon"], 1e-5)?);
    let dimensions = Dimensions {
        hidden_size,
        layers: config.size(&["n_layer", "num_hidden_layers"])?,
        heads,
        key_value_heads: heads,
        head_dim: divide(hidden_size, heads, "hidden_size")?,
        intermediate_size: 4 * hidden_size,
        vocab_size: config.size(&["vocab_size"])?,
        max_positions: context.computed_positions(trained.unwrap_or(2048)),
        norm,
        activation: Activation::GeluTanh,
    };
    let mut stack = dimensions.stack()?;
    stack.embedding.norm = Some(norm.of(hidden_size));
    stack.final_norm = Some(norm.of(hidden_size));
    set_falling(&mut stack);
    let mut draft = Draft::new(context, Stack::Decoder, stack, &NAMES, norm);
    draft.sources.insert(Role::Stack(Stack::Decoder, StackPart::RelativeBias), Value::Slopes(slopes(heads)).into());
    split_by_group(&mut draft.sources, &stack);
    Ok(draft)
}

fn mpt(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    config.only("attn_config.clip_qkv", &[0.into()])?;
    let hidden_size = config.size(&["d_model", "hidden_size"])?;
    let heads = config.size(&["n_heads", "num_attention_heads"])?;
    let norm = Norm { bias: false, ..Norm::layer(config.real_or(&["layer_norm_epsilon"], 1e-5)?) };
    let dimensions = Dimensions {
        hidden_size,
        layers: config.size(&["n_layers", "num_hidden_layers"])?,
        heads,
        key_value_heads: heads,
        head_dim: divide(hidden_size, heads, "d_model")?,
        intermediate_size: 4 * hidden_size,
        vocab_size: config.size(&["vocab_size"])?,
        max_positions: context.computed_positions(config.size(&["max_seq_len"])?),
        norm,
        activation: Activation::Gelu,
    };
    let mut stack = dimensions.stack()?;
    stack.final_norm = Some(norm.of(hidden_size));
    stack.block.feed_forward.bias = false;
    (stack.block.attention.qkv_bias, stack.block.attention.output_bias) = (false, false);
    if config.get(&["attn_config.softmax_scale"]).is_some() {
        stack.block.attention.scale = score_scale(config.real_or(&["attn_config.softmax_scale"], 1.0)?)?;
    }
    set_falling(&mut stack);
    let mut draft = Draft::new(context, Stack::Decoder, stack, &MPT_NAMES, norm);
    draft.sources.insert(Role::Stack(Stack::Decoder, StackPart::RelativeBias), Value::Slopes(slopes(heads)).into());
    split_fused(&mut draft.sources, &stack);
    Ok(draft)
}

fn falcon(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    let hidden_size = config.size(&["n_embed", "hidden_size"])?;
    let layers = config.size(&["num_hidden_layers"])?;
    let heads = config.size(&["num_attention_heads"])?;
    let head_dim = divide(hidden_size, heads, "hidden_size")?;
    let new = config.flag_or(&["new_decoder_architecture"], false)?;
    let one = config.flag_or(&["multi_query"], false)?;
    let several = config.optional_size(&["num_kv_heads"])?.unwrap_or(heads);
    let norm = Norm::layer(config.real_or(&["layer_norm_epsilon"], 1e-5)?);
    let dimensions = Dimensions {
        hidden_size,
        layers,
        heads,
        key_value_heads: match (new, one) {
            (true, _) => several,
            (false, true) => 1,
            (false, false) => heads,
        },
        head_dim,
        intermediate_size: config.optional_size(&["ffn_hidden_size"])?.unwrap_or(4 * hidden_size),
        vocab_size: config.size(&["vocab_size"])?,
        max_positions: context.computed_positions(config.size(&["max_position_embeddings"])?),
        norm,
        activation: activation_key(config, "activation", "gelu")?,
    };
    let mut stack = dimensions.stack()?;
    stack.final_norm = Some(norm.of(hidden_size));
    let bias = config.flag_or(&["bias"], false)?;
    stack.block.feed_forward.bias = bias;
    (stack.block.attention.qkv_bias, stack.block.attention.output_bias) = (bias, bias);
    let parallel = config.flag_or(&["parallel_attn"], false)?;
    let norms = config.optional_size(&["num_ln_in_parallel_attn"])?.unwrap_or(if new { 2 } else { 1 });
    stack.block.residual = match (new, parallel, norms) {
        (true, true, 2) => Residual::Parallel,
        (_, true, 1) => Residual::ParallelShared,
        (false, false, _) => Residual::PreNorm,
        _ => {
            return Err(refuse(
                format_args!(
                    "config.json says `new_decoder_architecture` = {new}, `parallel_attn` = {parallel} and `num_ln_in_parallel_attn` = {norms}"
                ),
                "this combination is not implemented, nor does it run elsewhere",
            ));
        }
    };
    let falling = config.flag_or(&["alibi"], false)?;
    if falling {
        set_falling(&mut stack);
    } else {
        stack.block.attention.position = AttentionPosition::Rotary {
            dims: stack.block.attention.head_dim,
            local: false,
            layers: layer_bits(layers, |_| true),
        };
    }
    let names = if stack.block.residual == Residual::Parallel { &FALCON_NAMES } else { &NAMES };
    let mut draft = Draft::new(context, Stack::Decoder, stack, names, norm);
    if falling {
        // Slopes are rounded to `bf16`, and then scaled like the scores.
        let scale = 1.0 / libm::sqrtf(head_dim as f32);
        let slopes = slopes(heads).into_iter().map(|slope| bf16::from_f32(slope).to_f32() * scale).collect();
        draft.sources.insert(Role::Stack(Stack::Decoder, StackPart::RelativeBias), Value::Slopes(slopes).into());
        config.get(&["rope_parameters", "rope_scaling", "rope_theta"]);
    } else {
        let rope = rope(context, None, "rope_theta", None, Rope::plain(10_000.0, 1.0))?;
        draft.sources.insert(Role::Stack(Stack::Decoder, StackPart::Rotary), rope.table());
    }
    split_by_group(&mut draft.sources, &stack);
    Ok(draft)
}

fn bigcode(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    config.only("add_cross_attention", &[false.into()])?;
    // How the softmax is executed.
    config.get(&["attention_softmax_in_fp32", "scale_attention_softmax_in_fp32"]);
    let hidden_size = config.size(&["n_embd", "hidden_size"])?;
    let heads = config.size(&["n_head", "num_attention_heads"])?;
    let norm = Norm::layer(config.real_or(&["layer_norm_epsilon"], 1e-5)?);
    let dimensions = Dimensions {
        hidden_size,
        layers: config.size(&["n_layer", "num_hidden_layers"])?,
        heads,
        key_value_heads: if config.flag_or(&["multi_query"], true)? { 1 } else { heads },
        head_dim: divide(hidden_size, heads, "n_embd")?,
        intermediate_size: config.optional_size(&["n_inner"])?.unwrap_or(4 * hidden_size),
        vocab_size: config.size(&["vocab_size"])?,
        max_positions: context.stored_positions(config.size(&["n_positions", "max_position_embeddings"])?)?,
        norm,
        activation: activation_key(config, "activation_function", "gelu_pytorch_tanh")?,
    };
    let mut stack = dimensions.stack()?;
    stack.embedding.positions = PositionTable::BeforeNorm;
    stack.final_norm = Some(norm.of(hidden_size));
    if !config.flag_or(&["scale_attn_weights"], true)? {
        stack.block.attention.scale = score_scale(1.0)?;
    }
    let mut draft = Draft::new(context, Stack::Decoder, stack, &gpt2::NAMES, norm);
    split_by_group(&mut draft.sources, &stack);
    Ok(draft)
}

/// Sets scores that fall with the distance, up to the longest text.
pub(super) fn set_falling(stack: &mut StackSpec) {
    let distance = stack.max_positions.saturating_sub(1).max(1);
    stack.block.attention.position = AttentionPosition::RelativeBias { distance };
}

/// Splits a matrix in which each key head is preceded by its queries and followed by its values.
fn split_by_group(sources: &mut Sources, stack: &StackSpec) {
    let attention = &stack.block.attention;
    let (heads, groups) = (attention.num_attention_heads.into(), attention.num_key_value_heads.into());
    edit_blocks(sources, |_, part, pick| {
        if let Some(rows) = by_group(part, heads, groups, attention.head_dim.into()) {
            pick.of = Some((heads + 2 * groups) * u32::from(attention.head_dim));
            pick.rows = Some(rows);
        }
    });
}
