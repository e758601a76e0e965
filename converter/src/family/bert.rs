//! BERT (arXiv 1810.04805), also for MiniLM, BGE, E5 and other sentence encoders with its graph and
//! names.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, StackPart};
use kinglet::format::spec::{Activation, EmbeddingProjection, Pooling, PositionTable, Residual, StackSpec, Task};

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::head::{
    BASE, Head, Output, QUESTION_ANSWERING, TOKEN_CLASSIFICATION, Transform, multiple_choice, pooler, with_head,
};
use super::parts::{Dimensions, activation_key, divide, short, side};
use super::source::{Names, Pick, edit, tensor};

/// BERT, and ERNIE (arXiv 1904.09223).
pub(super) const FAMILY: Family = Family { model_types: &["bert", "ernie"], heads: BOTH_HEADS, map };
/// Megatron's BERT (arXiv 1909.08053): norms before the sublayers, and one after the last block.
pub(super) const MEGATRON: Family = Family { model_types: &["megatron-bert"], heads: BOTH_HEADS, map: megatron };

/// The head of a text classifier.
pub(super) const CLASSIFIER: Head = Head {
    suffixes: &["ForSequenceClassification"],
    task: Task::Classification,
    pooling: Pooling::First,
    transform: pooler("pooler.dense", Activation::Tanh),
    output: Output::Labels { module: "classifier", bias: true },
    unused: &["cls."],
    ..BASE
};

/// The head of a masked language model.
pub(super) const MASKED_LM: Head = Head {
    suffixes: &["ForMaskedLM", "ForPreTraining"],
    task: Task::MaskedLm,
    transform: Some(Transform {
        dense: "cls.predictions.transform.dense",
        bias: true,
        narrow: false,
        activation: None,
        norm: Some("cls.predictions.transform.LayerNorm"),
    }),
    output: Output::Vocabulary {
        weight: &["cls.predictions.decoder.weight"],
        bias: &["cls.predictions.bias", "cls.predictions.decoder.bias"],
    },
    unused: UNUSED,
    ..BASE
};

pub(super) const HEADS: [Head; 8] = [
    Head { unused: UNUSED, ..BASE },
    MASKED_LM,
    // ColBERT (arXiv 2004.12832).
    Head {
        suffixes: &["HF_ColBERT"],
        output: Output::Vectors { module: "linear" },
        unused: &["pooler.", "cls."],
        ..BASE
    },
    CLASSIFIER,
    multiple_choice(CLASSIFIER),
    Head {
        suffixes: &["ForNextSentencePrediction"],
        output: Output::Labels { module: "cls.seq_relationship", bias: true },
        unused: &["cls.predictions."],
        ..CLASSIFIER
    },
    Head { unused: UNUSED, ..TOKEN_CLASSIFICATION },
    Head { unused: UNUSED, ..QUESTION_ANSWERING },
];

/// The heads, and that of a causal language model.
const BOTH_HEADS: &[Head] =
    &with_head::<8, 9>(HEADS, Head { suffixes: &["LMHeadModel", "ForCausalLM"], task: Task::CausalLm, ..MASKED_LM });

/// Modules of pretraining heads, which a checkpoint may still have.
pub(super) const UNUSED: &[&str] = &["pooler.", "cls.seq_relationship."];

pub(super) const NAMES: Names = Names {
    prefixes: &["bert."],
    stack: &[
        (StackPart::TokenEmbedding, "embeddings.word_embeddings"),
        (StackPart::PositionEmbedding, "embeddings.position_embeddings"),
        (StackPart::TokenTypeEmbedding, "embeddings.token_type_embeddings"),
        (StackPart::EmbeddingNorm, "embeddings.LayerNorm"),
    ],
    layer: "encoder.layer.{}.",
    block: &[
        (BlockPart::Query, "attention.self.query"),
        (BlockPart::Key, "attention.self.key"),
        (BlockPart::Value, "attention.self.value"),
        (BlockPart::Output, "attention.output.dense"),
        (BlockPart::AttentionNorm, "attention.output.LayerNorm"),
        (BlockPart::Up, "intermediate.dense"),
        (BlockPart::Down, "output.dense"),
        (BlockPart::FeedForwardNorm, "output.LayerNorm"),
        (BlockPart::CrossQuery, "crossattention.self.query"),
        (BlockPart::CrossKey, "crossattention.self.key"),
        (BlockPart::CrossValue, "crossattention.self.value"),
        (BlockPart::CrossOutput, "crossattention.output.dense"),
        (BlockPart::CrossNorm, "crossattention.output.LayerNorm"),
    ],
};

const ERNIE_NAMES: Names = Names { prefixes: &["ernie."], ..NAMES };

const MEGATRON_NAMES: Names = Names {
    stack: &[
        (StackPart::TokenEmbedding, "embeddings.word_embeddings"),
        (StackPart::PositionEmbedding, "embeddings.position_embeddings"),
        (StackPart::TokenTypeEmbedding, "embeddings.token_type_embeddings"),
        (StackPart::FinalNorm, "encoder.ln"),
    ],
    block: &[
        (BlockPart::AttentionNorm, "attention.ln"),
        (BlockPart::Query, "attention.self.query"),
        (BlockPart::Key, "attention.self.key"),
        (BlockPart::Value, "attention.self.value"),
        (BlockPart::Output, "attention.output.dense"),
        (BlockPart::FeedForwardNorm, "ln"),
        (BlockPart::Up, "intermediate.dense"),
        (BlockPart::Down, "output.dense"),
    ],
    ..NAMES
};

/// The dimensions of BERT and of the families that adopted its configuration.
pub(super) fn dimensions(context: &Context<'_>, norm: Norm, max_positions: u32) -> Result<Dimensions> {
    let config = context.config;
    let hidden_size = config.size(&["hidden_size"])?;
    let heads = config.size(&["num_attention_heads"])?;
    Ok(Dimensions {
        hidden_size,
        layers: config.size(&["num_hidden_layers"])?,
        heads,
        key_value_heads: heads,
        head_dim: divide(hidden_size, heads, "hidden_size")?,
        intermediate_size: config.size(&["intermediate_size"])?,
        vocab_size: config.size(&["vocab_size"])?,
        max_positions,
        norm,
        activation: activation_key(config, "hidden_act", "gelu")?,
    })
}

/// Sets token vectors of width `embedding_size`, which are normalized and, if `projected`, then
/// projected to the hidden size.
pub(super) fn set_embedding(stack: &mut StackSpec, embedding_size: u32, projected: bool, norm: Norm) {
    stack.embedding.embedding_size = embedding_size;
    if projected {
        stack.embedding.projection = EmbeddingProjection::AfterNorm;
        stack.embedding.projection_bias = true;
    }
    stack.embedding.norm = Some(norm.of(embedding_size));
}

fn map(context: &Context<'_>) -> Result<Draft> {
    let id = side(context)?;
    let (mut stack, norm) = stack(context)?;
    stack.block.residual = Residual::PostNorm;
    stack.block.cross_attention = context.crosses;
    stack.embedding.norm = Some(norm.of(stack.hidden_size));
    let names = if context.model_type == "ernie" { &ERNIE_NAMES } else { &NAMES };
    let mut draft = Draft::new(context, id, stack, names, norm);
    let task_types = context.config.optional_size(&["task_type_vocab_size"])?;
    if context.config.flag_or(&["use_task_id"], false)? {
        // Every token has task type 0, the default of `transformers`.
        let tasks = tensor(names.prefixes, "embeddings.task_type_embeddings", "weight").rows([0]);
        let tasks = Pick { of: task_types, ..tasks };
        edit(&mut draft.sources, |role, pick| {
            if role == Role::Stack(id, StackPart::PositionEmbedding) {
                pick.added = Some(Box::new(tasks.clone()));
            }
        });
    }
    Ok(draft)
}

fn megatron(context: &Context<'_>) -> Result<Draft> {
    let id = side(context)?;
    let (mut stack, norm) = stack(context)?;
    stack.final_norm = Some(norm.of(stack.hidden_size));
    Ok(Draft::new(context, id, stack, &MEGATRON_NAMES, norm))
}

/// The stack, except for its norms.
fn stack(context: &Context<'_>) -> Result<(StackSpec, Norm)> {
    let config = context.config;
    let norm = Norm::layer(config.real_or(&["layer_norm_eps"], 1e-12)?);
    let max_positions = context.stored_positions(config.size(&["max_position_embeddings"])?)?;
    let mut stack = dimensions(context, norm, max_positions)?.stack()?;
    stack.embedding.positions = PositionTable::BeforeNorm;
    stack.embedding.token_types = short(config.optional_size(&["type_vocab_size"])?.unwrap_or(2), "type_vocab_size")?;
    Ok((stack, norm))
}
