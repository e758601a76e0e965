//! ESM (Lin et al. 2023, Science 379), a model of proteins: pre-norm blocks, rotary or learned
//! positions.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{Activation, AttentionPosition, PositionTable, Task, TokenScale};
use serde_json::Value as Json;

use super::draft::{Context, Draft, Norm};
use super::head::{BASE, DENSE_CLASSIFICATION, Head, Output, TOKEN_CLASSIFICATION, Transform, pooler};
use super::parts::{even, layer_bits};
use super::rope::Rope;
use super::source::{Names, edit};
use super::{Family, bert};
use crate::fixed::multiplier;
use crate::refuse;

/// ESM-1b and ESM-2.
pub(super) const FAMILY: Family = Family { model_types: &["esm"], heads: HEADS, map };

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
            norm: Some("lm_head.layer_norm"),
        }),
        output: Output::Vocabulary { weight: &["lm_head.decoder.weight"], bias: &["lm_head.bias"] },
        unused: UNUSED,
        ..BASE
    },
    Head {
        transform: pooler("classifier.dense", Activation::Tanh),
        unused: &["pooler.", "contact_head.", "lm_head."],
        ..DENSE_CLASSIFICATION
    },
    Head { unused: &["pooler.", "contact_head.", "lm_head."], ..TOKEN_CLASSIFICATION },
];

/// The head that predicts contacts in a protein, and a pooler that is never used.
const UNUSED: &[&str] = &["pooler.", "contact_head."];

const NAMES: Names = Names {
    prefixes: &["esm."],
    stack: &[
        (StackPart::TokenEmbedding, "embeddings.word_embeddings"),
        (StackPart::PositionEmbedding, "embeddings.position_embeddings"),
        (StackPart::EmbeddingNorm, "embeddings.layer_norm"),
        (StackPart::FinalNorm, "encoder.emb_layer_norm_after"),
    ],
    block: &[
        (BlockPart::AttentionNorm, "attention.LayerNorm"),
        (BlockPart::Query, "attention.self.query"),
        (BlockPart::Key, "attention.self.key"),
        (BlockPart::Value, "attention.self.value"),
        (BlockPart::Output, "attention.output.dense"),
        (BlockPart::FeedForwardNorm, "LayerNorm"),
        (BlockPart::Up, "intermediate.dense"),
        (BlockPart::Down, "output.dense"),
    ],
    ..bert::NAMES
};

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    for key in ["is_decoder", "add_cross_attention", "is_folding_model"] {
        config.only(key, &[false.into()])?;
    }
    let said = config.get(&["position_embedding_type"]).cloned().unwrap_or(Json::Null);
    let rotary = match said.as_str() {
        Some("rotary") => true,
        Some("absolute") => false,
        _ => {
            return Err(refuse(
                format_args!("config.json says `position_embedding_type` = {said}, which is not implemented"),
                "only absolute and rotary are implemented",
            ));
        }
    };
    let norm = Norm::layer(config.real_or(&["layer_norm_eps"], 1e-12)?);
    let rows = config.size(&["max_position_embeddings"])?;
    let padding = config.optional_size(&["pad_token_id"])?.unwrap_or(1);
    let first = padding.saturating_add(1);
    let max_positions =
        if rotary { context.computed_positions(rows) } else { context.stored_positions(rows.saturating_sub(first))? };
    let dimensions = bert::dimensions(context, norm, max_positions)?;
    let mut stack = dimensions.stack()?;
    // The configuration does not name an activation.
    stack.block.feed_forward.activation = Activation::Gelu;
    stack.final_norm = Some(norm.of(dimensions.hidden_size));
    if config.flag_or(&["emb_layer_norm_before"], false)? {
        stack.embedding.norm = Some(norm.of(dimensions.hidden_size));
    }
    if rotary {
        let dims = even(stack.block.attention.head_dim)?;
        stack.block.attention.position =
            AttentionPosition::Rotary { dims, local: false, layers: layer_bits(dimensions.layers, |_| true) };
    } else {
        stack.embedding.positions = PositionTable::BeforeNorm;
        stack.embedding.padding = Some(padding);
    }
    if config.flag_or(&["token_dropout"], false)? {
        // The share of tokens that were not masked in training.
        let factor = multiplier(1.0 - 0.15 * 0.8)?;
        stack.embedding.scale = match config.optional_size(&["mask_token_id"])? {
            Some(mask) if mask < stack.embedding.vocab_size => TokenScale::Unmasked { factor, mask },
            _ => TokenScale::Fixed(factor),
        };
    }
    config.get(&["mask_token_id"]);
    let mut draft = Draft::new(context, Stack::Encoder, stack, &NAMES, norm);
    if rotary {
        let rope = rotary_positions(context, stack.block.attention.head_dim)?;
        draft.sources.insert(Role::Stack(Stack::Encoder, StackPart::Rotary), rope.table());
        context.checkpoint.dismiss(|name| name.ends_with("embeddings.position_embeddings.weight"));
    }
    edit(&mut draft.sources, |role, pick| {
        if role == Role::Stack(Stack::Encoder, StackPart::PositionEmbedding) {
            pick.rows = Some((first..first + max_positions).chain([padding]).collect());
        }
    });
    Ok(draft)
}

/// The frequencies of rotary positions. Stored frequencies may have been rounded in training, and
/// are used unchanged; otherwise they are computed.
fn rotary_positions(context: &Context<'_>, head_dim: u16) -> Result<Rope> {
    const FREQUENCIES: &str = "rotary_embeddings.inv_freq";
    let theta = context.config.real_or(&["rope_theta"], 10_000.0)?;
    let checkpoint = context.checkpoint;
    let stored = checkpoint.names().find(|name| name.ends_with(FREQUENCIES)).map(str::to_owned);
    let Some(name) = stored else { return Ok(Rope::plain(theta, 1.0)) };
    let frequencies = checkpoint.tensor(&name)?.values;
    checkpoint.dismiss(|name| name.ends_with(FREQUENCIES));
    if frequencies.len() != usize::from(head_dim / 2) {
        return Err(refuse(
            format_args!(
                "tensor `{name}` has {} frequencies, but config.json makes {}",
                frequencies.len(),
                head_dim / 2
            ),
            "config.json is not of this checkpoint, or this variant is not supported",
        ));
    }
    Ok(Rope::stored(theta, &frequencies))
}
