//! Random specifications that [`ModelSpec::check`] accepts, with every combination of parts, and
//! sizes that are small or at their bounds.

use arbitrary::{Result, Unstructured};
use kinglet::format::layout::{Shape, can_be_packed, can_be_table, roles};
use kinglet::format::spec::{
    Activation, ActivationWidth, AttentionPosition, AttentionSpec, BlockSpec, BottleneckAttention, BottleneckSpec,
    Convolution, ConvolutionSpec, Direction, EmbeddingProjection, EmbeddingSpec, FeedForwardSpec, HeadSpec, KeyWidth,
    MAX_KERNEL_SIZE, ModelSpec, Multiplier, NormKind, NormSpec, NumericsSpec, OutputProjection, PackedSpec, Pooling,
    PositionTable, QueryKeyNorm, Residual, ShortConvolutionSpec, SpanConvolutionSpec, StackSpec, Task, TokenScale,
    TransformSpec, WeightLayout,
};

/// The maximum bytes of tensors; larger models are too slow to test thousands of them.
const MAX_BYTES: u64 = 1 << 17;

const ACTIVATIONS: [Activation; 9] = [
    Activation::Identity,
    Activation::Relu,
    Activation::ReluSquared,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::QuickGelu,
    Activation::Silu,
    Activation::Tanh,
    Activation::Sigmoid,
];

const TASKS: [Task; 10] = [
    Task::Hidden,
    Task::Embedding,
    Task::CausalLm,
    Task::MaskedLm,
    Task::Classification,
    Task::MultiLabelClassification,
    Task::Regression,
    Task::TokenClassification,
    Task::QuestionAnswering,
    Task::ReplacedToken,
];

/// A valid specification; `None` if the choices lead to an invalid one, or to one that is too
/// large.
pub fn specification(choices: &mut Unstructured<'_>) -> Option<ModelSpec> {
    let spec = choose(choices).ok()?;
    let fits = || roles(&spec).map(|(_, shape)| shape.bytes()).sum::<u64>() <= MAX_BYTES;
    (spec.check().is_ok() && fits()).then_some(spec)
}

fn choose(u: &mut Unstructured<'_>) -> Result<ModelSpec> {
    let (has_encoder, has_decoder) = *u.choose(&[(true, false), (false, true), (true, true)])?;
    let hidden = width(u)?;
    let mut encoder = if has_encoder { Some(stack(u, hidden, false)?) } else { None };
    let mut decoder = if has_decoder { Some(stack(u, hidden, true)?) } else { None };
    if let (Some(encoder), Some(decoder)) = (&mut encoder, &mut decoder) {
        decoder.block.cross_attention = true;
        if u.arbitrary()? {
            let (own, others) = (&mut decoder.embedding, &encoder.embedding);
            own.shared = true;
            (own.vocab_size, own.embedding_size) = (others.vocab_size, others.embedding_size);
            own.padding = own.padding.map(|id| id % others.vocab_size);
            own.projection = match others.projection {
                EmbeddingProjection::Trigram => EmbeddingProjection::BeforeNorm,
                projection => projection,
            };
            own.projection_bias &= own.projection != EmbeddingProjection::None;
        }
    }
    let last = decoder.as_ref().or(encoder.as_ref()).expect("there is a stack");
    let vocab_size = last.embedding.vocab_size;
    let known = encoder.as_ref().map_or(vocab_size, |stack| stack.embedding.vocab_size);
    let id = u.int_in_range(0..=known - 1)?;
    let poolings: &[Pooling] = match (has_encoder, has_decoder) {
        (_, false) => &[Pooling::None, Pooling::First, Pooling::Last, Pooling::Mean],
        (false, true) => &[Pooling::None, Pooling::Last, Pooling::LastExcept(id)],
        (true, true) => &[Pooling::None, Pooling::Last, Pooling::AtLast(id)],
    };
    let pooling = *u.choose(poolings)?;
    let head = head(u, last, pooling)?;
    let backward = has_decoder && !has_encoder && u.ratio(1, 4)?;
    let mut spec = ModelSpec {
        numerics: numerics(u)?,
        direction: if backward { Direction::Backward } else { Direction::Forward },
        encoder,
        decoder,
        head,
    };
    spec.numerics.packed = packed(u, &spec)?;
    Ok(spec)
}

/// Four-bit weights for no matrix, for all matrices whose shape allows them, or for some of these.
fn packed(u: &mut Unstructured<'_>, spec: &ModelSpec) -> Result<PackedSpec> {
    let mut packed = PackedSpec::NONE;
    let (every, group) = (u.arbitrary()?, *u.choose(&[0, 0, 32, 64])?);
    for (role, shape) in roles(spec).filter(|_| group > 0) {
        let Shape::Matrix { rows, cols, .. } = shape else { continue };
        let fits = if spec.only_looks_up(role) { can_be_table(cols) } else { can_be_packed(rows, cols) };
        if fits && (every || u.arbitrary()?) {
            packed.set(role, true);
        }
    }
    packed.group = if packed == PackedSpec::NONE { 0 } else { group };
    Ok(packed)
}

fn numerics(u: &mut Unstructured<'_>) -> Result<NumericsSpec> {
    let weights = [WeightLayout::RowMajor, WeightLayout::Tiled, WeightLayout::Paired, WeightLayout::WideTiled];
    Ok(NumericsSpec {
        fraction_bits: if u.arbitrary()? { 16 } else { u.int_in_range(3..=20)? },
        activations: if u.arbitrary()? { ActivationWidth::A8 } else { ActivationWidth::A16 },
        keys: if u.arbitrary()? { KeyWidth::K8 } else { KeyWidth::K16 },
        weights: *u.choose(&weights)?,
        packed: PackedSpec::NONE,
        tile: u.int_in_range(1..=32)?,
    })
}

/// The width of a row, often a multiple of the sizes of tiles and vectors.
fn width(u: &mut Unstructured<'_>) -> Result<u32> {
    match u.int_in_range(0..=7)? {
        0 => u.int_in_range(1..=7),
        1 => Ok(8 * u.int_in_range(1..=12)?),
        2 => Ok(16 * u.int_in_range(1..=9)?),
        3 => u.int_in_range(1..=160),
        4 => Ok(*u.choose(&[1, 63, 64, 65, 127, 128, 129, 255, 256])?),
        _ => Ok(4 * u.int_in_range(1..=12)?),
    }
}

/// A size, which is occasionally the maximum.
fn long(u: &mut Unstructured<'_>, usual: u32, most: u32) -> Result<u32> {
    if u.ratio(1, 32)? { Ok(*u.choose(&[most, most - 1, most / 2])?) } else { u.int_in_range(1..=usual) }
}

fn multiplier(u: &mut Unstructured<'_>) -> Result<Multiplier> {
    let mantissa = match u.int_in_range(0..=3)? {
        0 => 1 << 30,
        1 => i32::MAX,
        _ => u.int_in_range(1 << 30..=i32::MAX)?,
    };
    let (least, most) = (*Multiplier::EXPONENTS.start() as i8, *Multiplier::EXPONENTS.end() as i8);
    let exponent = if u.ratio(1, 8)? { u.int_in_range(least..=most)? } else { u.int_in_range(27..=34)? };
    Ok(Multiplier { mantissa, exponent })
}

fn norm(u: &mut Unstructured<'_>) -> Result<NormSpec> {
    Ok(NormSpec {
        kind: *u.choose(&[NormKind::Layer, NormKind::Rms, NormKind::Affine])?,
        bias: u.arbitrary()?,
        epsilon: *u.choose(&[0, 1, 1 << 10, 1 << 20, 1 << 32, 1 << 61, (1 << 62) - 1])?,
    })
}

fn perhaps<T>(u: &mut Unstructured<'_>, make: impl FnOnce(&mut Unstructured<'_>) -> Result<T>) -> Result<Option<T>> {
    if u.ratio(1, 3)? { make(u).map(Some) } else { Ok(None) }
}

fn stack(u: &mut Unstructured<'_>, hidden_size: u32, causal: bool) -> Result<StackSpec> {
    let num_hidden_layers = match u.int_in_range(0..=15)? {
        0 => u16::from(causal),
        1 => 64,
        _ => u.int_in_range(1..=4)?,
    };
    let inner_group_num = match num_hidden_layers {
        0 => 1,
        layers => *u.choose(&[1, 1, if layers % 2 == 0 { 2 } else { 1 }, layers])?,
    };
    let most = num_hidden_layers / inner_group_num;
    let num_hidden_groups = if most == 0 { 0 } else { *u.choose(&[most, most, 1, most.div_ceil(2)])? };
    let max_positions = long(u, 48, 1 << 15)?;
    let mut embedding = embedding(u, hidden_size, causal)?;
    if embedding.embedding_size != hidden_size && embedding.projection == EmbeddingProjection::None {
        embedding.embedding_size = hidden_size;
    }
    let mut block = block(u, num_hidden_layers, hidden_size, causal)?;
    let kernel_size = 2 * u.int_in_range(0..=7)? + 1;
    let convolution = ConvolutionSpec { kernel_size, bias: u.arbitrary()?, activation: *u.choose(&ACTIVATIONS)? };
    let convolution = if causal && num_hidden_groups * inner_group_num == num_hidden_layers {
        short_convolution(u, num_hidden_layers, &mut block.attention)?
    } else {
        match u.int_in_range(0..=9)? {
            0 | 1 if !causal => Convolution::Parallel(convolution),
            2 if !causal => {
                (block.residual, block.bottleneck) = (Residual::PostNorm, None);
                block.attention.num_attention_heads = block.attention.num_key_value_heads;
                Convolution::Span(SpanConvolutionSpec { kernel_size })
            }
            _ => Convolution::None,
        }
    };
    Ok(StackSpec {
        hidden_size,
        num_hidden_layers,
        num_hidden_groups,
        inner_group_num,
        max_positions,
        embedding,
        block,
        final_norm: perhaps(u, norm)?,
        convolution,
    })
}

/// Short convolutions in some layers, which then have no window, or none.
fn short_convolution(u: &mut Unstructured<'_>, layers: u16, attention: &mut AttentionSpec) -> Result<Convolution> {
    let convolving = any_layers(u, layers)?;
    if convolving == 0 || u.ratio(3, 4)? {
        return Ok(Convolution::None);
    }
    attention.sliding_layers &= !convolving;
    if attention.sliding_layers == 0 {
        attention.window = 0;
    }
    Ok(Convolution::Short(ShortConvolutionSpec {
        kernel_size: u.int_in_range(1..=MAX_KERNEL_SIZE)?,
        bias: u.arbitrary()?,
        layers: convolving,
    }))
}

/// A set of layers.
fn any_layers(u: &mut Unstructured<'_>, layers: u16) -> Result<u64> {
    let mask = if layers < 64 { (1 << layers) - 1 } else { u64::MAX };
    Ok(u.arbitrary::<u64>()? & mask)
}

fn embedding(u: &mut Unstructured<'_>, hidden_size: u32, causal: bool) -> Result<EmbeddingSpec> {
    let vocab_size = long(u, 70, 1 << 15)?;
    let projections = [
        EmbeddingProjection::BeforePositions,
        EmbeddingProjection::BeforeNorm,
        EmbeddingProjection::AfterNorm,
        if causal { EmbeddingProjection::BeforeNorm } else { EmbeddingProjection::Trigram },
    ];
    let projection = if u.ratio(1, 3)? { *u.choose(&projections)? } else { EmbeddingProjection::None };
    let norm = perhaps(u, norm)?;
    let positions = match u.arbitrary()? {
        false => PositionTable::None,
        true if norm.is_some() && projection == EmbeddingProjection::None && u.arbitrary()? => PositionTable::AfterNorm,
        true => PositionTable::BeforeNorm,
    };
    let padded = positions.is_some() && u.ratio(1, 3)?;
    let scale = match perhaps(u, multiplier)? {
        None => TokenScale::None,
        Some(factor) if !causal && projection == EmbeddingProjection::None && u.arbitrary()? => {
            TokenScale::Unmasked { factor, mask: u.int_in_range(0..=vocab_size - 1)? }
        }
        Some(factor) => TokenScale::Fixed(factor),
    };
    Ok(EmbeddingSpec {
        vocab_size,
        embedding_size: if projection == EmbeddingProjection::None { hidden_size } else { width(u)? },
        shared: false,
        scale,
        positions,
        padding: if padded { Some(u.int_in_range(0..=vocab_size - 1)?) } else { None },
        token_types: *u.choose(&[0, 0, 1, 2, 300])?,
        projection,
        projection_bias: projection != EmbeddingProjection::None && u.arbitrary()?,
        norm,
    })
}

fn block(u: &mut Unstructured<'_>, layers: u16, hidden_size: u32, causal: bool) -> Result<BlockSpec> {
    let residuals = [
        Residual::PreNorm,
        Residual::PostNorm,
        Residual::Sandwich,
        Residual::Parallel,
        Residual::ParallelShared,
        Residual::OutputNorm,
    ];
    let mut residual = *u.choose(&residuals)?;
    let mut feed_forward = FeedForwardSpec {
        intermediate_size: if u.ratio(1, 40)? { 1 << 16 } else { width(u)? },
        activation: *u.choose(&ACTIVATIONS)?,
        gated: u.arbitrary()?,
        bias: u.arbitrary()?,
        networks: 1,
    };
    let mut bottleneck = None;
    if u.ratio(1, 5)? {
        (residual, feed_forward.gated) = (Residual::PostNorm, false);
        feed_forward.networks = u.int_in_range(1..=4)?;
        if !causal && u.arbitrary()? {
            let kinds = [BottleneckAttention::Narrow, BottleneckAttention::Shared, BottleneckAttention::Wide];
            let size = if u.ratio(1, 8)? { hidden_size } else { width(u)? };
            bottleneck = Some(BottleneckSpec { size, attention: *u.choose(&kinds)? });
        }
    }
    Ok(BlockSpec {
        norm: norm(u)?,
        residual,
        skip_first_norm: u.ratio(1, 5)?,
        attention: attention(u, layers, causal)?,
        cross_attention: false,
        feed_forward,
        bottleneck,
    })
}

fn attention(u: &mut Unstructured<'_>, layers: u16, causal: bool) -> Result<AttentionSpec> {
    let num_key_value_heads = if u.ratio(1, 30)? { 64 } else { u.int_in_range(1..=3)? };
    let num_attention_heads = num_key_value_heads * *u.choose(&[1, 1, 2, 3, 4, 8])?;
    let head_dim = match u.int_in_range(0..=7)? {
        0 => *u.choose(&[1, 2, 127, 128, 256, 511, 512])?,
        1 | 2 => u.int_in_range(1..=40)?,
        3 => 16 * u.int_in_range(1..=4)?,
        _ => 4 * u.int_in_range(1..=9)?,
    };
    let position = match u.int_in_range(0..=4)? {
        0 if head_dim > 1 => AttentionPosition::Rotary {
            dims: 2 * u.int_in_range(1..=head_dim / 2)?,
            local: u.arbitrary()?,
            layers: any_layers(u, layers)?,
        },
        1 if u.ratio(1, 3)? => AttentionPosition::LayerRelativeBias { distance: long(u, 12, 1 << 15)? },
        1 => AttentionPosition::RelativeBias { distance: long(u, 12, 1 << 15)? },
        2 if !causal => {
            let (content_to_position, position_to_content) =
                *u.choose(&[(true, true), (true, false), (false, true)])?;
            AttentionPosition::Disentangled {
                distance: long(u, 12, 1 << 15)?,
                positions: u.int_in_range(1..=25)?,
                content_to_position,
                position_to_content,
            }
        }
        _ => AttentionPosition::None,
    };
    let sliding_layers = if u.ratio(1, 3)? { any_layers(u, layers)? } else { 0 };
    Ok(AttentionSpec {
        num_attention_heads,
        num_key_value_heads,
        head_dim,
        qkv_bias: u.arbitrary()?,
        output_bias: u.arbitrary()?,
        scale: multiplier(u)?,
        query_key_norm: match perhaps(u, norm)? {
            None => QueryKeyNorm::None,
            Some(norm) if u.arbitrary()? => QueryKeyNorm::EachHead(norm),
            Some(norm) => QueryKeyNorm::AllHeads(norm),
        },
        position,
        window: if sliding_layers == 0 { 0 } else { long(u, 9, 1 << 15)? },
        sliding_layers,
        soft_cap: perhaps(u, multiplier)?,
    })
}

fn head(u: &mut Unstructured<'_>, last: &StackSpec, pooling: Pooling) -> Result<HeadSpec> {
    let output = *u.choose(&[OutputProjection::None, OutputProjection::Tied, OutputProjection::Own])?;
    let mut transform = None;
    let narrow = last.embedding.embedding_size;
    if u.ratio(1, 3)? || (output == OutputProjection::Tied && narrow != last.hidden_size) {
        let size = if output == OutputProjection::Tied { narrow } else { width(u)? };
        transform = Some(TransformSpec {
            size,
            bias: u.arbitrary()?,
            activation: *u.choose(&ACTIVATIONS)?,
            norm: perhaps(u, norm)?,
        });
    }
    let num_outputs = match output {
        OutputProjection::None => 0,
        OutputProjection::Tied => last.embedding.vocab_size,
        OutputProjection::Own => long(u, 40, 1 << 14)?,
    };
    Ok(HeadSpec {
        task: *u.choose(&TASKS)?,
        pooling,
        transform,
        output,
        num_outputs,
        bias: output != OutputProjection::None && u.arbitrary()?,
        normalize: u.arbitrary()?,
        soft_cap: perhaps(u, multiplier)?,
    })
}
