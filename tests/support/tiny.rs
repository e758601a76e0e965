//! Tiny blobs of a few kilobytes with random weights, which together use most parts of the
//! specification.

use std::collections::BTreeMap;

use kinglet::AlignedVec;
use kinglet::format::blob::{GenerationDefaults, Manifest, Provenance, SpecialTokens, write};
use kinglet::format::layout::{Shape, roles};
use kinglet::format::spec::{
    Activation, ActivationWidth, AttentionPosition, AttentionSpec, BlockSpec, Blocks, Convolution, Direction,
    EmbeddingProjection, EmbeddingSpec, FeedForwardSpec, HeadSpec, KeyWidth, ModelSpec, NormKind, NormSpec,
    NumericsSpec, OutputProjection, PackedSpec, PackedStack, Pooling, PositionTable, QueryKeyNorm, Residual,
    ShortConvolutionSpec, StackSpec, Task, TokenScale, WeightLayout,
};
use kinglet_convert::fixed::multiplier;
use kinglet_convert::quantize::quantize;
use kinglet_convert::weights::{Tensor, Weights};

/// The vocabulary size of every tiny model.
pub const VOCAB_SIZE: u32 = 23;

const NORM: NormSpec = NormSpec { kind: NormKind::Rms, bias: false, epsilon: 1 << 32 };

fn stack() -> StackSpec {
    StackSpec {
        hidden_size: 12,
        num_hidden_layers: 2,
        num_hidden_groups: 2,
        inner_group_num: 1,
        max_positions: 40,
        embedding: EmbeddingSpec {
            vocab_size: VOCAB_SIZE,
            embedding_size: 12,
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
            norm: NORM,
            residual: Residual::PreNorm,
            skip_first_norm: false,
            attention: AttentionSpec {
                num_attention_heads: 4,
                num_key_value_heads: 2,
                head_dim: 6,
                qkv_bias: true,
                output_bias: false,
                scale: multiplier(0.6).expect("a multiplier"),
                query_key_norm: QueryKeyNorm::None,
                position: AttentionPosition::Rotary { dims: 4, local: false, layers: 3 },
                window: 0,
                sliding_layers: 0,
                soft_cap: None,
            },
            cross_attention: false,
            feed_forward: FeedForwardSpec {
                intermediate_size: 14,
                activation: Activation::Silu,
                gated: true,
                bias: false,
                networks: 1,
            },
            bottleneck: None,
        },
        final_norm: Some(NORM),
        convolution: Convolution::None,
    }
}

/// A decoder like Llama.
pub fn decoder() -> ModelSpec {
    ModelSpec {
        numerics: NumericsSpec {
            fraction_bits: 16,
            activations: ActivationWidth::A16,
            keys: KeyWidth::K8,
            weights: WeightLayout::RowMajor,
            packed: PackedSpec::NONE,
            tile: 1,
        },
        direction: Direction::Forward,
        encoder: None,
        decoder: Some(stack()),
        head: HeadSpec {
            task: Task::CausalLm,
            pooling: Pooling::None,
            transform: None,
            output: OutputProjection::Tied,
            num_outputs: VOCAB_SIZE,
            bias: false,
            normalize: false,
            soft_cap: None,
        },
    }
}

/// The tiny decoder with a window of five tokens on its first layer.
pub fn sliding_decoder() -> ModelSpec {
    let mut spec = decoder();
    let attention = &mut spec.decoder.as_mut().expect("a decoder").block.attention;
    (attention.window, attention.sliding_layers) = (5, 1);
    spec
}

/// A decoder like LFM2: in its first and last layers, convolutions over four tokens in place of
/// attention.
pub fn convolving_decoder() -> ModelSpec {
    let mut spec = decoder();
    let stack = spec.decoder.as_mut().expect("a decoder");
    (stack.num_hidden_layers, stack.num_hidden_groups) = (3, 3);
    stack.block.attention.query_key_norm = QueryKeyNorm::EachHead(NORM);
    stack.convolution = Convolution::Short(ShortConvolutionSpec { kernel_size: 4, bias: true, layers: 0b101 });
    spec
}

/// An encoder like BERT, with a classifier for three labels.
pub fn encoder() -> ModelSpec {
    let mut encoder = stack();
    encoder.embedding.positions = PositionTable::BeforeNorm;
    encoder.embedding.token_types = 2;
    encoder.block.residual = Residual::PostNorm;
    encoder.block.norm = NormSpec { kind: NormKind::Layer, bias: true, epsilon: 1 << 20 };
    encoder.embedding.norm = Some(encoder.block.norm);
    encoder.final_norm = None;
    encoder.block.attention.position = AttentionPosition::None;
    encoder.block.feed_forward =
        FeedForwardSpec { intermediate_size: 20, activation: Activation::Gelu, gated: false, bias: true, networks: 1 };
    let head = HeadSpec {
        task: Task::Classification,
        pooling: Pooling::First,
        transform: None,
        output: OutputProjection::Own,
        num_outputs: 3,
        bias: true,
        normalize: false,
        soft_cap: None,
    };
    ModelSpec { encoder: Some(encoder), decoder: None, head, ..decoder() }
}

/// An encoder-decoder like T5, with relative biases, cross-attention and one token table.
pub fn encoder_decoder() -> ModelSpec {
    let mut encoder = stack();
    encoder.block.attention.position = AttentionPosition::RelativeBias { distance: 7 };
    let mut decoder_stack = encoder;
    decoder_stack.embedding.shared = true;
    decoder_stack.block.cross_attention = true;
    ModelSpec { encoder: Some(encoder), decoder: Some(decoder_stack), ..decoder() }
}

/// A decoder with four-bit weights, in some parts for both blocks, in some for one block only.
pub fn packed_decoder() -> ModelSpec {
    let mut spec = decoder();
    let stack = spec.decoder.as_mut().expect("a decoder");
    (stack.hidden_size, stack.embedding.embedding_size) = (16, 16);
    stack.block.attention.head_dim = 4;
    stack.block.feed_forward.intermediate_size = 24;
    stack.embedding.positions = PositionTable::BeforeNorm;
    (stack.embedding.vocab_size, spec.head.num_outputs) = (24, 24);
    let both = Blocks::first(2);
    let [first, second] = [Blocks(1), Blocks(2)];
    let stack = PackedStack {
        query: both,
        key: first,
        up: both,
        gate: second,
        down: second,
        tokens: true,
        positions: true,
        ..PackedStack::NONE
    };
    spec.numerics.packed = PackedSpec { group: 32, decoder: stack, ..PackedSpec::NONE };
    spec
}

/// All tiny specifications, with names.
pub fn specs() -> [(&'static str, ModelSpec); 6] {
    [
        ("decoder", decoder()),
        ("sliding", sliding_decoder()),
        ("packed", packed_decoder()),
        ("encoder", encoder()),
        ("encoder-decoder", encoder_decoder()),
        ("convolving", convolving_decoder()),
    ]
}

/// Pseudorandom numbers from -1 to 1.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 40) as f32) / (1 << 23) as f32 - 1.0
    }
}

/// A blob with random weights and no golden vectors.
///
/// # Panics
/// If the specification cannot be encoded.
pub fn blob(spec: &ModelSpec, seed: u64) -> AlignedVec {
    let mut noise = Noise(seed);
    let mut take =
        |len: usize, center: f32, size: f32| (0..len).map(|_| center + size * noise.next()).collect::<Vec<f32>>();
    let mut tensors = BTreeMap::new();
    for (role, shape) in roles(spec) {
        let (len, biases, center) = match shape {
            Shape::Matrix { rows, cols, bias, .. } => (rows * cols, if bias { rows } else { 0 }, 0.0),
            Shape::Norm { size, bias, .. } => (size, if bias { size } else { 0 }, 1.0),
            Shape::Words { len } | Shape::Halfwords { len } => (len, 0, 0.0),
        };
        tensors.insert(role, Tensor { weight: take(len, center, 0.9), bias: take(biases, 0.0, 0.3) });
    }
    let weights = Weights::new(spec, tensors).expect("weights of every role");
    let payload: Vec<u8> =
        quantize(spec, &weights, None, &|| ()).expect("they fit").into_iter().flat_map(|tensor| tensor.bytes).collect();
    let labels = if spec.head.task == Task::Classification { "no\nperhaps\nyes" } else { "" };
    let provenance = Provenance { source: "tiny", source_checksum: 7, converter: "test" };
    let manifest = Manifest {
        spec: *spec,
        tokens: SpecialTokens::default(),
        generation: GenerationDefaults::default(),
        labels,
        prompts: "",
        provenance,
    };
    AlignedVec::from(write(&manifest, &payload, &[], &[]).expect("a blob").as_slice())
}
