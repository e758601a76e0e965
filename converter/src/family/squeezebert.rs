//! SqueezeBERT (arXiv 2006.11316): BERT with grouped convolutions over single tokens, which are
//! block-diagonal matrices.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack};
use kinglet::format::spec::{PositionTable, Residual};

use super::draft::{Context, Draft, Norm};
use super::parts::short;
use super::source::{Names, Value};
use super::{Family, bert};
use crate::refuse;

/// SqueezeBERT.
pub(super) const FAMILY: Family = Family { model_types: &["squeezebert"], heads: &bert::HEADS, map };

const NAMES: Names = Names {
    prefixes: &["transformer."],
    layer: "encoder.layers.{}.",
    block: &[
        (BlockPart::Query, "attention.query"),
        (BlockPart::Key, "attention.key"),
        (BlockPart::Value, "attention.value"),
        (BlockPart::Output, "post_attention.conv1d"),
        (BlockPart::AttentionNorm, "post_attention.layernorm"),
        (BlockPart::Up, "intermediate.conv1d"),
        (BlockPart::Down, "output.conv1d"),
        (BlockPart::FeedForwardNorm, "output.layernorm"),
    ],
    ..bert::NAMES
};

/// The keys with the numbers of groups, and their defaults.
const GROUPS: &[(BlockPart, &str, u32)] = &[
    (BlockPart::Query, "q_groups", 4),
    (BlockPart::Key, "k_groups", 4),
    (BlockPart::Value, "v_groups", 4),
    (BlockPart::Output, "post_attention_groups", 1),
    (BlockPart::Up, "intermediate_groups", 4),
    (BlockPart::Down, "output_groups", 4),
];

/// The epsilon of the norms in the blocks, whatever the configuration says.
const EPSILON: f64 = 1e-12;

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    config.only_ever("position_embedding_type", &["absolute".into()])?;
    let norm = Norm::layer(config.real_or(&["layer_norm_eps"], 1e-12)?);
    let max_positions = context.stored_positions(config.size(&["max_position_embeddings"])?)?;
    let dimensions = bert::dimensions(context, Norm::layer(EPSILON), max_positions)?;
    let embedding_size = config.size(&["embedding_size"])?;
    if embedding_size != dimensions.hidden_size {
        return Err(refuse(
            format_args!(
                "config.json says `embedding_size` = {embedding_size} and `hidden_size` = {}",
                dimensions.hidden_size
            ),
            "they must be equal: take config.json from the checkpoint's page again",
        ));
    }
    let mut stack = dimensions.stack()?;
    stack.block.residual = Residual::PostNorm;
    stack.embedding.positions = PositionTable::BeforeNorm;
    stack.embedding.token_types = short(config.optional_size(&["type_vocab_size"])?.unwrap_or(2), "type_vocab_size")?;
    stack.embedding.norm = Some(norm.of(dimensions.hidden_size));
    let mut draft = Draft::new(context, Stack::Encoder, stack, &NAMES, norm);
    for (part, key, default) in GROUPS {
        let groups = config.optional_size(&[key])?.unwrap_or(*default);
        let hidden = dimensions.hidden_size;
        let other = if matches!(part, BlockPart::Up | BlockPart::Down) { dimensions.intermediate_size } else { hidden };
        if groups == 0 || !hidden.is_multiple_of(groups) || !other.is_multiple_of(groups) {
            return Err(refuse(
                format_args!("config.json says `{key}` = {groups}, which does not divide {hidden} and {other}"),
                "take config.json from the checkpoint's page again",
            ));
        }
        for (role, source) in &mut draft.sources {
            if let (Role::Block(_, _, of), Value::Tensor(pick)) = (role, &source.weight)
                && of == part
            {
                source.weight = Value::Grouped { pick: pick.clone(), groups };
            }
        }
    }
    Ok(draft)
}
