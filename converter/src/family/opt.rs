//! OPT (arXiv 2205.01068): pre-norm or post-norm, learned positions from 2 on, a token table that
//! may be narrower than the model.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Shape, Stack, StackPart};
use kinglet::format::spec::{Activation, EmbeddingProjection, PositionTable, Residual};

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::head::{BASE, CAUSAL_LM, LAST_TOKEN_CLASSIFICATION, QUESTION_ANSWERING, Transform};
use super::parts::{Dimensions, activation_key, divide};
use super::source::{Names, Value, edit};

/// OPT.
pub(super) const FAMILY: Family =
    Family { model_types: &["opt"], heads: &[BASE, CAUSAL_LM, LAST_TOKEN_CLASSIFICATION, QUESTION_ANSWERING], map };

const NAMES: Names = Names {
    prefixes: &["model.decoder.", "decoder."],
    stack: &[
        (StackPart::TokenEmbedding, "embed_tokens"),
        (StackPart::PositionEmbedding, "embed_positions"),
        (StackPart::EmbeddingProjection, "project_in"),
        (StackPart::FinalNorm, "final_layer_norm"),
    ],
    layer: "layers.{}.",
    block: &[
        (BlockPart::AttentionNorm, "self_attn_layer_norm"),
        (BlockPart::Query, "self_attn.q_proj"),
        (BlockPart::Key, "self_attn.k_proj"),
        (BlockPart::Value, "self_attn.v_proj"),
        (BlockPart::Output, "self_attn.out_proj"),
        (BlockPart::FeedForwardNorm, "final_layer_norm"),
        (BlockPart::Up, "fc1"),
        (BlockPart::Down, "fc2"),
    ],
};

/// The number of rows in the table of positions that no token uses.
const FIRST_POSITION: u32 = 2;

/// The projection from the model's width back to that of the token table.
const PROJECT_OUT: Transform =
    Transform { dense: "project_out", bias: false, narrow: true, activation: Some(Activation::Identity), norm: None };

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    let hidden_size = config.size(&["hidden_size"])?;
    let heads = config.size(&["num_attention_heads"])?;
    let affine = config.flag_or(&["layer_norm_elementwise_affine"], true)?;
    let norm = Norm { bias: affine, ..Norm::layer(1e-5) };
    let dimensions = Dimensions {
        hidden_size,
        layers: config.size(&["num_hidden_layers"])?,
        heads,
        key_value_heads: heads,
        head_dim: divide(hidden_size, heads, "hidden_size")?,
        intermediate_size: config.size(&["ffn_dim"])?,
        vocab_size: config.size(&["vocab_size"])?,
        max_positions: context.stored_positions(config.size(&["max_position_embeddings"])?)?,
        norm,
        activation: activation_key(config, "activation_function", "relu")?,
    };
    let mut stack = dimensions.stack()?;
    stack.embedding.positions = PositionTable::BeforeNorm;
    stack.embedding.embedding_size = config.optional_size(&["word_embed_proj_dim"])?.unwrap_or(hidden_size);
    let narrow = stack.embedding.embedding_size != hidden_size;
    if narrow {
        stack.embedding.projection = EmbeddingProjection::BeforePositions;
    }
    let before = config.flag_or(&["do_layer_norm_before"], true)?;
    stack.block.residual = if before { Residual::PreNorm } else { Residual::PostNorm };
    if before && !config.flag_or(&["_remove_final_layer_norm"], false)? {
        stack.final_norm = Some(norm.of(hidden_size));
    }
    let bias = config.flag_or(&["enable_bias"], true)?;
    (stack.block.attention.qkv_bias, stack.block.attention.output_bias) = (bias, bias);
    stack.block.feed_forward.bias = bias;

    let mut draft = Draft::new(context, Stack::Decoder, stack, &NAMES, norm);
    if narrow {
        draft.head.transform = Some(PROJECT_OUT);
    }
    edit(&mut draft.sources, |role, pick| {
        if role == Role::Stack(Stack::Decoder, StackPart::PositionEmbedding) {
            pick.rows = Some((FIRST_POSITION..FIRST_POSITION + stack.max_positions).collect());
        }
    });
    if !affine {
        let spec = draft.headless();
        let norms = draft.sources.iter_mut().filter(|(role, _)| matches!(role.shape(&spec), Some(Shape::Norm { .. })));
        norms.for_each(|(_, source)| *source = Value::Constant(1.0).into());
    }
    Ok(draft)
}
