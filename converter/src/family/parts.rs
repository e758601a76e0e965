//! Parts of a specification that several families read from the same keys.

use core::f64::consts::LOG2_E;

use super::draft::{Context, Draft, Norm};
use super::source::edit;
use crate::config::Config;
use crate::fixed::multiplier;
use crate::refuse;
use anyhow::Result;
use kinglet::format::layout::{Role, Stack, StackPart};
use kinglet::format::spec::{
    Activation, AttentionPosition, AttentionSpec, BlockSpec, Convolution, EmbeddingProjection, EmbeddingSpec,
    FeedForwardSpec, Multiplier, Pooling, PositionTable, QueryKeyNorm, Residual, StackSpec, Task, TokenScale,
};

/// The sizes that every stack has, with its norm and activation.
pub(super) struct Dimensions {
    pub(super) hidden_size: u32,
    pub(super) layers: u32,
    pub(super) heads: u32,
    pub(super) key_value_heads: u32,
    pub(super) head_dim: u32,
    pub(super) intermediate_size: u32,
    pub(super) vocab_size: u32,
    pub(super) max_positions: u32,
    pub(super) norm: Norm,
    pub(super) activation: Activation,
}

impl Dimensions {
    /// The plainest stack of these dimensions, which a family then changes: pre-norm without a
    /// final norm, a bias on every projection, no positions, a feed-forward network without a gate.
    pub(super) fn stack(&self) -> Result<StackSpec> {
        let layers = short(self.layers, "num_hidden_layers")?;
        Ok(StackSpec {
            hidden_size: self.hidden_size,
            num_hidden_layers: layers,
            num_hidden_groups: layers,
            inner_group_num: 1,
            max_positions: self.max_positions,
            embedding: EmbeddingSpec {
                vocab_size: self.vocab_size,
                embedding_size: self.hidden_size,
                shared: false,
                scale: TokenScale::None,
                positions: PositionTable::None,
                padding: None,
                token_types: 0,
                projection: EmbeddingProjection::None,
                projection_bias: false,
                norm: None,
            },
            block: BlockSpec {
                norm: self.norm.of(self.hidden_size),
                residual: Residual::PreNorm,
                skip_first_norm: false,
                attention: AttentionSpec {
                    num_attention_heads: short(self.heads, "num_attention_heads")?,
                    num_key_value_heads: short(self.key_value_heads, "num_key_value_heads")?,
                    head_dim: short(self.head_dim, "head_dim")?,
                    qkv_bias: true,
                    output_bias: true,
                    scale: score_scale(1.0 / libm::sqrt(f64::from(self.head_dim.max(1))))?,
                    query_key_norm: QueryKeyNorm::None,
                    position: AttentionPosition::None,
                    window: 0,
                    sliding_layers: 0,
                    soft_cap: None,
                },
                cross_attention: false,
                feed_forward: FeedForwardSpec {
                    intermediate_size: self.intermediate_size,
                    activation: self.activation,
                    gated: false,
                    bias: true,
                    networks: 1,
                },
                bottleneck: None,
            },
            final_norm: None,
            convolution: Convolution::None,
        })
    }
}

/// The activation function called `name`; errors name the key.
pub(super) fn activation(key: &str, name: &str) -> Result<Activation> {
    Ok(match name {
        "gelu" | "gelu_python" => Activation::Gelu,
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" | "gelu_python_tanh" | "gelu_accurate" => Activation::GeluTanh,
        "quick_gelu" => Activation::QuickGelu,
        "silu" | "swish" => Activation::Silu,
        "relu" => Activation::Relu,
        "relu2" => Activation::ReluSquared,
        "tanh" => Activation::Tanh,
        "sigmoid" => Activation::Sigmoid,
        "linear" => Activation::Identity,
        _ => {
            return Err(refuse(
                format_args!("config.json says `{key}` = \"{name}\", which is not implemented"),
                "only gelu, gelu_new, quick_gelu, silu, relu, relu2, tanh, sigmoid and linear are implemented",
            ));
        }
    })
}

/// The activation function that a key names.
pub(super) fn activation_key(config: &Config, key: &str, default: &str) -> Result<Activation> {
    activation(key, config.text_or(&[key], default)?)
}

/// The hidden states that `summary_type` names, or else `default`.
pub(super) fn summary_pooling(config: &Config, default: &str) -> Result<Pooling> {
    match config.text_or(&["summary_type"], default)? {
        "first" => Ok(Pooling::First),
        "last" | "cls_index" => Ok(Pooling::Last),
        "mean" => Ok(Pooling::Mean),
        other => Err(refuse(
            format_args!("config.json says `summary_type` = \"{other}\", which is not implemented"),
            "only first, last, mean and cls_index are implemented",
        )),
    }
}

/// The width of a head if all heads together are as wide as `size`. Errors call the size `what`.
pub(super) fn divide(size: u32, heads: u32, what: &str) -> Result<u32> {
    if heads > 0 && size.is_multiple_of(heads) {
        return Ok(size / heads);
    }
    Err(refuse(
        format_args!("config.json says {what} {size} and {heads} heads, which do not divide it"),
        "take config.json from the checkpoint's page again",
    ))
}

/// Converts a number that the specification holds in 16 bits.
pub(super) fn short(value: u32, what: &str) -> Result<u16> {
    u16::try_from(value)
        .map_err(|_| refuse(format_args!("config.json says `{what}` = {value}"), "at most 65535 are supported"))
}

/// The factor on attention scores, in base two.
pub(super) fn score_scale(natural: f64) -> Result<Multiplier> {
    multiplier(natural * LOG2_E)
}

/// A bit set of the layers in `0..layers` for which `is` is true.
pub(super) fn layer_bits(layers: u32, is: impl Fn(u32) -> bool) -> u64 {
    (0..layers.min(64)).filter(|layer| is(*layer)).fold(0, |bits, layer| bits | 1 << layer)
}

/// The bit set of layers to which `layer_types` gives a sliding window; `None` without this key.
pub(super) fn sliding_layer_types(config: &Config, layers: u32) -> Result<Option<u64>> {
    let Some(types) = config.get(&["layer_types"]) else { return Ok(None) };
    let mut bits = 0;
    let list = types.as_array().map_or(&[][..], Vec::as_slice);
    for (layer, kind) in list.iter().enumerate() {
        match kind.as_str() {
            Some("sliding_attention") if layer < 64 => bits |= 1 << layer,
            Some("full_attention") => {}
            _ => {
                return Err(refuse(
                    format_args!("config.json says `layer_types`[{layer}] = {kind}, which is not implemented"),
                    "only full_attention and, in the first 64 layers, sliding_attention are implemented",
                ));
            }
        }
    }
    if list.len() != layers as usize {
        return Err(refuse(
            format_args!("config.json has {} `layer_types` for {layers} layers", list.len()),
            "take config.json from the checkpoint's page again",
        ));
    }
    Ok(Some(bits))
}

/// Gives the layers of a bit set a sliding window, unless it is as long as the longest text.
pub(super) fn set_window(stack: &mut StackSpec, window: Option<u32>, layers: u64) -> Result<()> {
    let Some(window) = window.filter(|_| layers != 0) else { return Ok(()) };
    if window == 0 {
        return Err(refuse(
            "config.json says that a sliding window has 0 tokens",
            "take it from the checkpoint's page again",
        ));
    }
    if window < stack.max_positions {
        (stack.block.attention.window, stack.block.attention.sliding_layers) = (window, layers);
    }
    Ok(())
}

/// Sets windows for a stack whose windowed layers have rotary angles of their own. A window that is
/// longer than the longest text is cut to that length and kept, because it still distinguishes
/// these layers.
pub(super) fn set_local(stack: &mut StackSpec, window: u32, layers: u64) {
    if layers != 0 {
        (stack.block.attention.window, stack.block.attention.sliding_layers) =
            (window.min(stack.max_positions), layers);
    }
    if let AttentionPosition::Rotary { local, .. } = &mut stack.block.attention.position {
        *local = layers != 0;
    }
}

/// Multiplies the logits of a head on the vocabulary, by scaling the last norm.
pub(super) fn multiply_logits(draft: &mut Draft, id: Stack, factor: f64) {
    edit(&mut draft.sources, |role, pick| {
        if role == Role::Stack(id, StackPart::FinalNorm) {
            pick.factor *= factor as f32;
        }
    });
}

/// Refuses keys that make the encoder a decoder, or give it other positions than absolute ones.
pub(super) fn plain_encoder(context: &Context<'_>) -> Result<()> {
    for key in ["is_decoder", "add_cross_attention"] {
        context.config.only(key, &[false.into()])?;
    }
    context.config.only_ever("position_embedding_type", &["absolute".into()])
}

/// The stack of a family that has both kinds: a decoder where its head writes.
pub(super) fn side(context: &Context<'_>) -> Result<Stack> {
    if context.head.task != Task::CausalLm {
        return plain_encoder(context).map(|()| Stack::Encoder);
    }
    context.config.only("is_decoder", &[true.into()])?;
    context.config.only("add_cross_attention", &[context.crosses.into()])?;
    context.config.only_ever("position_embedding_type", &["absolute".into()])?;
    Ok(Stack::Decoder)
}

/// The number of values of a head that are rotated.
pub(super) fn rotated(head_dim: u32, partial: f64) -> Result<u16> {
    short((f64::from(head_dim) * partial) as u32, "head_dim")
}

/// Checks that a number of rotated values can be split into pairs.
pub(super) fn even(dims: u16) -> Result<u16> {
    if dims > 0 && dims.is_multiple_of(2) {
        return Ok(dims);
    }
    Err(refuse(
        format_args!(
            "config.json asks to rotate {dims} values of each head, by its `head_dim` and `partial_rotary_factor`"
        ),
        "it must be an even number: this checkpoint cannot be converted",
    ))
}
