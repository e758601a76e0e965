//! Checks the bounds that the runtime relies on and the features that a model needs, once, when a
//! blob is read or written.

use super::layout::{Shape, can_be_packed, can_be_table};
use super::parts::{BlockPart, HeadPart, Role, Stack, StackPart};
use super::places::GROUP_SIZES;
use super::spec::{
    AttentionPosition, AttentionSpec, Blocks, Convolution, ConvolutionSpec, Direction, EmbeddingProjection, HeadSpec,
    MAX_HEAD_DIM, MAX_HEADS, MAX_KERNEL_SIZE, MAX_LAYERS, MAX_NETWORKS, MAX_POSITIONS, MAX_ROWS, MAX_WIDTH, ModelSpec,
    Multiplier, NormSpec, NumericsSpec, OutputProjection, PackedSpec, PackedStack, Pooling, PositionTable, Residual,
    ShortConvolutionSpec, SpanConvolutionSpec, StackSpec, TokenScale, WeightLayout,
};
use crate::error::LoadError;
use crate::features;

impl ModelSpec {
    /// Checks every bound that the runtime relies on.
    ///
    /// # Errors
    /// [`LoadError::InvalidSpec`] with the name of the field that is out of bounds;
    /// [`LoadError::FeatureOff`] with the feature that is missing.
    pub fn check(&self) -> Result<(), LoadError> {
        if let Some(off) = missing(self) {
            return Err(LoadError::FeatureOff(off.feature));
        }
        require(NumericsSpec::FRACTION_BITS.contains(&self.numerics.fraction_bits), "fraction_bits")?;
        require((1..=1024).contains(&self.numerics.tile), "tile")?;
        self.encoder.as_ref().map_or(Ok(()), |encoder| encoder.check(false))?;
        self.decoder.as_ref().map_or(Ok(()), |decoder| decoder.check(true))?;
        let last = self.last_stack()?;
        if let Some(decoder) = &self.decoder {
            require(
                decoder.block.cross_attention == self.encoder.is_some(),
                "cross_attention without an encoder, or an encoder without it",
            )?;
        }
        match (&self.encoder, &self.decoder) {
            (Some(encoder), Some(decoder)) => {
                require(encoder.hidden_size == decoder.hidden_size, "the stacks' hidden sizes differ")?;
                require(!encoder.embedding.shared, "the encoder's token table is shared")?;
                require(
                    !decoder.embedding.shared
                        || (encoder.embedding.vocab_size == decoder.embedding.vocab_size
                            && encoder.embedding.embedding_size == decoder.embedding.embedding_size),
                    "a shared token table of two sizes",
                )?;
            }
            _ => require(!last.embedding.shared, "a shared token table with one stack")?,
        }
        require(
            self.direction == Direction::Forward || (self.encoder.is_none() && self.decoder.is_some()),
            "direction",
        )?;
        let known =
            |id: u32, stack: &Option<StackSpec>| stack.as_ref().is_some_and(|stack| id < stack.embedding.vocab_size);
        match self.head.pooling {
            Pooling::None | Pooling::Last => {}
            Pooling::First | Pooling::Mean => {
                require(self.decoder.is_none(), "pooling over a decoder, which sees one token at a time")?;
            }
            Pooling::LastExcept(id) => require(
                self.encoder.is_none() && known(id, &self.decoder),
                "pooling except a token, in a model that has an encoder or lacks the token",
            )?,
            Pooling::AtLast(id) => require(
                self.decoder.is_some() && known(id, &self.encoder),
                "pooling at a token of the encoder's text, in a model that lacks a stack or the token",
            )?,
        }
        self.head.check(last)?;
        self.check_packed()
    }

    /// Checks that every packed matrix exists and has a shape that can be packed.
    fn check_packed(&self) -> Result<(), LoadError> {
        let packed = &self.numerics.packed;
        let bytes = !matches!(self.numerics.weights, WeightLayout::Packed { .. } | WeightLayout::Table);
        require(bytes, "the layout of 8-bit weights")?;
        if packed.group == 0 || !features::PACKED_WEIGHTS {
            return require(*packed == PackedSpec::NONE, "packed weights without groups");
        }
        require(GROUP_SIZES.contains(&packed.group), "columns of a group")?;
        require(*packed != PackedSpec { group: packed.group, ..PackedSpec::NONE }, "groups without packed weights")?;
        for id in [Stack::Encoder, Stack::Decoder] {
            let Some(stack) = self.stack(id) else {
                require(*packed.stack(id) == PackedStack::NONE, "packed weights of a missing stack")?;
                continue;
            };
            for part in BlockPart::ALL {
                let blocks = packed.stack(id).blocks(part);
                let fits = |block| match part.matrix(stack, block) {
                    Some((rows, cols, _)) => can_be_packed(rows, cols),
                    // Further networks and a second narrow stream share a set with the first.
                    None => part.shares_its_set(),
                };
                let known = blocks.0 & !Blocks::first(stack.num_blocks()).0 == 0;
                let all_fit = (0..stack.num_blocks() as u16).all(|block| !blocks.contains(block) || fits(block));
                require(known && all_fit, "packed weights of a part")?;
            }
        }
        let stacks = [Stack::Encoder, Stack::Decoder].into_iter();
        let outside = stacks.flat_map(|id| StackPart::ALL.into_iter().map(move |part| Role::Stack(id, part)));
        let in_head = HeadPart::ALL.into_iter().map(Role::Head);
        for role in outside.chain(in_head).filter(|role| packed.contains(*role)) {
            let fits = match role.shape(self) {
                Some(Shape::Matrix { cols, layout: WeightLayout::Table, .. }) => can_be_table(cols),
                Some(Shape::Matrix { rows, cols, .. }) => can_be_packed(rows, cols),
                _ => false,
            };
            require(fits, "packed weights outside the blocks")?;
        }
        Ok(())
    }
}

impl StackSpec {
    fn check(&self, causal: bool) -> Result<(), LoadError> {
        let (embedding, block) = (&self.embedding, &self.block);
        require(width(self.hidden_size), "hidden_size")?;
        // An encoder may have no layers: the head then pools the token embeddings.
        let least = u16::from(causal);
        require((least..=MAX_LAYERS).contains(&self.num_hidden_layers), "num_hidden_layers")?;
        require(
            self.inner_group_num > 0
                && (self.num_hidden_groups == 0) == (self.num_hidden_layers == 0)
                && self.num_hidden_layers.is_multiple_of(self.inner_group_num)
                && self.num_hidden_groups <= self.num_hidden_layers / self.inner_group_num,
            "num_hidden_groups",
        )?;
        require((1..=MAX_POSITIONS).contains(&self.max_positions), "max_positions")?;
        require((1..=MAX_ROWS).contains(&embedding.vocab_size), "vocab_size")?;
        require(width(embedding.embedding_size), "embedding_size")?;
        require(
            embedding.projection != EmbeddingProjection::None || embedding.embedding_size == self.hidden_size,
            "embedding_size differs from hidden_size without a projection",
        )?;
        require(!embedding.projection_bias || embedding.projection != EmbeddingProjection::None, "projection_bias")?;
        require(
            embedding.padding.is_none_or(|id| embedding.positions.is_some() && id < embedding.vocab_size),
            "a padding token without positions, or beyond the vocabulary",
        )?;
        embedding.scale.factor().map_or(Ok(()), Multiplier::check)?;
        if let TokenScale::Unmasked { mask, .. } = embedding.scale {
            let known = mask < embedding.vocab_size && embedding.projection == EmbeddingProjection::None;
            require(known && !causal, "an unmasked scale in a decoder, with a projection, or without its token")?;
        }
        require(
            embedding.positions != PositionTable::AfterNorm
                || (embedding.norm.is_some() && embedding.projection == EmbeddingProjection::None),
            "positions after a norm that is missing or projected",
        )?;
        block.attention.check(self.num_hidden_layers, causal)?;
        require(width(block.feed_forward.intermediate_size), "intermediate_size")?;
        let networks = block.feed_forward.networks;
        require((1..=MAX_NETWORKS).contains(&networks), "feed-forward networks")?;
        require(networks == 1 || !block.feed_forward.gated, "several gated feed-forward networks")?;
        let several = networks > 1 || block.bottleneck.is_some();
        require(
            !several || block.residual == Residual::PostNorm,
            "a bottleneck, or several networks, without post-norm",
        )?;
        if let Some(bottleneck) = &block.bottleneck {
            require(width(bottleneck.size), "the bottleneck's size")?;
            require(!causal && !block.feed_forward.gated, "a bottleneck in a decoder, or with a gated network")?;
        }
        let centred = |size: u8| require(size % 2 == 1 && size <= MAX_KERNEL_SIZE && !causal, "kernel_size");
        match self.convolution {
            Convolution::None => {}
            Convolution::Parallel(ConvolutionSpec { kernel_size: size, .. }) => {
                centred(size)?;
                require(width(self.hidden_size * u32::from(size)), "kernel_size * hidden_size")?;
            }
            Convolution::Span(SpanConvolutionSpec { kernel_size: size }) => {
                centred(size)?;
                let plain = block.residual == Residual::PostNorm && block.bottleneck.is_none();
                require(plain, "a dynamic convolution with a bottleneck, or without post-norm")?;
                let attention = &block.attention;
                require(
                    attention.num_key_value_heads == attention.num_attention_heads
                        && 2 * attention.query_size() <= MAX_WIDTH as usize,
                    "the heads of a dynamic convolution",
                )?;
            }
            Convolution::Short(convolution) => self.check_short(&convolution, causal)?,
        }
        require(
            embedding.projection != EmbeddingProjection::Trigram || (!causal && width(3 * embedding.embedding_size)),
            "a trigram embedding in a decoder, or one that is too wide",
        )?;
        require(causal || !block.cross_attention, "cross_attention in an encoder")?;
        for norm in [Some(block.norm), self.final_norm, embedding.norm, block.attention.query_key_norm.spec().copied()]
            .into_iter()
            .flatten()
        {
            norm.check()?;
        }
        Ok(())
    }

    fn check_short(&self, convolution: &ShortConvolutionSpec, causal: bool) -> Result<(), LoadError> {
        require(causal && (1..=MAX_KERNEL_SIZE).contains(&convolution.kernel_size), "kernel_size")?;
        let known = convolution.layers & !Blocks::first(self.num_hidden_layers.into()).0 == 0;
        let apart = convolution.layers & self.block.attention.sliding_layers == 0;
        require(convolution.layers != 0 && known && apart, "layers of a short convolution")?;
        let own = self.num_blocks() == usize::from(self.num_hidden_layers);
        require(own, "a short convolution in blocks that layers share")
    }
}

impl NormSpec {
    fn check(&self) -> Result<(), LoadError> {
        require(self.epsilon < 1 << 62, "epsilon")
    }
}

impl AttentionSpec {
    fn check(&self, num_hidden_layers: u16, causal: bool) -> Result<(), LoadError> {
        let heads = self.num_attention_heads;
        require((1..=MAX_HEADS).contains(&heads), "num_attention_heads")?;
        require(self.num_key_value_heads > 0 && heads.is_multiple_of(self.num_key_value_heads), "num_key_value_heads")?;
        require((1..=MAX_HEAD_DIM).contains(&self.head_dim), "head_dim")?;
        require(self.query_size() <= MAX_WIDTH as usize, "num_attention_heads * head_dim")?;
        self.scale.check()?;
        self.soft_cap.map_or(Ok(()), Multiplier::check)?;
        let beyond = |layers: u64| num_hidden_layers < 64 && layers >> num_hidden_layers != 0;
        require(!beyond(self.sliding_layers), "sliding_layers")?;
        require((self.window == 0) == (self.sliding_layers == 0) && self.window <= MAX_POSITIONS, "window")?;
        match self.position {
            AttentionPosition::None => Ok(()),
            AttentionPosition::Rotary { dims, layers, .. } => {
                require(dims > 0 && dims.is_multiple_of(2) && dims <= self.head_dim && !beyond(layers), "rotary dims")
            }
            AttentionPosition::RelativeBias { distance } | AttentionPosition::LayerRelativeBias { distance } => {
                require((1..=MAX_POSITIONS).contains(&distance), "relative attention distance")
            }
            AttentionPosition::Disentangled { distance, positions, content_to_position, position_to_content } => {
                require((1..=MAX_POSITIONS).contains(&distance), "relative attention distance")?;
                require(content_to_position || position_to_content, "disentangled attention without a term")?;
                let rows = u32::from(heads) * u32::from(positions);
                require(!causal && positions <= 1 << 14 && (1..=MAX_ROWS).contains(&rows), "disentangled attention")
            }
        }
    }
}

impl HeadSpec {
    fn check(&self, stack: &StackSpec) -> Result<(), LoadError> {
        if let Some(transform) = &self.transform {
            require(width(transform.size), "the head's transform size")?;
            transform.norm.map_or(Ok(()), |norm| norm.check())?;
        }
        self.soft_cap.map_or(Ok(()), Multiplier::check)?;
        match self.output {
            OutputProjection::None => {
                require(self.num_outputs == 0 && !self.bias, "num_outputs without an output projection")
            }
            OutputProjection::Own => require((1..=MAX_ROWS).contains(&self.num_outputs), "num_outputs"),
            OutputProjection::Tied => require(
                self.num_outputs == stack.embedding.vocab_size
                    && self.input_size(stack) == stack.embedding.embedding_size as usize,
                "a tied output projection of another size than the token table",
            ),
        }
    }
}

impl Multiplier {
    fn check(self) -> Result<(), LoadError> {
        let normal = self.mantissa >= 1 << 30;
        require(normal && Self::EXPONENTS.contains(&i32::from(self.exponent)), "a multiplier is not normalized")
    }
}

/// Whether `size` is a valid number of columns.
fn width(size: u32) -> bool {
    (1..=MAX_WIDTH).contains(&size)
}

fn require(holds: bool, what: &'static str) -> Result<(), LoadError> {
    if holds { Ok(()) } else { Err(LoadError::InvalidSpec(what)) }
}

/// A crate feature that a model needs and that is off.
#[derive(Clone, Copy)]
pub(crate) struct Off {
    /// Its name in `Cargo.toml`.
    pub(crate) feature: &'static str,
    /// The message of a panic at compile time, which cannot be formatted.
    pub(crate) sentence: &'static str,
}

macro_rules! off {
    ($feature:literal) => {
        Some(Off { feature: $feature, sentence: concat!("the crate's feature `", $feature, "` is off") })
    };
}

/// The first feature that a model needs and that is off.
pub(crate) const fn missing(spec: &ModelSpec) -> Option<Off> {
    if spec.numerics.packed.group != 0 && !features::PACKED_WEIGHTS {
        return off!("packed-weights");
    }
    if matches!(spec.numerics.weights, WeightLayout::Paired) && !features::PAIRED_WEIGHTS {
        return off!("paired-weights");
    }
    if matches!(spec.numerics.weights, WeightLayout::WideTiled) && !features::WIDE_TILES {
        return off!("wide-tiles");
    }
    if spec.head.soft_cap.is_some() && !features::SOFT_CAPS {
        return off!("soft-caps");
    }
    match (missing_of(&spec.encoder), missing_of(&spec.decoder)) {
        (None, other) => other,
        (missing, _) => missing,
    }
}

const fn missing_of(stack: &Option<StackSpec>) -> Option<Off> {
    let Some(stack) = stack else { return None };
    let position = &stack.block.attention.position;
    let relative = !matches!(position, AttentionPosition::None | AttentionPosition::Rotary { .. });
    if relative && !features::RELATIVE_ATTENTION {
        return off!("relative-attention");
    }
    if !matches!(stack.embedding.projection, EmbeddingProjection::None) && !features::PROJECTED_EMBEDDINGS {
        return off!("projected-embeddings");
    }
    let inside = stack.block.bottleneck.is_some() || stack.block.feed_forward.networks > 1;
    if inside && !features::BOTTLENECKS {
        return off!("bottlenecks");
    }
    if stack.block.cross_attention && !features::CROSS_ATTENTION {
        return off!("cross-attention");
    }
    if stack.block.attention.soft_cap.is_some() && !features::SOFT_CAPS {
        return off!("soft-caps");
    }
    match &stack.convolution {
        Convolution::Parallel(_) if !features::CONVOLUTIONS => off!("convolutions"),
        Convolution::Short(_) if !features::SHORT_CONVOLUTIONS => off!("short-convolutions"),
        Convolution::Span(_) if !features::SPAN_CONVOLUTIONS => off!("span-convolutions"),
        _ => None,
    }
}
