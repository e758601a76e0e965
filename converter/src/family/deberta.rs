//! DeBERTa (arXiv 2006.03654), and its second and third versions (arXiv 2111.09543).

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{
    Activation, AttentionPosition, Convolution, ConvolutionSpec, EmbeddingProjection, NormSpec, Pooling, PositionTable,
    Residual, StackSpec, Task,
};

use super::draft::{Context, Draft, Norm};
use super::head::{BASE, Head, Output, QUESTION_ANSWERING, TOKEN_CLASSIFICATION, Transform, multiple_choice};
use super::parts::{activation_key, plain_encoder, score_scale, short};
use super::source::{Names, Pick, Source, Value, by_head, prefixed, tensor};
use super::{Family, PositionProjection, bert};
use crate::config::Config;
use crate::refuse;
use crate::tables::PositionIndex;

/// The first version: queries, keys and values in one matrix, and a vector for each distance.
pub(super) const FAMILY: Family = Family { model_types: &["deberta"], heads: HEADS, map: map_first };

/// The second version, and the third, which shares the projections of content and position.
pub(super) const FAMILY_2: Family = Family { model_types: &["deberta-v2"], heads: HEADS, map: map_second };

/// The head of a text classifier.
const CLASSIFIER: Head = Head {
    suffixes: &["ForSequenceClassification"],
    task: Task::Classification,
    pooling: Pooling::First,
    transform: Some(Transform {
        dense: "pooler.dense",
        bias: true,
        narrow: false,
        activation: Some(Activation::Gelu),
        norm: None,
    }),
    output: Output::Labels { module: "classifier", bias: true },
    unused: UNUSED,
    ..BASE
};

const HEADS: &[Head] = &[
    Head { unused: UNUSED, ..BASE },
    Head {
        suffixes: &["ForMaskedLM"],
        task: Task::MaskedLm,
        pooling: Pooling::None,
        transform: Some(LEGACY),
        output: Output::Vocabulary {
            weight: &["cls.predictions.decoder.weight"],
            bias: &["cls.predictions.bias", "cls.predictions.decoder.bias"],
        },
        unused: UNUSED,
        ..BASE
    },
    CLASSIFIER,
    multiple_choice(CLASSIFIER),
    Head { unused: UNUSED, ..TOKEN_CLASSIFICATION },
    Head { unused: UNUSED, ..QUESTION_ANSWERING },
];

/// The transform of the masked language model, under BERT's names.
const LEGACY: Transform = Transform {
    dense: "cls.predictions.transform.dense",
    bias: true,
    narrow: true,
    activation: None,
    norm: Some("cls.predictions.transform.LayerNorm"),
};

/// Modules of pretraining heads, which a checkpoint may still have, and tables that are not used.
const UNUSED: &[&str] =
    &["pooler.", "mask_predictions.", "cls.predictions.", "lm_predictions.", "embeddings.position_embeddings."];

const NAMES: Names = Names {
    prefixes: &["deberta."],
    stack: &[
        (StackPart::EmbeddingProjection, "embeddings.embed_proj"),
        (StackPart::ConvolutionNorm, "encoder.conv.LayerNorm"),
        (StackPart::TokenEmbedding, "embeddings.word_embeddings"),
        (StackPart::PositionEmbedding, "embeddings.position_embeddings"),
        (StackPart::TokenTypeEmbedding, "embeddings.token_type_embeddings"),
        (StackPart::EmbeddingNorm, "embeddings.LayerNorm"),
    ],
    layer: "encoder.layer.{}.",
    block: &[
        (BlockPart::Query, "attention.self.query_proj"),
        (BlockPart::Key, "attention.self.key_proj"),
        (BlockPart::Value, "attention.self.value_proj"),
        (BlockPart::Output, "attention.output.dense"),
        (BlockPart::AttentionNorm, "attention.output.LayerNorm"),
        (BlockPart::Up, "intermediate.dense"),
        (BlockPart::Down, "output.dense"),
        (BlockPart::FeedForwardNorm, "output.LayerNorm"),
    ],
};

/// The common part of both versions.
struct Common {
    stack: StackSpec,
    norm: Norm,
    content_to_position: bool,
    position_to_content: bool,
    /// `max_relative_positions`, or its default.
    max_relative_positions: u32,
}

fn common(context: &Context<'_>) -> Result<Common> {
    let config = context.config;
    plain_encoder(context)?;
    config.only("talking_head", &[false.into()])?;
    let norm = Norm::layer(config.real_or(&["layer_norm_eps"], 1e-7)?);
    let positions = config.size(&["max_position_embeddings"])?;
    let absolute = config.flag_or(&["position_biased_input"], true)?;
    let max_positions =
        if absolute { context.stored_positions(positions)? } else { context.computed_positions(positions) };
    let dimensions = bert::dimensions(context, norm, max_positions)?;
    let hidden_size = dimensions.hidden_size;
    let mut stack = dimensions.stack()?;
    stack.block.residual = Residual::PostNorm;
    stack.embedding.positions = if absolute { PositionTable::BeforeNorm } else { PositionTable::None };
    stack.embedding.token_types = short(config.optional_size(&["type_vocab_size"])?.unwrap_or(0), "type_vocab_size")?;
    stack.embedding.norm = Some(norm.of(hidden_size));
    stack.embedding.embedding_size = config.optional_size(&["embedding_size"])?.unwrap_or(hidden_size);
    if stack.embedding.embedding_size != hidden_size {
        stack.embedding.projection = EmbeddingProjection::BeforeNorm;
    }
    let relative = config.flag_or(&["relative_attention"], false)?;
    let kinds = position_kinds(config)?;
    let [content_to_position, position_to_content] =
        ["c2p", "p2c"].map(|kind| relative && kinds.iter().any(|known| known == kind));
    // The scale also divides by the root of the number of terms.
    let scale = f64::from(stack.block.attention.head_dim) * (1.0 + kinds.len() as f64);
    stack.block.attention.scale = score_scale(1.0 / libm::sqrt(scale))?;
    let max_relative_positions = match config.get(&["max_relative_positions"]).and_then(serde_json::Value::as_i64) {
        Some(count @ 1..=65_535) => count as u32,
        _ => positions,
    };
    Ok(Common { stack, norm, content_to_position, position_to_content, max_relative_positions })
}

/// `pos_att_type`, as a list or as names separated by bars.
fn position_kinds(config: &Config) -> Result<Vec<String>> {
    let kinds: Vec<String> = match config.get(&["pos_att_type"]) {
        Some(serde_json::Value::String(names)) => names.split('|').map(|name| name.trim().to_lowercase()).collect(),
        Some(serde_json::Value::Array(list)) => {
            list.iter().filter_map(|name| name.as_str().map(str::to_lowercase)).collect()
        }
        _ => Vec::new(),
    };
    match kinds.iter().find(|kind| !matches!(kind.as_str(), "c2p" | "p2c" | "")) {
        Some(kind) => Err(refuse(
            format_args!("config.json says `pos_att_type` has \"{kind}\", which is not implemented"),
            "only c2p and p2c are implemented",
        )),
        None => Ok(kinds.into_iter().filter(|kind| !kind.is_empty()).collect()),
    }
}

impl Common {
    /// Sets disentangled attention, if the model has it.
    fn set_positions(&mut self, index: PositionIndex) -> Result<()> {
        if self.content_to_position || self.position_to_content {
            self.stack.block.attention.position = AttentionPosition::Disentangled {
                distance: index.distance(self.stack.max_positions),
                positions: short(2 * index.span, "position_buckets")?,
                content_to_position: self.content_to_position,
                position_to_content: self.position_to_content,
            };
        }
        Ok(())
    }
}

/// The vectors of distances that a block's projections give.
struct Projections<'a> {
    embeddings: Pick,
    norm: Option<(Pick, Pick, NormSpec)>,
    /// The modules that project keys and queries, and whether they have biases.
    modules: [(&'a str, bool); 2],
}

impl Projections<'_> {
    fn add(self, draft: &mut Draft, layers: u16, index: PositionIndex) {
        let own = |part| Role::Stack(Stack::Encoder, part);
        draft.sources.insert(own(StackPart::RelativeIndex), Value::RelativeIndex(index).into());
        for layer in 0..layers {
            for (part, (name, bias)) in [BlockPart::PositionKey, BlockPart::PositionQuery].into_iter().zip(self.modules)
            {
                let module = format!("encoder.layer.{layer}.attention.self.{name}");
                let projection = PositionProjection {
                    embeddings: Value::Tensor(self.embeddings.clone()),
                    norm: self.norm.clone(),
                    weight: tensor(NAMES.prefixes, &module, "weight"),
                    bias: bias.then(|| tensor(NAMES.prefixes, &module, "bias")),
                };
                let source = Value::PositionProjection(Box::new(projection)).into();
                draft.sources.insert(Role::Block(Stack::Encoder, layer, part), source);
            }
        }
    }
}

fn map_first(context: &Context<'_>) -> Result<Draft> {
    let mut common = common(context)?;
    let span = common.max_relative_positions;
    let index = PositionIndex { span, max_distance: 0 };
    common.set_positions(index)?;
    let attention = common.stack.block.attention;
    let (heads, head_dim) = (u32::from(attention.num_attention_heads), u32::from(attention.head_dim));
    let (hidden_size, layers) = (common.stack.hidden_size, common.stack.num_hidden_layers);
    let mut draft = Draft::new(context, Stack::Encoder, common.stack, &NAMES, common.norm);
    for layer in 0..layers {
        let own = |name: &str| prefixed(NAMES.prefixes, &format!("encoder.layer.{layer}.attention.self.{name}"));
        let parts = [(BlockPart::Query, Some("q_bias")), (BlockPart::Key, None), (BlockPart::Value, Some("v_bias"))];
        for (at, (part, bias)) in parts.into_iter().enumerate() {
            let rows = by_head(at as u32, 3, heads, head_dim);
            let source = Source {
                weight: Value::Tensor(Pick::new(own("in_proj.weight")).rows(rows)),
                bias: Some(bias.map_or(Value::Constant(0.0), |name| Value::Tensor(Pick::new(own(name))))),
            };
            draft.sources.insert(Role::Block(Stack::Encoder, layer, part), source);
        }
    }
    let embeddings = tensor(NAMES.prefixes, "encoder.rel_embeddings", "weight");
    Projections { embeddings, norm: None, modules: [("pos_proj", false), ("pos_q_proj", true)] }
        .add(&mut draft, layers, index);
    set_head(context.config, hidden_size, &mut draft)?;
    Ok(draft)
}

fn map_second(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    let mut common = common(context)?;
    let buckets = config.get(&["position_buckets"]).and_then(serde_json::Value::as_i64).unwrap_or(-1);
    let index = match u32::try_from(buckets) {
        Ok(span @ 1..=8192) => PositionIndex { span, max_distance: common.max_relative_positions },
        _ => PositionIndex { span: common.max_relative_positions, max_distance: 0 },
    };
    common.set_positions(index)?;
    let hidden_size = common.stack.hidden_size;
    common.stack.convolution = convolution(config)?;
    let layers = common.stack.num_hidden_layers;
    let mut draft = Draft::new(context, Stack::Encoder, common.stack, &NAMES, common.norm);
    let own = |part| Role::Stack(Stack::Encoder, part);
    let kernel = |kind| tensor(NAMES.prefixes, "encoder.conv.conv", kind);
    draft.sources.insert(
        own(StackPart::Convolution),
        Source { weight: Value::Convolution(kernel("weight")), bias: Some(Value::Tensor(kernel("bias"))) },
    );
    let normed = config.text_or(&["norm_rel_ebd"], "none")?.to_lowercase().split('|').any(|x| x.trim() == "layer_norm");
    let of_norm = |kind| tensor(NAMES.prefixes, "encoder.LayerNorm", kind);
    let modules = match config.flag_or(&["share_att_key"], false)? {
        true => [("key_proj", true), ("query_proj", true)],
        false => [("pos_key_proj", true), ("pos_query_proj", true)],
    };
    let norm = normed.then(|| (of_norm("weight"), of_norm("bias"), common.norm.of(hidden_size)));
    let embeddings = tensor(NAMES.prefixes, "encoder.rel_embeddings", "weight");
    Projections { embeddings, norm, modules }.add(&mut draft, layers, index);
    set_head(config, hidden_size, &mut draft)?;
    Ok(draft)
}

/// The convolution that runs parallel to the first block.
fn convolution(config: &Config) -> Result<Convolution> {
    let kernel_size = config.optional_size(&["conv_kernel_size"])?.unwrap_or(0);
    let activation = activation_key(config, "conv_act", "tanh")?;
    config.only("conv_groups", &[1.into()])?;
    if kernel_size == 0 {
        return Ok(Convolution::None);
    }
    let kernel_size = u8::try_from(kernel_size).ok().filter(|size| size % 2 == 1);
    let kernel_size = kernel_size.ok_or_else(|| {
        refuse("config.json asks for a `conv_kernel_size` that is even or large", "odd ones up to 15 are implemented")
    })?;
    Ok(Convolution::Parallel(ConvolutionSpec { kernel_size, bias: true, activation }))
}

/// Applies the keys of the head: the pooler's activation, and the names in newer files.
fn set_head(config: &Config, hidden_size: u32, draft: &mut Draft) -> Result<()> {
    config.only("pooler_hidden_size", &[hidden_size.into()])?;
    let pooler = activation_key(config, "pooler_hidden_act", "gelu")?;
    let legacy = config.flag_or(&["legacy"], true)?;
    if let (Task::Classification | Task::Regression, Some(transform)) = (draft.head.task, &mut draft.head.transform) {
        transform.activation = Some(pooler);
    }
    if !legacy && draft.head.task == Task::MaskedLm {
        draft.head.transform = Some(Transform {
            dense: "lm_predictions.lm_head.dense",
            norm: Some("lm_predictions.lm_head.LayerNorm"),
            ..LEGACY
        });
        draft.head.output = Output::Vocabulary { weight: &[], bias: &["lm_predictions.lm_head.bias"] };
    }
    Ok(())
}
