//! JinaBERT (arXiv 2310.19923): BERT with scores that fall with the distance in both directions
//! (ALiBi, arXiv 2108.12409) and a gated network. Its checkpoints have the model type `bert` and
//! come with code of their own.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{Activation, Residual};
use serde_json::Value as Json;

use super::bloom::set_falling;
use super::draft::{Context, Draft, Norm};
use super::head::{BASE, Head, QUESTION_ANSWERING, TOKEN_CLASSIFICATION};
use super::parts::short;
use super::source::{Names, Value, split_fused};
use super::{Family, bert};
use crate::refuse;
use crate::tables::slopes;

/// JinaBERT.
pub(super) const FAMILY: Family = Family { model_types: &["bert"], heads: HEADS, map };

const HEADS: &[Head] = &[
    Head { unused: bert::UNUSED, ..BASE },
    bert::MASKED_LM,
    bert::CLASSIFIER,
    Head { unused: bert::UNUSED, ..TOKEN_CLASSIFICATION },
    Head { unused: bert::UNUSED, ..QUESTION_ANSWERING },
];

const NAMES: Names = Names {
    block: &[
        (BlockPart::Query, "attention.self.query"),
        (BlockPart::Key, "attention.self.key"),
        (BlockPart::Value, "attention.self.value"),
        (BlockPart::Output, "attention.output.dense"),
        (BlockPart::AttentionNorm, "attention.output.LayerNorm"),
        (BlockPart::Gate, "mlp.gated_layers"),
        (BlockPart::Up, "mlp.gated_layers"),
        (BlockPart::Down, "mlp.wo"),
        (BlockPart::FeedForwardNorm, "mlp.layernorm"),
    ],
    ..bert::NAMES
};

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    for key in ["is_decoder", "add_cross_attention"] {
        config.only(key, &[false.into()])?;
    }
    // This key would only pool the vector of a text, which sentence-transformers decides.
    config.get(&["emb_pooler"]);
    // How the computation is executed.
    config.get(&["attn_implementation"]);
    let kind = config.get(&["feed_forward_type"]).and_then(Json::as_str).unwrap_or("original");
    let gate = match kind {
        "geglu" => Some(Activation::Gelu),
        "reglu" => Some(Activation::Relu),
        "original" => None,
        other => {
            return Err(refuse(
                format_args!("config.json says `feed_forward_type` = \"{other}\", which is not implemented"),
                "only geglu, reglu and original are implemented",
            ));
        }
    };
    let norm = Norm::layer(config.real_or(&["layer_norm_eps"], 1e-12)?);
    let max_positions = context.computed_positions(config.size(&["max_position_embeddings"])?);
    let dimensions = bert::dimensions(context, norm, max_positions)?;
    let mut stack = dimensions.stack()?;
    stack.block.residual = Residual::PostNorm;
    stack.embedding.token_types = short(config.optional_size(&["type_vocab_size"])?.unwrap_or(2), "type_vocab_size")?;
    stack.embedding.norm = Some(norm.of(dimensions.hidden_size));
    if let Some(activation) = gate {
        stack.block.feed_forward.gated = true;
        stack.block.feed_forward.activation = activation;
    }
    set_falling(&mut stack);
    let names = if gate.is_some() { &NAMES } else { &bert::NAMES };
    let mut draft = Draft::new(context, Stack::Encoder, stack, names, norm);
    draft.activation = dimensions.activation;
    let slopes = slopes(dimensions.heads);
    draft.sources.insert(Role::Stack(Stack::Encoder, StackPart::RelativeBias), Value::Slopes(slopes).into());
    if gate.is_some() {
        split_fused(&mut draft.sources, &stack);
        for (role, source) in &mut draft.sources {
            if let Role::Block(_, _, BlockPart::Up | BlockPart::Gate) = role {
                source.bias = Some(Value::Constant(0.0));
            }
        }
    }
    Ok(draft)
}
