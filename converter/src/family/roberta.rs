//! RoBERTa (arXiv 1907.11692), XLM-RoBERTa (arXiv 1911.02116), CamemBERT (arXiv 1911.03894): BERT
//! with positions that begin after the padding token's and do not count it, and heads of its own.

use anyhow::Result;
use kinglet::format::layout::{Role, Stack, StackPart};
use kinglet::format::spec::{Activation, Pooling, Residual, Task};

use super::draft::{Context, Draft, Norm};
use super::head::{BASE, Head, Output, QUESTION_ANSWERING, TOKEN_CLASSIFICATION, Transform, add_row, pooler};
use super::parts::{plain_encoder, short};
use super::source::{Names, edit};
use super::{Family, bert};

/// RoBERTa.
pub(super) const FAMILY: Family = Family { model_types: &["roberta", "xlm-roberta", "camembert"], heads: HEADS, map };

pub(super) const HEADS: &[Head] = &[
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
        output: Output::Vocabulary {
            weight: &["lm_head.decoder.weight"],
            bias: &["lm_head.bias", "lm_head.decoder.bias"],
        },
        unused: UNUSED,
        ..BASE
    },
    Head {
        suffixes: &["ForSequenceClassification"],
        task: Task::Classification,
        pooling: Pooling::First,
        transform: pooler("classifier.dense", Activation::Tanh),
        output: Output::Labels { module: "classifier.out_proj", bias: true },
        unused: UNUSED,
        ..BASE
    },
    Head { unused: UNUSED, ..TOKEN_CLASSIFICATION },
    Head { unused: UNUSED, ..QUESTION_ANSWERING },
];

/// A pooler that only the base model would use.
const UNUSED: &[&str] = &["pooler."];

const NAMES: Names = Names { prefixes: &["roberta."], ..bert::NAMES };

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    plain_encoder(context)?;
    let norm = Norm::layer(config.real_or(&["layer_norm_eps"], 1e-12)?);
    let padding = config.optional_size(&["pad_token_id"])?.unwrap_or(1);
    let first = padding.saturating_add(1);
    let rows = config.size(&["max_position_embeddings"])?;
    let max_positions = context.stored_positions(rows.saturating_sub(first))?;
    let dimensions = bert::dimensions(context, norm, max_positions)?;
    let types = config.optional_size(&["type_vocab_size"])?.unwrap_or(2);
    let mut stack = dimensions.stack()?;
    stack.block.residual = Residual::PostNorm;
    stack.embedding.positions = true;
    stack.embedding.padding = Some(padding);
    stack.embedding.token_types = if types == 1 { 0 } else { short(types, "type_vocab_size")? };
    stack.embedding.norm = Some(norm.of(dimensions.hidden_size));
    let mut draft = Draft::new(context, Stack::Encoder, stack, &NAMES, norm);
    edit(&mut draft.sources, |role, pick| {
        if role == Role::Stack(Stack::Encoder, StackPart::PositionEmbedding) {
            pick.rows = Some((first..first + max_positions).chain([padding]).collect());
            // The only type there is goes into the positions.
            if types == 1 {
                add_row(pick, NAMES.prefixes, "embeddings.token_type_embeddings");
            }
        }
    });
    Ok(draft)
}
