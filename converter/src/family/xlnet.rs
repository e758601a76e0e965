//! XLNet (arXiv 1906.08237): post-norm blocks whose queries are multiplied with sinusoids of
//! distances.
//!
//! The score of a query `q` and a key `k` is `(q + u) k + (q + v) r`, where `r` is the projected
//! sinusoid of their distance, and `u` and `v` are learned vectors of the head. It equals `(q + v)
//! k + (q + v) r + (u - v) k`: disentangled attention in which `v` is the bias of queries, and keys
//! are multiplied with one vector at all distances. The query stream and the permutations of the
//! paper are for training only.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{Activation, AttentionPosition, Pooling, Residual, StackSpec, Task};

use super::draft::{Context, Draft, Norm};
use super::head::{BASE, Head, Output, QUESTION_ANSWERING, TOKEN_CLASSIFICATION, pooler};
use super::parts::{Dimensions, activation_key, divide, short, summary_pooling};
use super::source::{Names, Pick, Source, Value, prefixed};
use super::{Family, PositionProjection};
use crate::tables::PositionIndex;

/// XLNet.
pub(super) const FAMILY: Family = Family { model_types: &["xlnet"], heads: HEADS, map };

/// The head of a text classifier.
const CLASSIFIER: Head = Head {
    suffixes: &["ForSequenceClassification"],
    task: Task::Classification,
    pooling: Pooling::Last,
    transform: pooler("sequence_summary.summary", Activation::Tanh),
    output: Output::Labels { module: "logits_proj", bias: true },
    unused: UNUSED,
    ..BASE
};

const HEADS: &[Head] = &[
    Head { unused: UNUSED, ..BASE },
    Head {
        suffixes: &["LMHeadModel"],
        task: Task::MaskedLm,
        output: Output::Vocabulary { weight: &["lm_loss.weight"], bias: &["lm_loss.bias"] },
        unused: UNUSED,
        ..BASE
    },
    CLASSIFIER,
    Head {
        suffixes: &["ForMultipleChoice"],
        task: Task::Regression,
        output: Output::Rows { module: "logits_proj", rows: 1 },
        ..CLASSIFIER
    },
    Head { unused: UNUSED, ..TOKEN_CLASSIFICATION },
    Head { suffixes: &["ForQuestionAnsweringSimple"], unused: UNUSED, ..QUESTION_ANSWERING },
];

/// The vector with which the query stream begins in training.
const UNUSED: &[&str] = &["mask_emb"];

const NAMES: Names = Names {
    prefixes: &["transformer."],
    stack: &[(StackPart::TokenEmbedding, "word_embedding")],
    layer: "layer.{}.",
    block: &[
        (BlockPart::AttentionNorm, "rel_attn.layer_norm"),
        (BlockPart::Up, "ff.layer_1"),
        (BlockPart::Down, "ff.layer_2"),
        (BlockPart::FeedForwardNorm, "ff.layer_norm"),
    ],
};

/// The longest text by default, which is that of pretraining: no table limits it.
const TRAINED: u32 = 512;

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    config.only("attn_type", &["bi".into()])?;
    config.only("bi_data", &[false.into()])?;
    // The memory of earlier texts, which is not used, and the storage of biases in the first
    // versions.
    config.get(&["mem_len", "reuse_len", "same_length", "use_mems_eval", "use_mems_train", "untie_r"]);
    let hidden_size = config.size(&["d_model"])?;
    let heads = config.size(&["n_head"])?;
    let head_dim = divide(hidden_size, heads, "d_model")?;
    config.only("d_head", &[head_dim.into()])?;
    let norm = Norm::layer(config.real_or(&["layer_norm_eps"], 1e-12)?);
    let dimensions = Dimensions {
        hidden_size,
        layers: config.size(&["n_layer"])?,
        heads,
        key_value_heads: heads,
        head_dim,
        intermediate_size: config.size(&["d_inner"])?,
        vocab_size: config.size(&["vocab_size"])?,
        max_positions: context.computed_positions(TRAINED),
        norm,
        activation: activation_key(config, "ff_activation", "gelu")?,
    };
    let mut stack = dimensions.stack()?;
    stack.block.residual = Residual::PostNorm;
    stack.block.attention.output_bias = false;
    // Distances beyond this one share its vector.
    let clamp = config.get(&["clamp_len"]).and_then(serde_json::Value::as_i64).and_then(|far| u32::try_from(far).ok());
    let farthest = clamp.filter(|&far| far > 0).unwrap_or(u32::MAX).min(stack.max_positions.saturating_sub(1).max(1));
    let index = PositionIndex { span: farthest + 1, max_distance: 0 };
    stack.block.attention.position = AttentionPosition::Disentangled {
        distance: index.distance(stack.max_positions),
        positions: short(2 * index.span, "clamp_len")?,
        content_to_position: true,
        position_to_content: true,
    };
    let mut draft = Draft::new(context, Stack::Encoder, stack, &NAMES, norm);
    draft.sources.insert(Role::Stack(Stack::Encoder, StackPart::RelativeIndex), Value::RelativeIndex(index).into());
    for layer in 0..stack.num_hidden_layers {
        add_attention(&mut draft, &stack, layer, index.span, farthest);
    }
    // Segments change the scores only if the caller gives token types.
    context.checkpoint.dismiss(|name| name.ends_with(".r_s_bias") || name.ends_with(".seg_embed"));
    draft.notes.push("texts are read as one segment, as `transformers` reads them without `token_type_ids`".to_owned());
    if matches!(draft.head.task, Task::Classification | Task::Regression) {
        set_summary(context, &mut draft)?;
    }
    Ok(draft)
}

/// Adds the sources of a layer's attention, whose matrices are stored by head.
fn add_attention(draft: &mut Draft, stack: &StackSpec, layer: u16, span: u32, farthest: u32) {
    let names = |name: &str| prefixed(NAMES.prefixes, &format!("layer.{layer}.rel_attn.{name}"));
    let matrix = |name: &str, transposed: bool| Pick { transposed, ..Pick::new(names(name)) };
    let own = |part| Role::Block(Stack::Encoder, layer, part);
    let biased = |name: &str, bias: Value| Source { weight: Value::Tensor(matrix(name, true)), bias: Some(bias) };
    draft.sources.insert(own(BlockPart::Query), biased("q", Value::ByHead(Pick::new(names("r_r_bias")))));
    draft.sources.insert(own(BlockPart::Key), biased("k", Value::Constant(0.0)));
    draft.sources.insert(own(BlockPart::Value), biased("v", Value::Constant(0.0)));
    draft.sources.insert(own(BlockPart::Output), Value::Tensor(matrix("o", false)).into());
    let projection = PositionProjection {
        embeddings: Value::Distances { span, farthest },
        norm: None,
        weight: matrix("r", true),
        bias: None,
    };
    draft.sources.insert(own(BlockPart::PositionKey), Value::PositionProjection(Box::new(projection)).into());
    let heads = u32::from(stack.block.attention.num_attention_heads);
    let repeated = |name: &str| {
        Pick::new(names(name)).rows((0..heads).flat_map(|head| core::iter::repeat_n(head, 2 * span as usize)))
    };
    let difference =
        Pick { added: Some(Box::new(Pick { factor: -1.0, ..repeated("r_r_bias") })), ..repeated("r_w_bias") };
    draft.sources.insert(own(BlockPart::PositionQuery), Value::Tensor(difference).into());
}

/// Applies the keys of the classifier, which reads one token.
fn set_summary(context: &Context<'_>, draft: &mut Draft) -> Result<()> {
    let config = context.config;
    // The configuration's class does not read this key.
    config.only_ever("summary_proj_to_labels", &[false.into()])?;
    draft.head.pooling = summary_pooling(config, "last")?;
    let activation = match config.get(&["summary_activation"]) {
        None => Activation::Identity,
        Some(_) => activation_key(config, "summary_activation", "tanh")?,
    };
    if let Some(transform) = &mut draft.head.transform {
        transform.activation = Some(activation);
    }
    if !config.flag_or(&["summary_use_proj"], true)? {
        draft.head.transform = None;
        if activation != Activation::Identity {
            config.only("summary_use_proj", &[true.into()])?;
        }
    }
    Ok(())
}
