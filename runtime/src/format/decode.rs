//! Decodes a manifest in place.
//!
//! A derived `Deserialize` returns its value, and a value returned through several functions is on
//! the stack several times: eight kilobytes for a manifest, too many for a small device. Here each
//! field is decoded by itself and written directly to its destination.

use heapless::Vec;
use postcard::Deserializer;
use postcard::de_flavors::Slice;
use serde::Deserialize;

use super::manifest::{EarlyStopping, GenerationDefaults, Manifest, Provenance, SpecialTokens};
use super::spec::{
    Activation, ActivationWidth, AttentionPosition, AttentionSpec, BlockSpec, Blocks, BottleneckSpec, Convolution,
    Direction, EmbeddingProjection, EmbeddingSpec, FeedForwardSpec, HeadSpec, KeyWidth, ModelSpec, Multiplier,
    NormKind, NormSpec, NumericsSpec, OutputProjection, PackedSpec, PackedStack, Pooling, PositionTable, QueryKeyNorm,
    Residual, StackSpec, Task, TokenScale, TransformSpec, WeightLayout,
};

/// Reads postcard's encoding, value by value.
pub(crate) struct Decoder<'m>(Deserializer<'m, Slice<'m>>);

impl<'m> Decoder<'m> {
    pub(crate) fn new(bytes: &'m [u8]) -> Self {
        Self(Deserializer::from_bytes(bytes))
    }

    /// Decodes a small value.
    // Not inlined, so that the stack of each type's decoder is released before the next value.
    #[inline(never)]
    pub(crate) fn value<T: Deserialize<'m>>(&mut self) -> Option<T> {
        T::deserialize(&mut self.0).ok()
    }

    /// Whether all bytes were read.
    pub(crate) fn ends(self) -> bool {
        self.0.finalize().is_ok_and(<[u8]>::is_empty)
    }
}

/// A type that can be decoded in place.
pub(crate) trait InPlace<'m> {
    /// Overwrites `self` with the next value. `None` if the bytes do not encode one; `self` may
    /// then be partly overwritten.
    fn decode(&mut self, from: &mut Decoder<'m>) -> Option<()>;
}

/// Implements [`InPlace`] for types that are decoded as a whole.
macro_rules! whole {
    ($($type:ty),* $(,)?) => {$(
        impl<'m> InPlace<'m> for $type {
            fn decode(&mut self, from: &mut Decoder<'m>) -> Option<()> {
                *self = from.value()?;
                Some(())
            }
        }
    )*};
}
pub(crate) use whole;

/// Implements [`InPlace`] for structures, field by field in the order of declaration.
macro_rules! by_field {
    ($($name:ident $(<$life:lifetime>)? { $($field:ident),* $(,)? })*) => {$(
        impl<'m> InPlace<'m> for $name $(<$life>)? {
            fn decode(&mut self, from: &mut Decoder<'m>) -> Option<()> {
                let Self { $($field),* } = self;
                $($field.decode(from)?;)*
                Some(())
            }
        }
    )*};
}
pub(crate) use by_field;

whole!(bool, u8, u16, u32, u64, i32, &'m str);
whole!(Option<bool>, Option<u32>, Option<NormSpec>, Option<Multiplier>, Convolution, Option<TransformSpec>);
whole!(ActivationWidth, KeyWidth, WeightLayout, Blocks);
whole!(Option<BottleneckSpec>, Direction, Multiplier, NormSpec, Residual, AttentionPosition);
whole!(TokenScale, PositionTable, QueryKeyNorm);
whole!(FeedForwardSpec, EmbeddingProjection, Task, Pooling, OutputProjection, EarlyStopping);

by_field! {
    Manifest<'m> { spec, tokens, generation, labels, prompts, provenance }
    ModelSpec { numerics, direction, encoder, decoder, head }
    NumericsSpec { fraction_bits, activations, keys, weights, packed, tile }
    PackedSpec { group, encoder, decoder, head_transform, head_output }
    PackedStack {
        query,
        key,
        value,
        output,
        cross_query,
        cross_key,
        cross_value,
        cross_output,
        gate,
        up,
        down,
        narrow,
        widen,
        embedding_projection,
        convolution,
        tokens,
        positions,
        token_types,
    }
    StackSpec {
        hidden_size,
        num_hidden_layers,
        num_hidden_groups,
        inner_group_num,
        max_positions,
        embedding,
        block,
        final_norm,
        convolution,
    }
    EmbeddingSpec {
        vocab_size,
        embedding_size,
        shared,
        scale,
        positions,
        padding,
        token_types,
        projection,
        projection_bias,
        norm,
    }
    BlockSpec { norm, residual, skip_first_norm, attention, cross_attention, feed_forward, bottleneck }
    AttentionSpec {
        num_attention_heads,
        num_key_value_heads,
        head_dim,
        qkv_bias,
        output_bias,
        scale,
        query_key_norm,
        position,
        window,
        sliding_layers,
        soft_cap,
    }
    HeadSpec { task, pooling, transform, output, num_outputs, bias, normalize, soft_cap }
    SpecialTokens {
        bos,
        eos,
        pad,
        mask,
        decoder_start,
        forced_bos,
        forced_eos,
        suppressed,
        suppressed_first,
        bad_words,
    }
    GenerationDefaults {
        num_beams,
        length_penalty,
        early_stopping,
        renormalize_logits,
        no_repeat_ngram_size,
        min_length,
        min_new_tokens,
        max_length,
        max_new_tokens,
        repetition_penalty,
    }
    Provenance<'m> { source, source_checksum, converter }
}

impl<'m> InPlace<'m> for Option<StackSpec> {
    // Not inlined: both stacks share one copy of the code.
    #[inline(never)]
    fn decode(&mut self, from: &mut Decoder<'m>) -> Option<()> {
        *self = None;
        if from.value()? { self.insert(StackSpec::EMPTY).decode(from) } else { Some(()) }
    }
}

impl<'m, T: Deserialize<'m>, const N: usize> InPlace<'m> for Vec<T, N, u8> {
    fn decode(&mut self, from: &mut Decoder<'m>) -> Option<()> {
        self.clear();
        let elements: u32 = from.value()?;
        for _ in 0..elements {
            self.push(from.value()?).ok()?;
        }
        Some(())
    }
}

impl StackSpec {
    /// The initial value, to be overwritten by decoding.
    const EMPTY: Self = Self {
        hidden_size: 0,
        num_hidden_layers: 0,
        num_hidden_groups: 0,
        inner_group_num: 0,
        max_positions: 0,
        embedding: EmbeddingSpec {
            vocab_size: 0,
            embedding_size: 0,
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
            norm: NormSpec { kind: NormKind::Layer, bias: false, epsilon: 0 },
            residual: Residual::PreNorm,
            skip_first_norm: false,
            attention: AttentionSpec {
                num_attention_heads: 0,
                num_key_value_heads: 0,
                head_dim: 0,
                qkv_bias: false,
                output_bias: false,
                scale: Multiplier { mantissa: 0, exponent: 0 },
                query_key_norm: QueryKeyNorm::None,
                position: AttentionPosition::None,
                window: 0,
                sliding_layers: 0,
                soft_cap: None,
            },
            cross_attention: false,
            feed_forward: FeedForwardSpec {
                intermediate_size: 0,
                activation: Activation::Identity,
                gated: false,
                bias: false,
                networks: 0,
            },
            bottleneck: None,
        },
        final_norm: None,
        convolution: Convolution::None,
    };
}

impl Manifest<'_> {
    /// The initial value, to be overwritten by decoding. It is not a valid manifest: its specification
    /// has no stack.
    pub(crate) const EMPTY: Self = Self {
        spec: ModelSpec {
            numerics: NumericsSpec {
                fraction_bits: 0,
                activations: ActivationWidth::A8,
                keys: KeyWidth::K8,
                weights: WeightLayout::RowMajor,
                packed: PackedSpec::NONE,
                tile: 0,
            },
            direction: Direction::Forward,
            encoder: None,
            decoder: None,
            head: HeadSpec {
                task: Task::Hidden,
                pooling: Pooling::None,
                transform: None,
                output: OutputProjection::None,
                num_outputs: 0,
                bias: false,
                normalize: false,
                soft_cap: None,
            },
        },
        tokens: SpecialTokens {
            bos: None,
            eos: Vec::new(),
            pad: None,
            mask: None,
            decoder_start: None,
            forced_bos: None,
            forced_eos: None,
            suppressed: Vec::new(),
            suppressed_first: Vec::new(),
            bad_words: Vec::new(),
        },
        generation: GenerationDefaults {
            num_beams: 0,
            length_penalty: 0,
            early_stopping: EarlyStopping::Heuristic,
            renormalize_logits: false,
            no_repeat_ngram_size: 0,
            min_length: 0,
            min_new_tokens: None,
            max_length: None,
            max_new_tokens: None,
            repetition_penalty: 0,
        },
        labels: "",
        prompts: "",
        provenance: Provenance { source: "", source_checksum: 0, converter: "" },
    };
}
