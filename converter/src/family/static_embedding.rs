//! Static embeddings (Model2Vec, and `StaticEmbedding` of sentence-transformers): the mean of a
//! vector for each token, as an encoder without layers.

use anyhow::Result;
use kinglet::format::layout::{Role, Stack, StackPart};
use kinglet::format::spec::Activation;

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::head::BASE;
use super::parts::Dimensions;
use super::source::{Names, Pick, Value};
use crate::checkpoint::sentence::STATIC;
use crate::refuse;

/// Static embeddings.
pub(super) const FAMILY: Family = Family { model_types: &[STATIC], heads: &[BASE], map };

/// The names of the table in sentence-transformers and in Model2Vec.
const TABLES: [&str; 2] = ["embedding.weight", "embeddings"];

/// The longest text. The model itself has no limit; Model2Vec truncates here by default.
const USUAL_LENGTH: u32 = 512;

/// Keys that describe how the table was made, which has no effect any more.
const MADE_WITH: [&str; 5] = ["tokenizer_name", "apply_pca", "apply_zipf", "sif_coefficient", "embedding_dtype"];

const NAMES: Names = Names { prefixes: &[], stack: &[], layer: "", block: &[] };

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    for key in ["embedding_weights", "mapping", "vocabulary_quantization"] {
        config.only_ever(key, &[])?;
    }
    config.only_ever("pooling", &["mean".into()])?;
    for key in MADE_WITH.into_iter().chain(["normalize", "hidden_dim", "seq_length"]) {
        config.get(&[key]);
    }
    let shape = |name: &&&str| context.checkpoint.shape(name).is_some_and(|shape| shape.len() == 2);
    let name = TABLES.iter().find(shape).ok_or_else(|| {
        refuse(
            format_args!("the checkpoint has no matrix `{}`", TABLES.join("` or `")),
            "static embeddings are one table with a row for each token: download model.safetensors again",
        )
    })?;
    let sides = context.checkpoint.shape(name).unwrap_or_default();
    let side = |at: usize| sides.get(at).and_then(|side| u32::try_from(*side).ok()).unwrap_or(u32::MAX);
    let dimensions = Dimensions {
        hidden_size: side(1),
        layers: 0,
        // No block is stored; these are the smallest sizes that a specification allows.
        heads: 1,
        key_value_heads: 1,
        head_dim: 1,
        intermediate_size: 1,
        vocab_size: side(0),
        max_positions: context.computed_positions(USUAL_LENGTH),
        norm: Norm::layer(0.0),
        activation: Activation::Identity,
    };
    let mut draft = Draft::new(context, Stack::Encoder, dimensions.stack()?, &NAMES, dimensions.norm);
    let table = Value::Tensor(Pick::new(vec![(*name).to_owned()]));
    draft.sources.insert(Role::Stack(Stack::Encoder, StackPart::TokenEmbedding), table.into());
    Ok(draft)
}
