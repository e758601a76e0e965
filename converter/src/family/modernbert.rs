//! ModernBERT (arXiv 2412.13663): pre-norm blocks without biases, rotary positions, gated networks,
//! and windows in two layers out of three; also decoders with these blocks.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{AttentionPosition, Pooling, Task};

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::head::{
    BASE, CAUSAL_LM, Head, LAST_TOKEN_CLASSIFICATION, Output, TOKEN_CLASSIFICATION, Transform, multiple_choice,
};
use super::parts::{Dimensions, activation_key, divide, layer_bits, set_local, sliding_layer_types};
use super::rope::{Rope, rope};
use super::source::{Names, Source, Value, split_fused};
use crate::refuse;

/// ModernBERT.
pub(super) const FAMILY: Family = Family { model_types: &["modernbert"], heads: HEADS, map: encoder };
/// The decoders that were trained along with it (arXiv 2507.11412).
pub(super) const DECODER: Family = Family { model_types: &["modernbert-decoder"], heads: DECODER_HEADS, map: decoder };

const TRANSFORM: Transform =
    Transform { dense: "head.dense", bias: false, narrow: false, activation: None, norm: Some("head.norm") };

/// The head of a text classifier.
const CLASSIFIER: Head = Head {
    suffixes: &["ForSequenceClassification"],
    task: Task::Classification,
    transform: Some(TRANSFORM),
    output: Output::Labels { module: "classifier", bias: true },
    ..BASE
};

const HEADS: &[Head] = &[
    BASE,
    Head {
        suffixes: &["ForMaskedLM"],
        task: Task::MaskedLm,
        transform: Some(TRANSFORM),
        output: Output::Vocabulary { weight: &["decoder.weight"], bias: &["decoder.bias"] },
        ..BASE
    },
    CLASSIFIER,
    multiple_choice(CLASSIFIER),
    Head { transform: Some(TRANSFORM), ..TOKEN_CLASSIFICATION },
    Head {
        suffixes: &["ForQuestionAnswering"],
        task: Task::QuestionAnswering,
        transform: Some(TRANSFORM),
        output: Output::Rows { module: "classifier", rows: 2 },
        ..BASE
    },
];

const DECODER_HEADS: &[Head] = &[
    BASE,
    Head {
        transform: Some(Transform { dense: "lm_head.dense", norm: Some("lm_head.norm"), ..TRANSFORM }),
        output: Output::Vocabulary { weight: &["decoder.weight"], bias: &["decoder.bias"] },
        ..CAUSAL_LM
    },
    Head {
        transform: Some(TRANSFORM),
        output: Output::Labels { module: "classifier", bias: false },
        ..LAST_TOKEN_CLASSIFICATION
    },
];

const NAMES: Names = Names {
    prefixes: &["model."],
    stack: &[
        (StackPart::TokenEmbedding, "embeddings.tok_embeddings"),
        (StackPart::EmbeddingNorm, "embeddings.norm"),
        (StackPart::FinalNorm, "final_norm"),
    ],
    layer: "layers.{}.",
    block: &[
        (BlockPart::AttentionNorm, "attn_norm"),
        (BlockPart::Query, "attn.Wqkv"),
        (BlockPart::Key, "attn.Wqkv"),
        (BlockPart::Value, "attn.Wqkv"),
        (BlockPart::Output, "attn.Wo"),
        (BlockPart::FeedForwardNorm, "mlp_norm"),
        (BlockPart::Gate, "mlp.Wi"),
        (BlockPart::Up, "mlp.Wi"),
        (BlockPart::Down, "mlp.Wo"),
    ],
};

/// The names of decoders: queries, keys and values in separate matrices.
const DECODER_NAMES: Names = Names {
    block: &[
        (BlockPart::AttentionNorm, "attn_norm"),
        (BlockPart::Query, "attn.q_proj"),
        (BlockPart::Key, "attn.k_proj"),
        (BlockPart::Value, "attn.v_proj"),
        (BlockPart::Output, "attn.Wo"),
        (BlockPart::FeedForwardNorm, "mlp_norm"),
        (BlockPart::Gate, "mlp.Wi"),
        (BlockPart::Up, "mlp.Wi"),
        (BlockPart::Down, "mlp.Wo"),
    ],
    ..NAMES
};

fn encoder(context: &Context<'_>) -> Result<Draft> {
    let mut draft = map(context, Stack::Encoder, &NAMES)?;
    let pooling = context.config.text_or(&["classifier_pooling"], "cls")?;
    if matches!(draft.head.task, Task::Classification | Task::Regression) {
        draft.head.pooling = match pooling {
            "cls" => Pooling::First,
            "mean" => Pooling::Mean,
            other => {
                return Err(refuse(
                    format_args!("config.json says `classifier_pooling` = \"{other}\", which is not implemented"),
                    "only cls and mean are implemented",
                ));
            }
        };
    }
    Ok(draft)
}

fn decoder(context: &Context<'_>) -> Result<Draft> {
    let mut draft = map(context, Stack::Decoder, &DECODER_NAMES)?;
    let has_bias = context.config.flag_or(&["classifier_bias"], false)?;
    if let Output::Labels { bias, .. } = &mut draft.head.output {
        *bias = has_bias;
    }
    Ok(draft)
}

fn map(context: &Context<'_>, id: Stack, names: &Names) -> Result<Draft> {
    let config = context.config;
    let hidden_size = config.size(&["hidden_size"])?;
    let layers = config.size(&["num_hidden_layers"])?;
    let heads = config.size(&["num_attention_heads"])?;
    let intermediate_size = config.size(&["intermediate_size"])?;
    let norm =
        Norm { bias: config.flag_or(&["norm_bias"], false)?, ..Norm::layer(config.real_or(&["norm_eps"], 1e-5)?) };
    // Older files have these two keys of BERT, which the model does not use.
    config.get(&["layer_norm_eps", "position_embedding_type"]);
    let dimensions = Dimensions {
        hidden_size,
        layers,
        heads,
        key_value_heads: heads,
        head_dim: divide(hidden_size, heads, "hidden_size")?,
        intermediate_size,
        vocab_size: config.size(&["vocab_size"])?,
        max_positions: context.computed_positions(config.size(&["max_position_embeddings"])?),
        norm,
        activation: activation_key(config, "hidden_activation", "gelu")?,
    };
    let mut stack = dimensions.stack()?;
    stack.embedding.norm = Some(norm.of(hidden_size));
    stack.final_norm = Some(norm.of(hidden_size));
    stack.block.skip_first_norm = true;
    stack.block.feed_forward.gated = true;
    stack.block.feed_forward.bias = config.flag_or(&["mlp_bias"], false)?;
    let attention = &mut stack.block.attention;
    attention.qkv_bias = config.flag_or(&["attention_bias"], false)?;
    attention.output_bias = attention.qkv_bias;
    attention.position =
        AttentionPosition::Rotary { dims: attention.head_dim, local: false, layers: layer_bits(layers, |_| true) };
    let every = config.optional_size(&["global_attn_every_n_layers"])?.unwrap_or(3).max(1);
    let sliding = sliding_layer_types(config, layers)?;
    let sliding = sliding.unwrap_or_else(|| layer_bits(layers, |layer| !layer.is_multiple_of(every)));
    // Half of the window is on each side.
    let half = config.optional_size(&["local_attention"])?.unwrap_or(128) / 2;
    // Decoders give the half in a key of its own, which overrides the other.
    let window = config.optional_size(&["sliding_window"])?.filter(|_| id == Stack::Decoder).unwrap_or(half);
    set_local(&mut stack, window, sliding);
    let whole = |theta| Rope::plain(theta, 1.0);
    let full = rope(context, Some("full_attention"), "global_rope_theta", None, whole(160_000.0))?;
    let local = rope(context, Some("sliding_attention"), "local_rope_theta", None, whole(10_000.0))?;

    let mut draft = Draft::new(context, id, stack, names, norm);
    for (part, rope) in [(StackPart::Rotary, full), (StackPart::RotaryLocal, local)] {
        draft.sources.insert(Role::Stack(id, part), rope.table());
    }
    split_fused(&mut draft.sources, &stack);
    // The skipped norm is not stored, but has its place in the payload.
    let skipped = Source { weight: Value::Constant(1.0), bias: norm.bias.then_some(Value::Constant(0.0)) };
    draft.sources.insert(Role::Block(id, 0, BlockPart::AttentionNorm), skipped);
    set_head(context, &mut draft)?;
    Ok(draft)
}

/// Applies the keys of the head.
fn set_head(context: &Context<'_>, draft: &mut Draft) -> Result<()> {
    let config = context.config;
    let bias = config.flag_or(&["classifier_bias"], false)?;
    let activation = activation_key(config, "classifier_activation", "gelu")?;
    if let Some(transform) = &mut draft.head.transform {
        (transform.bias, transform.activation) = (bias, Some(activation));
    }
    let decoder_bias = config.flag_or(&["decoder_bias"], true)?;
    if let (Output::Vocabulary { bias, .. }, false) = (&mut draft.head.output, decoder_bias) {
        *bias = &[];
    }
    Ok(())
}
