//! T5 (arXiv 1910.10683), T5 1.1 (arXiv 2002.05202), mT5 (arXiv 2010.11934) and UMT5 (arXiv
//! 2304.09151): RMS norms, unscaled scores with biases by distance, no other biases.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{Activation, AttentionPosition, Pooling, StackSpec, Task};
use serde_json::Value as Json;

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::head::{BASE, CAUSAL_LM, Head, Last, Output, QUESTION_ANSWERING, TOKEN_CLASSIFICATION, pooler};
use super::parts::{Dimensions, activation, score_scale};
use super::source::{Names, Pick, Prefixes, Value, edit, edit_blocks, prefixed, tensor};
use crate::refuse;
use crate::tables::Buckets;

/// T5.
pub(super) const FAMILY: Family = Family { model_types: &["t5", "mt5", "umt5"], heads: HEADS, map };

const HEADS: &[Head] = &[
    // First, because embeddings are made with it.
    Head { suffixes: &["EncoderModel"], unused: &["decoder.", "lm_head."], ..BASE },
    BASE,
    Head { suffixes: &["ForConditionalGeneration"], ..CAUSAL_LM },
    Head {
        suffixes: &["ForSequenceClassification"],
        task: Task::Classification,
        pooling: Pooling::Last,
        last: Last::OfEnd,
        transform: pooler("classification_head.dense", Activation::Tanh),
        output: Output::Labels { module: "classification_head.out_proj", bias: true },
        ..BASE
    },
    TOKEN_CLASSIFICATION,
    QUESTION_ANSWERING,
];

const PREFIXES: Prefixes = &["transformer."];

const ENCODER: Names = Names {
    prefixes: PREFIXES,
    stack: &[(StackPart::FinalNorm, "encoder.final_layer_norm")],
    layer: "encoder.block.{}.layer.",
    block: &[
        (BlockPart::AttentionNorm, "0.layer_norm"),
        (BlockPart::Query, "0.SelfAttention.q"),
        (BlockPart::Key, "0.SelfAttention.k"),
        (BlockPart::Value, "0.SelfAttention.v"),
        (BlockPart::Output, "0.SelfAttention.o"),
        (BlockPart::FeedForwardNorm, "1.layer_norm"),
        (BlockPart::Gate, "1.DenseReluDense.wi_0"),
        (BlockPart::Up, "1.DenseReluDense.wi"),
        (BlockPart::Down, "1.DenseReluDense.wo"),
    ],
};

const DECODER: Names = Names {
    prefixes: PREFIXES,
    stack: &[(StackPart::FinalNorm, "decoder.final_layer_norm")],
    layer: "decoder.block.{}.layer.",
    block: &[
        (BlockPart::AttentionNorm, "0.layer_norm"),
        (BlockPart::Query, "0.SelfAttention.q"),
        (BlockPart::Key, "0.SelfAttention.k"),
        (BlockPart::Value, "0.SelfAttention.v"),
        (BlockPart::Output, "0.SelfAttention.o"),
        (BlockPart::CrossNorm, "1.layer_norm"),
        (BlockPart::CrossQuery, "1.EncDecAttention.q"),
        (BlockPart::CrossKey, "1.EncDecAttention.k"),
        (BlockPart::CrossValue, "1.EncDecAttention.v"),
        (BlockPart::CrossOutput, "1.EncDecAttention.o"),
        (BlockPart::FeedForwardNorm, "2.layer_norm"),
        (BlockPart::Gate, "2.DenseReluDense.wi_0"),
        (BlockPart::Up, "2.DenseReluDense.wi"),
        (BlockPart::Down, "2.DenseReluDense.wo"),
    ],
};

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    let norm = Norm::rms(config.real_or(&["layer_norm_epsilon"], 1e-6)?);
    let layers = config.size(&["num_layers", "num_hidden_layers"])?;
    let decoder_layers = config.optional_size(&["num_decoder_layers"])?.unwrap_or(layers);
    let encoder = stack(context, norm, Stack::Encoder, layers)?;
    let mut draft = Draft::new(context, Stack::Encoder, encoder, &ENCODER, norm);
    if !context.head.suffixes.contains(&"EncoderModel") && context.head.task != Task::TokenClassification {
        config.only("is_encoder_decoder", &[true.into()])?;
        let mut decoder = stack(context, norm, Stack::Decoder, decoder_layers)?;
        decoder.block.cross_attention = true;
        decoder.embedding.shared = true;
        draft.add(Stack::Decoder, decoder, &DECODER);
    }
    // The head is tied to the table whenever the file has no other matrix, whatever the
    // configuration says.
    draft.tied = true;
    let names = ["shared", "encoder.embed_tokens", "decoder.embed_tokens"];
    let names = names.iter().flat_map(|name| prefixed(PREFIXES, &format!("{name}.weight"))).collect();
    draft
        .sources
        .insert(Role::Stack(Stack::Encoder, StackPart::TokenEmbedding), Value::Tensor(Pick::new(names)).into());
    for (id, side) in [(Stack::Encoder, "encoder"), (Stack::Decoder, "decoder")] {
        let Some(stack) = (if id == Stack::Encoder { draft.encoder } else { draft.decoder }) else { continue };
        // The first block has the biases of all blocks, unless each has its own.
        let blocks = if has_own_biases(context) { stack.num_hidden_layers } else { 1 };
        let table = |block| format!("{side}.block.{block}.layer.0.SelfAttention.relative_attention_bias");
        let tables = (0..blocks).map(|block| tensor(PREFIXES, &table(block), "weight")).collect();
        let buckets = buckets(context, id)?;
        draft.sources.insert(Role::Stack(id, StackPart::RelativeBias), Value::RelativeBias { tables, buckets }.into());
    }
    if encoder.block.feed_forward.gated {
        edit_blocks(&mut draft.sources, |_, part, pick| {
            if part == BlockPart::Up {
                pick.names.iter_mut().for_each(|name| *name = name.replace(".wi.", ".wi_1."));
            }
        });
    }
    if scales_output(context)? {
        let factor = 1.0 / libm::sqrtf(encoder.hidden_size as f32);
        edit(&mut draft.sources, |role, pick| {
            if role == Role::Stack(Stack::Decoder, StackPart::FinalNorm) {
                pick.factor = factor;
            }
        });
    }
    Ok(draft)
}

/// Whether hidden states are scaled before a language-model head, as in the first T5. Its
/// checkpoints are recognized by how they tie the head.
fn scales_output(context: &Context<'_>) -> Result<bool> {
    let config = context.config;
    let tied = config.flag_or(&["tie_word_embeddings"], true)?;
    const KEY: &str = "scale_decoder_outputs";
    // Null is not the default: it means false.
    let default = tied && !config.has(KEY);
    let scales = config.flag_or(&[KEY], default)?;
    Ok(scales && matches!(context.model_type, "t5" | "umt5") && context.head.task == Task::CausalLm)
}

fn stack(context: &Context<'_>, norm: Norm, id: Stack, layers: u32) -> Result<StackSpec> {
    let config = context.config;
    let hidden_size = config.size(&["d_model", "hidden_size"])?;
    let heads = config.size(&["num_heads", "num_attention_heads"])?;
    // No class reads this key any more, because it limits only the training.
    let trained = config.get(&["n_positions"]).and_then(Json::as_u64);
    // Most files repeat this key's two parts in separate keys, which override it.
    let (mut network, gated) = feed_forward(config.text_or(&["feed_forward_proj"], "relu")?)?;
    if let Some(name) = config.get(&["dense_act_fn"]).and_then(Json::as_str) {
        network = activation("dense_act_fn", name)?;
    }
    let gated = match config.has("is_gated_act") {
        true => config.flag_or(&["is_gated_act"], false)?,
        false => gated,
    };
    let dimensions = Dimensions {
        hidden_size,
        layers,
        heads,
        key_value_heads: heads,
        head_dim: config.size(&["d_kv"])?,
        intermediate_size: config.size(&["d_ff"])?,
        vocab_size: config.size(&["vocab_size"])?,
        max_positions: context.computed_positions(trained.and_then(|n| u32::try_from(n).ok()).unwrap_or(512)),
        norm,
        activation: network,
    };
    let mut stack = dimensions.stack()?;
    stack.final_norm = Some(norm.of(hidden_size));
    stack.block.attention.qkv_bias = false;
    stack.block.attention.output_bias = false;
    stack.block.attention.scale = score_scale(1.0)?;
    let distance = buckets(context, id)?.distance(stack.max_positions)?;
    stack.block.attention.position = if has_own_biases(context) {
        AttentionPosition::LayerRelativeBias { distance }
    } else {
        AttentionPosition::RelativeBias { distance }
    };
    stack.block.feed_forward.gated = gated;
    stack.block.feed_forward.bias = false;
    Ok(stack)
}

/// Whether every block has its own biases by distance.
fn has_own_biases(context: &Context<'_>) -> bool {
    context.model_type == "umt5"
}

fn buckets(context: &Context<'_>, id: Stack) -> Result<Buckets> {
    let config = context.config;
    Ok(Buckets {
        count: config.optional_size(&["relative_attention_num_buckets"])?.unwrap_or(32),
        max_distance: config.optional_size(&["relative_attention_max_distance"])?.unwrap_or(128),
        bidirectional: id == Stack::Encoder,
    })
}

/// Parses `relu`, or `gated-` and an activation, of which "gelu" means its tanh approximation.
fn feed_forward(text: &str) -> Result<(Activation, bool)> {
    match text.split('-').collect::<Vec<_>>()[..] {
        ["gated", "gelu"] => Ok((Activation::GeluTanh, true)),
        ["gated", name] => Ok((activation("feed_forward_proj", name)?, true)),
        [name] => Ok((activation("feed_forward_proj", name)?, false)),
        _ => Err(refuse(
            format_args!("config.json says `feed_forward_proj` = \"{text}\", which is not implemented"),
            "only an activation, with or without the prefix `gated-`, is implemented",
        )),
    }
}
