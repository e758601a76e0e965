//! BART (arXiv 1910.13461) and the families that adopted its code: mBART (arXiv 2001.08210), Marian
//! (arXiv 1804.00344), PEGASUS (arXiv 1912.08777), M2M-100 (arXiv 2010.11125), BlenderBot (arXiv
//! 2004.13637), MVP (arXiv 2206.12131), PLBART (arXiv 2103.06333) and LED (arXiv 2004.05150).

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{Activation, Pooling, PositionTable, Residual, StackSpec, Task, TokenScale};

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::head::{BASE, CAUSAL_LM, Head, Last, Output, QUESTION_ANSWERING, pooler};
use super::parts::{Dimensions, activation_key, divide, layer_bits, set_window};
use super::source::{Names, Pick, Prefixes, Value, edit, prefixed};
use crate::fixed::multiplier;
use crate::refuse;
use crate::tables::Sinusoid;
use serde_json::Value as Json;

/// BART.
pub(super) const FAMILY: Family = Family {
    model_types: &[
        "bart",
        "mbart",
        "marian",
        "pegasus",
        "m2m_100",
        "blenderbot",
        "mvp",
        "plbart",
        "led",
        "blenderbot-small",
    ],
    heads: HEADS,
    map,
};

const HEADS: &[Head] = &[
    BASE,
    Head {
        suffixes: &["ForConditionalGeneration", "MTModel"],
        output: Output::Vocabulary { weight: &["lm_head.weight"], bias: &["final_logits_bias"] },
        ..CAUSAL_LM
    },
    Head {
        suffixes: &["ForSequenceClassification"],
        task: Task::Classification,
        pooling: Pooling::Last,
        last: Last::OfEnd,
        transform: pooler("classification_head.dense", Activation::Tanh),
        output: Output::Labels { module: "classification_head.out_proj", bias: true },
        ..BASE
    },
    QUESTION_ANSWERING,
];

/// The differences between the families.
struct Variant {
    model_type: &'static str,
    /// Whether the embedding has a norm.
    embedding_norm: bool,
    /// Whether norms precede the sublayers, with another one after the last block.
    pre_norm: bool,
    positions: Positions,
}

enum Positions {
    /// A learned table, whose first row for tokens is this one.
    Learned(u32),
    /// Sinusoids, from position 0.
    Sinusoidal,
    /// Sinusoids of closed range, from the position after the padding token's. The padding token
    /// has no position and is not counted.
    SinusoidalAfterPadding,
}

const VARIANTS: &[Variant] = &[
    Variant { model_type: "bart", embedding_norm: true, pre_norm: false, positions: Positions::Learned(2) },
    Variant { model_type: "mbart", embedding_norm: true, pre_norm: true, positions: Positions::Learned(2) },
    Variant { model_type: "marian", embedding_norm: false, pre_norm: false, positions: Positions::Sinusoidal },
    Variant { model_type: "pegasus", embedding_norm: false, pre_norm: true, positions: Positions::Sinusoidal },
    Variant { model_type: "blenderbot", embedding_norm: false, pre_norm: true, positions: Positions::Learned(0) },
    Variant { model_type: "mvp", embedding_norm: true, pre_norm: false, positions: Positions::Learned(2) },
    Variant { model_type: "plbart", embedding_norm: true, pre_norm: false, positions: Positions::Learned(2) },
    Variant { model_type: "blenderbot-small", embedding_norm: true, pre_norm: false, positions: Positions::Learned(0) },
    Variant { model_type: "led", embedding_norm: true, pre_norm: false, positions: Positions::Learned(0) },
    Variant {
        model_type: "m2m_100",
        embedding_norm: false,
        pre_norm: true,
        positions: Positions::SinusoidalAfterPadding,
    },
];

const PREFIXES: Prefixes = &["model.", "led."];

const ENCODER: Names = Names {
    prefixes: PREFIXES,
    stack: &[
        (StackPart::TokenEmbedding, "encoder.embed_tokens"),
        (StackPart::PositionEmbedding, "encoder.embed_positions"),
        (StackPart::EmbeddingNorm, "encoder.layernorm_embedding"),
        (StackPart::FinalNorm, "encoder.layer_norm"),
    ],
    layer: "encoder.layers.{}.",
    block: BLOCK,
};

/// The names of an encoder whose attention may be local.
const LOCAL_ENCODER: Names = Names {
    block: &[
        (BlockPart::AttentionNorm, "self_attn_layer_norm"),
        (BlockPart::Query, "self_attn.longformer_self_attn.query"),
        (BlockPart::Key, "self_attn.longformer_self_attn.key"),
        (BlockPart::Value, "self_attn.longformer_self_attn.value"),
        (BlockPart::Output, "self_attn.output"),
        (BlockPart::FeedForwardNorm, "final_layer_norm"),
        (BlockPart::Up, "fc1"),
        (BlockPart::Down, "fc2"),
    ],
    ..ENCODER
};

const DECODER: Names = Names {
    stack: &[
        (StackPart::TokenEmbedding, "decoder.embed_tokens"),
        (StackPart::PositionEmbedding, "decoder.embed_positions"),
        (StackPart::EmbeddingNorm, "decoder.layernorm_embedding"),
        (StackPart::FinalNorm, "decoder.layer_norm"),
    ],
    layer: "decoder.layers.{}.",
    ..ENCODER
};

const BLOCK: &[(BlockPart, &str)] = &[
    (BlockPart::AttentionNorm, "self_attn_layer_norm"),
    (BlockPart::Query, "self_attn.q_proj"),
    (BlockPart::Key, "self_attn.k_proj"),
    (BlockPart::Value, "self_attn.v_proj"),
    (BlockPart::Output, "self_attn.out_proj"),
    (BlockPart::CrossNorm, "encoder_attn_layer_norm"),
    (BlockPart::CrossQuery, "encoder_attn.q_proj"),
    (BlockPart::CrossKey, "encoder_attn.k_proj"),
    (BlockPart::CrossValue, "encoder_attn.v_proj"),
    (BlockPart::CrossOutput, "encoder_attn.out_proj"),
    (BlockPart::FeedForwardNorm, "final_layer_norm"),
    (BlockPart::Up, "fc1"),
    (BlockPart::Down, "fc2"),
];

/// The epsilon of all norms, which these families' configurations do not have.
const EPSILON: f64 = 1e-5;

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    let variant = VARIANTS.iter().find(|variant| variant.model_type == context.model_type).unwrap_or(&VARIANTS[0]);
    // The family decides these, whatever the configuration says.
    config.get(&["normalize_before", "normalize_embedding", "add_final_layer_norm", "static_position_embeddings"]);
    config.get(&["extra_pos_embeddings", "add_bias_logits", "force_bos_token_to_be_generated", "num_hidden_layers"]);

    config.only("use_prompt", &[false.into()])?;
    let share = shares_table(context)?;
    let vocab_size = config.size(&["vocab_size"])?;
    let target_vocab_size = config.optional_size(&["decoder_vocab_size"])?.unwrap_or(vocab_size);
    let mut encoder = stack(context, variant, "encoder", vocab_size)?;
    let local = set_local_attention(context, &mut encoder)?;
    let mut decoder = stack(context, variant, "decoder", if share { vocab_size } else { target_vocab_size })?;
    decoder.block.cross_attention = true;
    decoder.embedding.shared = share;
    if context.model_type == "blenderbot-small" {
        decoder.embedding.positions = PositionTable::AfterNorm;
    }

    let mut draft = Draft::new(
        context,
        Stack::Encoder,
        encoder,
        if local { &LOCAL_ENCODER } else { &ENCODER },
        Norm::layer(EPSILON),
    );
    draft.add(Stack::Decoder, decoder, &DECODER);
    if share {
        // One table, stored under up to three names.
        let names = ["shared", "encoder.embed_tokens", "decoder.embed_tokens"];
        let names = names.iter().flat_map(|name| prefixed(PREFIXES, &format!("{name}.weight"))).collect();
        draft
            .sources
            .insert(Role::Stack(Stack::Encoder, StackPart::TokenEmbedding), Value::Tensor(Pick::new(names)).into());
    }
    for id in [Stack::Encoder, Stack::Decoder] {
        set_positions(context, variant, &mut draft, id)?;
    }
    drop_empty_bias(context, &mut draft)?;
    draft.starts_with_last = matches!(context.model_type, "mbart" | "plbart");
    Ok(draft)
}

fn stack(context: &Context<'_>, variant: &Variant, side: &str, vocab_size: u32) -> Result<StackSpec> {
    let config = context.config;
    let key = |name: &str| format!("{side}_{name}");
    let hidden_size = config.size(&["d_model", "hidden_size"])?;
    let heads = config.size(&[&key("attention_heads")])?;
    let norm = Norm::layer(EPSILON);
    let positions = config.size(&[&format!("max_{side}_position_embeddings"), "max_position_embeddings"])?;
    let stored = matches!(variant.positions, Positions::Learned(_)) || stored_positions(context, side).is_some();
    let dimensions = Dimensions {
        hidden_size,
        layers: config.size(&[&key("layers")])?,
        heads,
        key_value_heads: heads,
        head_dim: divide(hidden_size, heads, "d_model")?,
        intermediate_size: config.size(&[&key("ffn_dim")])?,
        vocab_size,
        max_positions: if stored {
            context.stored_positions(positions)?
        } else {
            context.computed_positions(positions)
        },
        norm,
        activation: activation_key(config, "activation_function", "gelu")?,
    };
    let mut stack = dimensions.stack()?;
    stack.block.residual = if variant.pre_norm { Residual::PreNorm } else { Residual::PostNorm };
    stack.final_norm = variant.pre_norm.then(|| norm.of(hidden_size));
    stack.embedding.norm = variant.embedding_norm.then(|| norm.of(hidden_size));
    stack.embedding.positions = PositionTable::BeforeNorm;
    if let Positions::SinusoidalAfterPadding = variant.positions {
        stack.embedding.padding = Some(padding_token(context)?);
    }
    if config.flag_or(&["scale_embedding"], false)? {
        stack.embedding.scale = TokenScale::Fixed(multiplier(libm::sqrt(f64::from(hidden_size)))?);
    }
    Ok(stack)
}

/// Gives the encoder the window of its configuration, one half on each side. The original model
/// also lets the caller choose tokens with global attention; without them there are none.
fn set_local_attention(context: &Context<'_>, stack: &mut StackSpec) -> Result<bool> {
    if context.model_type != "led" {
        return Ok(false);
    }
    let said = context.config.get(&["attention_window"]).cloned().unwrap_or_else(|| 512.into());
    let windows = match &said {
        Json::Array(list) => list.clone(),
        one => vec![one.clone(); usize::from(stack.num_hidden_layers)],
    };
    let first = windows.first().and_then(Json::as_u64).and_then(|window| u32::try_from(window).ok()).unwrap_or(0);
    let alike = windows.iter().all(|window| window.as_u64() == Some(first.into()));
    if first == 0 || !first.is_multiple_of(2) || !alike || windows.len() != usize::from(stack.num_hidden_layers) {
        return Err(refuse(
            format_args!("config.json says `attention_window` = {said}, which is not implemented"),
            "only one even number for all layers of the encoder is implemented",
        ));
    }
    let global = |name: &str| name.contains(".longformer_self_attn.") && name.contains("_global.");
    context.checkpoint.dismiss(global);
    let layers = layer_bits(stack.num_hidden_layers.into(), |_| true);
    set_window(stack, Some(first / 2), layers)?;
    Ok(true)
}

/// Whether both stacks share one token table, by the configuration and the checkpoint.
fn shares_table(context: &Context<'_>) -> Result<bool> {
    let config = context.config;
    let share = config.flag_or(&["share_encoder_decoder_embeddings"], true)?;
    let tied = config.flag_or(&["tie_word_embeddings"], true)?;
    let two = has_two_tables(context);
    let shared = prefixed(PREFIXES, "shared.weight");
    let lacks_shared = !shared.iter().any(|name| context.checkpoint.shape(name).is_some());
    if !context.checkpoint.has_weights {
        return Ok(share);
    }
    if share && !tied && !two {
        return Err(refuse(
            "config.json says `tie_word_embeddings` = false, but the checkpoint has no token table for each stack",
            "config.json is not of this checkpoint: take both from one page",
        ));
    }
    if share && two && lacks_shared && context.model_type == "marian" {
        return Err(refuse(
            "config.json says `share_encoder_decoder_embeddings` = true, but the checkpoint has a token table for each stack",
            "set it to false if the checkpoint is right",
        ));
    }
    Ok(share && !two)
}

/// Whether encoder and decoder have different token tables, in a checkpoint that is not tied.
fn has_two_tables(context: &Context<'_>) -> bool {
    let checkpoint = context.checkpoint;
    let name = |side: &str| {
        let names = prefixed(PREFIXES, &format!("{side}.weight"));
        names.into_iter().find(|name| checkpoint.shape(name).is_some())
    };
    let (Some(encoder), Some(decoder)) = (name("encoder.embed_tokens"), name("decoder.embed_tokens")) else {
        return false;
    };
    let two = !checkpoint.same(&encoder, &decoder);
    if let (true, Some(shared)) = (two, name("shared")) {
        // The shared table is stored, but neither stack uses it.
        checkpoint.dismiss(|name| name == shared);
    }
    two
}

/// The name of a stored table of positions, which old checkpoints have even if it can be computed.
fn stored_positions(context: &Context<'_>, side: &str) -> Option<String> {
    let names = prefixed(PREFIXES, &format!("{side}.embed_positions.weight"));
    names.into_iter().find(|name| context.checkpoint.shape(name).is_some())
}

fn set_positions(context: &Context<'_>, variant: &Variant, draft: &mut Draft, id: Stack) -> Result<()> {
    let (side, stack) = match id {
        Stack::Encoder => ("encoder", draft.encoder),
        Stack::Decoder => ("decoder", draft.decoder),
    };
    let role = Role::Stack(id, StackPart::PositionEmbedding);
    let sinusoid = match variant.positions {
        Positions::Learned(first) => {
            let last = first + stack.map_or(0, |stack| stack.max_positions);
            edit(&mut draft.sources, |of, pick| {
                if of == role {
                    pick.rows = Some((first..last).collect());
                }
            });
            return Ok(());
        }
        Positions::Sinusoidal if stored_positions(context, side).is_some() => return Ok(()),
        Positions::Sinusoidal => Sinusoid { interleaved: false, closed: false, first: 0, padded: false },
        Positions::SinusoidalAfterPadding => {
            let names = prefixed(PREFIXES, &format!("{side}.embed_positions."));
            context.checkpoint.dismiss(|name| names.iter().any(|start| name.starts_with(start)));
            Sinusoid { interleaved: false, closed: true, first: padding_token(context)? + 1, padded: true }
        }
    };
    draft.sources.insert(role, Value::Sinusoidal(sinusoid).into());
    Ok(())
}

/// The token that positions skip, in families that do so.
fn padding_token(context: &Context<'_>) -> Result<u32> {
    Ok(context.config.optional_size(&["pad_token_id"])?.unwrap_or(1))
}

/// Drops the bias on the logits if it is missing or all zeros, as in most checkpoints.
fn drop_empty_bias(context: &Context<'_>, draft: &mut Draft) -> Result<()> {
    let names = prefixed(PREFIXES, "final_logits_bias");
    let found = names.iter().find(|name| context.checkpoint.shape(name).is_some());
    let empty = match found {
        Some(name) => context.checkpoint.tensor(name)?.values.iter().all(|x| *x == 0.0),
        None => true,
    };
    if let (Output::Vocabulary { bias, .. }, true) = (&mut draft.head.output, empty) {
        *bias = &[];
    }
    Ok(())
}
