//! MobileBERT (arXiv 2004.02984): a narrow BERT inside each block, between wide hidden states.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, NETWORKS, Role, Stack, StackPart};
use kinglet::format::spec::{
    Activation, BottleneckAttention, BottleneckSpec, EmbeddingProjection, MAX_NETWORKS, NormKind, Pooling,
    PositionTable, Residual, Task,
};

use super::draft::{Context, Draft, Norm};
use super::head::{BASE, Head, Output, QUESTION_ANSWERING, TOKEN_CLASSIFICATION, Transform, multiple_choice, pooler};
use super::parts::{divide, plain_encoder, short};
use super::source::{Names, module};
use super::{Family, bert};
use crate::refuse;

/// MobileBERT.
pub(super) const FAMILY: Family = Family { model_types: &["mobilebert"], heads: HEADS, map };

/// The head of a text classifier.
const CLASSIFIER: Head = Head {
    suffixes: &["ForSequenceClassification"],
    task: Task::Classification,
    pooling: Pooling::First,
    transform: pooler("pooler.dense", Activation::Tanh),
    output: Output::Labels { module: "classifier", bias: true },
    unused: &["cls."],
    ..BASE
};

const HEADS: &[Head] = &[
    Head { unused: UNUSED, ..BASE },
    Head {
        suffixes: &["ForMaskedLM", "ForPreTraining"],
        task: Task::MaskedLm,
        pooling: Pooling::None,
        transform: Some(Transform {
            dense: "cls.predictions.transform.dense",
            bias: true,
            narrow: false,
            activation: None,
            norm: Some("cls.predictions.transform.LayerNorm"),
        }),
        output: Output::WidenedVocabulary { rest: "cls.predictions.dense.weight", bias: "cls.predictions.bias" },
        unused: &["pooler.", "cls.seq_relationship.", "cls.predictions.decoder."],
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

/// Modules of pretraining heads, which a checkpoint may still have.
const UNUSED: &[&str] = &["pooler.", "cls."];

const NAMES: Names = Names {
    prefixes: &["mobilebert."],
    stack: &[
        (StackPart::TokenEmbedding, "embeddings.word_embeddings"),
        (StackPart::PositionEmbedding, "embeddings.position_embeddings"),
        (StackPart::TokenTypeEmbedding, "embeddings.token_type_embeddings"),
        (StackPart::EmbeddingProjection, "embeddings.embedding_transformation"),
        (StackPart::EmbeddingNorm, "embeddings.LayerNorm"),
    ],
    layer: "encoder.layer.{}.",
    block: &[
        (BlockPart::Narrow, "bottleneck.input.dense"),
        (BlockPart::NarrowNorm, "bottleneck.input.LayerNorm"),
        (BlockPart::NarrowShared, "bottleneck.attention.dense"),
        (BlockPart::NarrowSharedNorm, "bottleneck.attention.LayerNorm"),
        (BlockPart::Query, "attention.self.query"),
        (BlockPart::Key, "attention.self.key"),
        (BlockPart::Value, "attention.self.value"),
        (BlockPart::Output, "attention.output.dense"),
        (BlockPart::AttentionNorm, "attention.output.LayerNorm"),
        (BlockPart::Widen, "output.bottleneck.dense"),
        (BlockPart::WidenNorm, "output.bottleneck.LayerNorm"),
    ],
};

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    plain_encoder(context)?;
    let kind = match config.text_or(&["normalization_type"], "no_norm")? {
        "no_norm" => NormKind::Affine,
        "layer_norm" => NormKind::Layer,
        other => {
            return Err(refuse(
                format_args!("config.json says `normalization_type` = \"{other}\", which is not implemented"),
                "only no_norm and layer_norm are implemented",
            ));
        }
    };
    let head_norm = Norm::layer(config.real_or(&["layer_norm_eps"], 1e-12)?);
    let norm = Norm { kind, ..head_norm };
    let max_positions = context.stored_positions(config.size(&["max_position_embeddings"])?)?;
    let mut dimensions = bert::dimensions(context, norm, max_positions)?;
    let bottleneck = config.flag_or(&["use_bottleneck"], true)?;
    let size = match bottleneck {
        true => config.size(&["intra_bottleneck_size"])?,
        false => dimensions.hidden_size,
    };
    config.get(&["intra_bottleneck_size"]);
    // Some files give this size under another name, too.
    config.only("true_hidden_size", &[size.into()])?;
    dimensions.head_dim = divide(size, dimensions.heads, "true_hidden_size")?;
    let mut stack = dimensions.stack()?;
    stack.block.residual = Residual::PostNorm;
    stack.block.norm = norm.of(size);
    let narrow = config.flag_or(&["use_bottleneck_attention"], false)?;
    let shared = config.flag_or(&["key_query_shared_bottleneck"], true)?;
    if narrow {
        // The checkpoint stores it, but the model does not use it.
        context.checkpoint.dismiss(|name| name.contains(".bottleneck.attention."));
    }
    stack.block.bottleneck = bottleneck.then_some(BottleneckSpec {
        size,
        attention: match (narrow, shared) {
            (true, _) => BottleneckAttention::Narrow,
            (false, true) => BottleneckAttention::Shared,
            (false, false) => BottleneckAttention::Wide,
        },
    });
    let networks = config.optional_size(&["num_feedforward_networks"])?.unwrap_or(4);
    let count = u8::try_from(networks).ok().filter(|count| (1..=MAX_NETWORKS).contains(count));
    stack.block.feed_forward.networks = count.ok_or_else(|| {
        refuse(
            format_args!("config.json says `num_feedforward_networks` = {networks}"),
            format_args!("1 to {MAX_NETWORKS} are implemented"),
        )
    })?;
    stack.embedding.positions = PositionTable::BeforeNorm;
    stack.embedding.token_types = short(config.optional_size(&["type_vocab_size"])?.unwrap_or(2), "type_vocab_size")?;
    stack.embedding.norm = Some(norm.of(dimensions.hidden_size));
    stack.embedding.embedding_size = config.optional_size(&["embedding_size"])?.unwrap_or(128);
    stack.embedding.projection = match config.flag_or(&["trigram_input"], true)? {
        true => EmbeddingProjection::Trigram,
        false if stack.embedding.embedding_size == dimensions.hidden_size => EmbeddingProjection::None,
        false => EmbeddingProjection::BeforePositions,
    };
    stack.embedding.projection_bias = stack.embedding.projection != EmbeddingProjection::None;
    let mut draft = Draft::new(context, Stack::Encoder, stack, &NAMES, head_norm);
    for layer in 0..stack.num_hidden_layers {
        add_networks(&mut draft, layer, networks as usize);
    }
    if !config.flag_or(&["classifier_activation"], true)? && draft.head.task == Task::Classification {
        draft.head.transform = None;
    }
    Ok(draft)
}

/// Adds the networks of a block: those in `ffn`, then BERT's own.
fn add_networks(draft: &mut Draft, layer: u16, networks: usize) {
    for (at, (up, down, norm)) in NETWORKS.into_iter().take(networks).enumerate() {
        let inside = if at + 1 < networks { format!("ffn.{at}.") } else { String::new() };
        for (part, name) in [(up, "intermediate.dense"), (down, "output.dense"), (norm, "output.LayerNorm")] {
            let name = format!("encoder.layer.{layer}.{inside}{name}");
            draft.sources.insert(Role::Block(Stack::Encoder, layer, part), module(NAMES.prefixes, &name, true));
        }
    }
}
