//! GTE (arXiv 2407.19669): BERT's post-norm blocks with rotary positions and a gated network. Its
//! first checkpoints come with code of their own and have the model type `new`.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{Activation, AttentionPosition, Pooling, Residual, Task};
use serde_json::Value as Json;

use super::draft::{Context, Draft, Norm};
use super::head::{BASE, Head, Output, TOKEN_CLASSIFICATION, Transform, pooler};
use super::parts::{layer_bits, short};
use super::rope::{Rope, rope};
use super::source::{Names, Value, edit_blocks, split_fused};
use super::{Family, bert};

/// GTE.
pub(super) const FAMILY: Family = Family { model_types: &["gte", "new"], heads: HEADS, map };

const HEADS: &[Head] = &[
    Head { unused: UNUSED, ..BASE },
    Head {
        suffixes: &["ForMaskedLM"],
        task: Task::MaskedLm,
        transform: Some(Transform {
            dense: "lm_head.dense",
            bias: true,
            narrow: false,
            activation: Some(Activation::Gelu),
            norm: Some("lm_head.norm"),
        }),
        output: Output::Vocabulary { weight: &["lm_head.decoder.weight"], bias: &["lm_head.decoder.bias"] },
        unused: UNUSED,
        ..BASE
    },
    Head {
        suffixes: &["ForSequenceClassification"],
        task: Task::Classification,
        pooling: Pooling::First,
        transform: pooler("pooler.dense", Activation::Tanh),
        output: Output::Labels { module: "classifier", bias: true },
        unused: &["lm_head."],
        ..BASE
    },
    Head { unused: UNUSED, ..TOKEN_CLASSIFICATION },
];

/// A pooler that only classifiers use.
const UNUSED: &[&str] = &["pooler."];

const NAMES: Names = Names {
    prefixes: &["new.", "gte."],
    stack: &[
        (StackPart::TokenEmbedding, "embeddings.word_embeddings"),
        (StackPart::TokenTypeEmbedding, "embeddings.token_type_embeddings"),
        (StackPart::EmbeddingNorm, "embeddings.LayerNorm"),
    ],
    layer: "encoder.layer.{}.",
    block: &[
        (BlockPart::Query, "attention.qkv_proj"),
        (BlockPart::Key, "attention.qkv_proj"),
        (BlockPart::Value, "attention.qkv_proj"),
        (BlockPart::Output, "attention.o_proj"),
        (BlockPart::AttentionNorm, "attn_ln"),
        (BlockPart::Gate, "mlp.up_gate_proj"),
        (BlockPart::Up, "mlp.up_gate_proj"),
        (BlockPart::Down, "mlp.down_proj"),
        (BlockPart::FeedForwardNorm, "mlp_ln"),
    ],
};

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    let norm = Norm::layer(config.real_or(&["layer_norm_eps"], 1e-12)?);
    let max_positions = context.computed_positions(config.size(&["max_position_embeddings"])?);
    let mut dimensions = bert::dimensions(context, norm, max_positions)?;
    if let Some(head_dim) = config.optional_size(&["head_dim"])? {
        dimensions.head_dim = head_dim;
    }
    let mut stack = dimensions.stack()?;
    stack.block.residual = Residual::PostNorm;
    stack.embedding.token_types = short(config.optional_size(&["type_vocab_size"])?.unwrap_or(0), "type_vocab_size")?;
    stack.embedding.norm = Some(norm.of(dimensions.hidden_size));
    stack.block.feed_forward.gated = true;
    let attention = &mut stack.block.attention;
    attention.position = AttentionPosition::Rotary {
        dims: attention.head_dim,
        local: false,
        layers: layer_bits(dimensions.layers, |_| true),
    };
    let rope = if context.model_type == "new" { own_rope(context, attention.head_dim)? } else { public_rope(context)? };
    let mut draft = Draft::new(context, Stack::Encoder, stack, &NAMES, norm);
    draft.sources.insert(Role::Stack(Stack::Encoder, StackPart::Rotary), rope.table());
    split_fused(&mut draft.sources, &stack);
    let inner = dimensions.intermediate_size;
    edit_blocks(&mut draft.sources, |_, part, pick| match part {
        // The values come before the gate.
        BlockPart::Up => pick.rows = Some((0..inner).collect()),
        BlockPart::Gate => pick.rows = Some((inner..2 * inner).collect()),
        _ => {}
    });
    for (role, source) in &mut draft.sources {
        if let Role::Block(_, _, BlockPart::Up | BlockPart::Gate) = role {
            source.bias = Some(Value::Constant(0.0));
        }
    }
    Ok(draft)
}

fn public_rope(context: &Context<'_>) -> Result<Rope> {
    rope(context, None, "rope_theta", None, Rope::plain(160_000.0, 1.0))
}

/// The rotary positions of the first checkpoints, whose keys are read by their own code.
fn own_rope(context: &Context<'_>, head_dim: u16) -> Result<Rope> {
    let config = context.config;
    config.only("position_embedding_type", &["rope".into()])?;
    config.only("layer_norm_type", &["layer_norm".into()])?;
    config.only("pack_qkv", &[true.into()])?;
    config.only("logn_attention_scale", &[false.into()])?;
    config.only("rope_scaling.type", &["ntk".into()])?;
    config.only("rope_scaling.mixed_b", &[])?;
    // How the computation is executed, and the bound of a scale that is refused above.
    config.get(&["unpad_inputs", "use_memory_efficient_attention", "logn_attention_clip1"]);
    let theta = config.real_or(&["rope_theta"], 10_000.0)?;
    let stretched = config.peek("rope_scaling").and_then(Json::as_object).is_some();
    let factor = if stretched { config.real_or(&["rope_scaling.factor"], 1.0)? } else { 1.0 };
    Ok(if factor > 1.0 { Rope::ntk(theta, factor, head_dim) } else { Rope::plain(theta, 1.0) })
}
