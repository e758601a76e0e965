//! RoBERTa (arXiv 1907.11692), XLM-RoBERTa (arXiv 1911.02116), CamemBERT (arXiv 1911.03894): BERT
//! with positions that begin after the padding token's and skip it, and with heads of its own.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, StackPart};
use kinglet::format::spec::{Activation, PositionTable, Residual, Task};

use super::draft::{Context, Draft, Norm};
use super::head::{
    BASE, DENSE_CLASSIFICATION, Head, Output, QUESTION_ANSWERING, TOKEN_CLASSIFICATION, Transform, add_row,
    multiple_choice, pooler, with_head,
};
use super::parts::{short, side};
use super::source::{Names, edit};
use super::{Family, bert};

/// RoBERTa, and the text model of data2vec (arXiv 2202.03555).
pub(super) const FAMILY: Family =
    Family { model_types: &["roberta", "xlm-roberta", "camembert", "data2vec-text"], heads: BOTH_HEADS, map };
/// RoBERTa with norms before the sublayers, and one after the last block (arXiv 1904.01038).
pub(super) const PRE_NORM: Family = Family { model_types: &["roberta-prelayernorm"], heads: BOTH_HEADS, map };

/// The head of a text classifier.
const CLASSIFIER: Head =
    Head { transform: pooler("classifier.dense", Activation::Tanh), unused: UNUSED, ..DENSE_CLASSIFICATION };

/// The head of a masked language model.
const MASKED_LM: Head = Head {
    suffixes: &["ForMaskedLM"],
    task: Task::MaskedLm,
    transform: Some(Transform {
        dense: "lm_head.dense",
        bias: true,
        narrow: false,
        activation: Some(Activation::Gelu),
        norm: Some("lm_head.layer_norm"),
    }),
    output: Output::Vocabulary { weight: &["lm_head.decoder.weight"], bias: &["lm_head.bias", "lm_head.decoder.bias"] },
    unused: UNUSED,
    ..BASE
};

pub(super) const HEADS: [Head; 6] = [
    Head { unused: UNUSED, ..BASE },
    MASKED_LM,
    CLASSIFIER,
    multiple_choice(Head { transform: pooler("pooler.dense", Activation::Tanh), ..CLASSIFIER }),
    Head { unused: UNUSED, ..TOKEN_CLASSIFICATION },
    Head { unused: UNUSED, ..QUESTION_ANSWERING },
];

/// The heads, and that of a causal language model.
pub(super) const BOTH_HEADS: &[Head] =
    &with_head::<6, 7>(HEADS, Head { suffixes: &["ForCausalLM"], task: Task::CausalLm, ..MASKED_LM });

/// A pooler that only the base model uses.
const UNUSED: &[&str] = &["pooler."];

pub(super) const NAMES: Names = Names { prefixes: &["roberta.", "data2vec_text."], ..bert::NAMES };

const PRE_NORM_NAMES: Names = Names {
    prefixes: &["roberta_prelayernorm."],
    stack: &[
        (StackPart::TokenEmbedding, "embeddings.word_embeddings"),
        (StackPart::PositionEmbedding, "embeddings.position_embeddings"),
        (StackPart::TokenTypeEmbedding, "embeddings.token_type_embeddings"),
        (StackPart::EmbeddingNorm, "embeddings.LayerNorm"),
        (StackPart::FinalNorm, "LayerNorm"),
    ],
    block: &[
        (BlockPart::AttentionNorm, "attention.LayerNorm"),
        (BlockPart::Query, "attention.self.query"),
        (BlockPart::Key, "attention.self.key"),
        (BlockPart::Value, "attention.self.value"),
        (BlockPart::Output, "attention.output.dense"),
        (BlockPart::FeedForwardNorm, "intermediate.LayerNorm"),
        (BlockPart::Up, "intermediate.dense"),
        (BlockPart::Down, "output.dense"),
    ],
    ..NAMES
};

pub(super) fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    let id = side(context)?;
    let norm = Norm::layer(config.real_or(&["layer_norm_eps"], 1e-12)?);
    let padding = config.optional_size(&["pad_token_id"])?.unwrap_or(1);
    let first = padding.saturating_add(1);
    let rows = config.size(&["max_position_embeddings"])?;
    let max_positions = context.stored_positions(rows.saturating_sub(first))?;
    let dimensions = bert::dimensions(context, norm, max_positions)?;
    let types = config.optional_size(&["type_vocab_size"])?.unwrap_or(2);
    let mut stack = dimensions.stack()?;
    let before = context.model_type == "roberta-prelayernorm";
    let names = if before { &PRE_NORM_NAMES } else { &NAMES };
    stack.block.residual = if before { Residual::PreNorm } else { Residual::PostNorm };
    stack.final_norm = before.then(|| norm.of(dimensions.hidden_size));
    stack.block.cross_attention = context.crosses;
    stack.embedding.positions = PositionTable::BeforeNorm;
    stack.embedding.padding = Some(padding);
    stack.embedding.token_types = if types == 1 { 0 } else { short(types, "type_vocab_size")? };
    stack.embedding.norm = Some(norm.of(dimensions.hidden_size));
    let mut draft = Draft::new(context, id, stack, names, norm);
    edit(&mut draft.sources, |role, pick| {
        if role == Role::Stack(id, StackPart::PositionEmbedding) {
            pick.rows = Some((first..first + max_positions).chain([padding]).collect());
            // The row of the only token type is added to the positions.
            if types == 1 {
                add_row(pick, names.prefixes, "embeddings.token_type_embeddings");
            }
        }
    });
    Ok(draft)
}
