//! BigBird (arXiv 2007.14062), for texts so short that its attention is full, as BERT's is.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack};
use kinglet::format::spec::{Activation, PositionTable, Residual, Task, TokenScale};

use super::draft::{Context, Draft, Norm};
use super::head::{
    BASE, DENSE_CLASSIFICATION, Head, Output, QUESTION_ANSWERING, TOKEN_CLASSIFICATION, multiple_choice, pooler,
};
use super::parts::{plain_encoder, short};
use super::source::{Source, Value, module};
use super::{Family, bert};
use crate::fixed::multiplier;
use crate::refuse;

/// BigBird.
pub(super) const FAMILY: Family = Family { model_types: &["big_bird"], heads: HEADS, map };

/// The head of a text classifier.
const CLASSIFIER: Head = Head { unused: UNUSED, ..DENSE_CLASSIFICATION };

const HEADS: &[Head] = &[
    Head { unused: UNUSED, ..BASE },
    bert::MASKED_LM,
    CLASSIFIER,
    multiple_choice(Head { transform: pooler("pooler", Activation::Tanh), unused: &["cls."], ..CLASSIFIER }),
    Head { unused: UNUSED, ..TOKEN_CLASSIFICATION },
    Head { output: Output::Rows { module: "qa_classifier.qa_outputs", rows: 2 }, unused: UNUSED, ..QUESTION_ANSWERING },
];

/// Modules of pretraining heads, which a checkpoint may still have.
const UNUSED: &[&str] = &["pooler.", "cls.seq_relationship."];

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    plain_encoder(context)?;
    let norm = Norm::layer(config.real_or(&["layer_norm_eps"], 1e-12)?);
    let stored = config.size(&["max_position_embeddings"])?;
    let block_size = config.optional_size(&["block_size"])?.unwrap_or(64);
    let random = config.optional_size(&["num_random_blocks"])?.unwrap_or(3);
    let full = match config.text_or(&["attention_type"], "block_sparse")? {
        "original_full" => stored,
        "block_sparse" => stored.min(random.saturating_mul(2).saturating_add(5).saturating_mul(block_size)),
        other => {
            return Err(refuse(
                format_args!("config.json says `attention_type` = \"{other}\""),
                "block_sparse and original_full are known",
            ));
        }
    };
    let max_positions = context.stored_positions(full)?;
    let mut dimensions = bert::dimensions(context, norm, max_positions)?;
    let layers = dimensions.layers;
    let answers = context.head.task == Task::QuestionAnswering;
    if answers {
        dimensions.layers = layers.saturating_add(1);
    }
    let mut stack = dimensions.stack()?;
    stack.block.residual = Residual::PostNorm;
    stack.block.attention.qkv_bias = config.flag_or(&["use_bias"], true)?;
    if config.flag_or(&["rescale_embeddings"], false)? {
        stack.embedding.scale = TokenScale::Fixed(multiplier(libm::sqrt(f64::from(stack.hidden_size)))?);
    }
    stack.embedding.positions = PositionTable::BeforeNorm;
    stack.embedding.token_types = short(config.optional_size(&["type_vocab_size"])?.unwrap_or(2), "type_vocab_size")?;
    stack.embedding.norm = Some(norm.of(stack.hidden_size));
    let mut draft = Draft::new(context, Stack::Encoder, stack, &bert::NAMES, norm);
    if answers {
        add_network(&mut draft, short(layers, "num_hidden_layers")?);
    }
    if full < stored {
        draft.notes.push(format!(
            "beyond {full} tokens this model's attention is sparse, which is not implemented: longer texts are refused"
        ));
    }
    Ok(draft)
}

/// Adds the network that precedes the projection of the question answering head, as one more block.
/// Its attention gives zeros. The norm after the attention gets the weights of the previous block's
/// last norm, which gets none: normalizing a second time changes nothing.
fn add_network(draft: &mut Draft, layer: u16) {
    let own = |part| Role::Block(Stack::Encoder, layer, part);
    let of = |name: &str| module(bert::NAMES.prefixes, name, true);
    let constant = |weight| Source { weight: Value::Constant(weight), bias: Some(Value::Constant(0.0)) };
    let before = layer.saturating_sub(1);
    for part in [BlockPart::Query, BlockPart::Key, BlockPart::Value, BlockPart::Output] {
        draft.sources.insert(own(part), constant(0.0));
    }
    let parts = [
        (own(BlockPart::AttentionNorm), of(&format!("encoder.layer.{before}.output.LayerNorm"))),
        (Role::Block(Stack::Encoder, before, BlockPart::FeedForwardNorm), constant(1.0)),
        (own(BlockPart::Up), of("qa_classifier.intermediate.dense")),
        (own(BlockPart::Down), of("qa_classifier.output.dense")),
        (own(BlockPart::FeedForwardNorm), of("qa_classifier.output.LayerNorm")),
    ];
    draft.sources.extend(parts);
}
