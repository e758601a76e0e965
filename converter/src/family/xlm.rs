//! XLM (arXiv 1901.07291): post-norm blocks, learned or sinusoidal positions, language embeddings;
//! masked or causal.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{Activation, Pooling, PositionTable, Residual, Task};
use serde_json::Value as Json;

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::head::{BASE, Head, Output, QUESTION_ANSWERING, TOKEN_CLASSIFICATION, pooler};
use super::parts::{Dimensions, divide, summary_pooling};
use super::source::{Names, Pick, Value, edit, prefixed, tensor};
use crate::refuse;
use crate::tables::Sinusoid;

/// XLM.
pub(super) const FAMILY: Family = Family { model_types: &["xlm"], heads: HEADS, map };

const HEADS: &[Head] = &[
    BASE,
    Head {
        suffixes: &["WithLMHeadModel"],
        task: Task::MaskedLm,
        output: Output::Vocabulary { weight: &["pred_layer.proj.weight"], bias: &["pred_layer.proj.bias"] },
        ..BASE
    },
    Head {
        suffixes: &["ForSequenceClassification"],
        task: Task::Classification,
        pooling: Pooling::First,
        output: Output::Labels { module: "sequence_summary.summary", bias: true },
        ..BASE
    },
    Head {
        suffixes: &["ForMultipleChoice"],
        task: Task::Regression,
        pooling: Pooling::First,
        transform: pooler("sequence_summary.summary", Activation::Identity),
        output: Output::Rows { module: "logits_proj", rows: 1 },
        ..BASE
    },
    TOKEN_CLASSIFICATION,
    Head { suffixes: &["ForQuestionAnsweringSimple"], ..QUESTION_ANSWERING },
];

const NAMES: Names = Names {
    prefixes: &["transformer."],
    stack: &[
        (StackPart::TokenEmbedding, "embeddings"),
        (StackPart::PositionEmbedding, "position_embeddings"),
        (StackPart::EmbeddingNorm, "layer_norm_emb"),
    ],
    layer: "",
    block: &[
        (BlockPart::Query, "attentions.{}.q_lin"),
        (BlockPart::Key, "attentions.{}.k_lin"),
        (BlockPart::Value, "attentions.{}.v_lin"),
        (BlockPart::Output, "attentions.{}.out_lin"),
        (BlockPart::AttentionNorm, "layer_norm1.{}"),
        (BlockPart::Up, "ffns.{}.lin1"),
        (BlockPart::Down, "ffns.{}.lin2"),
        (BlockPart::FeedForwardNorm, "layer_norm2.{}"),
    ],
};

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    config.only("asm", &[Json::Bool(false)])?;
    config.only("is_encoder", &[Json::Bool(true)])?;
    let hidden_size = config.size(&["emb_dim", "hidden_size"])?;
    let heads = config.size(&["n_heads", "num_attention_heads"])?;
    let norm = Norm::layer(config.real_or(&["layer_norm_eps"], 1e-12)?);
    let sinusoidal = config.flag_or(&["sinusoidal_embeddings"], false)?;
    let stored = prefixed(NAMES.prefixes, "position_embeddings.weight");
    let stored = stored.iter().any(|name| context.checkpoint.shape(name).is_some());
    let positions = config.optional_size(&["max_position_embeddings"])?.unwrap_or(512);
    let computed = sinusoidal && !stored;
    let dimensions = Dimensions {
        hidden_size,
        layers: config.size(&["n_layers", "num_hidden_layers"])?,
        heads,
        key_value_heads: heads,
        head_dim: divide(hidden_size, heads, "emb_dim")?,
        intermediate_size: 4 * hidden_size,
        vocab_size: config.size(&["vocab_size", "n_words"])?,
        max_positions: if computed {
            context.computed_positions(positions)
        } else {
            context.stored_positions(positions)?
        },
        norm,
        activation: if config.flag_or(&["gelu_activation"], true)? { Activation::Gelu } else { Activation::Relu },
    };
    let mut stack = dimensions.stack()?;
    stack.block.residual = Residual::PostNorm;
    stack.embedding.positions = PositionTable::BeforeNorm;
    stack.embedding.norm = Some(norm.of(hidden_size));
    let causal = config.flag_or(&["causal"], false)?;
    let id = if causal { Stack::Decoder } else { Stack::Encoder };
    let mut draft = Draft::new(context, id, stack, &NAMES, norm);
    if computed {
        let sinusoid = Sinusoid { interleaved: true, closed: false, first: 0, padded: false };
        draft.sources.insert(Role::Stack(id, StackPart::PositionEmbedding), Value::Sinusoidal(sinusoid).into());
    }
    set_language(context, &mut draft, id, computed)?;
    if causal && draft.head.task == Task::MaskedLm {
        draft.head.task = Task::CausalLm;
    }
    if matches!(draft.head.task, Task::Classification | Task::Regression) {
        set_summary(context, &mut draft)?;
    }
    if draft.head.task == Task::Regression {
        // The choice is made from the numbers of the labels, of which there are this many.
        let labels = config.get(&["id2label"]).and_then(Json::as_object).map(|labels| labels.len() as u32);
        draft.transform_size = Some(
            labels.map_or_else(|| Ok(config.optional_size(&["num_labels"])?.unwrap_or(2)), Ok::<_, anyhow::Error>)?,
        );
    }
    Ok(draft)
}

/// Adds the language embedding that the caller chooses, in a model of several languages.
fn set_language(context: &Context<'_>, draft: &mut Draft, id: Stack, computed: bool) -> Result<()> {
    let config = context.config;
    let languages = config.optional_size(&["n_langs"])?.unwrap_or(1);
    let used = config.flag_or(&["use_lang_emb"], true)? && languages > 1;
    config.get(&["lang_id"]);
    match context.options.language {
        None if used => {
            let names = prefixed(NAMES.prefixes, "lang_embeddings.weight");
            context.checkpoint.dismiss(|name| names.iter().any(|known| known == name));
            draft.notes.push(format!("no language was chosen: none of the {languages} language embeddings is added"));
        }
        None => {}
        Some(language) if !used || language >= languages || computed => {
            return Err(refuse(
                format_args!("language {language} was asked for"),
                format_args!(
                    "by its `n_langs`, this checkpoint has {} language embeddings",
                    if used { languages } else { 0 }
                ),
            ));
        }
        Some(language) => edit(&mut draft.sources, |role, pick| {
            if role == Role::Stack(id, StackPart::PositionEmbedding) {
                let Pick { names, .. } = tensor(NAMES.prefixes, "lang_embeddings", "weight");
                pick.added = Some(Box::new(Pick::new(names).rows([language])));
            }
        }),
    }
    Ok(())
}

/// Applies the keys of the classification head, a projection of one token's hidden state to the
/// labels.
fn set_summary(context: &Context<'_>, draft: &mut Draft) -> Result<()> {
    let config = context.config;
    config.only("summary_use_proj", &[Json::Bool(true)])?;
    config.only("summary_proj_to_labels", &[Json::Bool(true)])?;
    config.only("summary_activation", &[])?;
    draft.head.pooling = summary_pooling(config, "first")?;
    Ok(())
}
