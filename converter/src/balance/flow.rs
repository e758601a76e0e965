//! Finds the site that each tensor of a model reads, and the site that it writes.

use kinglet::format::layout::{BlockPart, NETWORKS, Role, Shape, Stack, StackPart};
use kinglet::format::spec::{
    Activation, BottleneckAttention, EmbeddingProjection, ModelSpec, NormKind, NormSpec, PositionTable, Residual,
    StackSpec,
};

/// Numbers of a model that share a power of two: the tensors that write them may be multiplied by
/// it, if all that read them are divided by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Site {
    /// Numbers that cannot be scaled: arguments of tabulated functions, and results.
    Fixed,
    /// Token vectors before the projection of a factorized embedding.
    Tokens(Stack),
    /// The sum of embeddings before its norm; in a factorized embedding, the normalized sum before
    /// the projection.
    Embeddings(Stack),
    /// The residual stream.
    Residual(Stack),
    /// The narrow stream of blocks with a bottleneck.
    Narrow(Stack),
    /// Queries and keys before the norm of each head.
    Heads(Stack),
    /// Queries in the product with keys.
    Queries(Stack),
    /// Keys in the product with queries.
    Keys(Stack),
    /// The result of a norm before a sublayer of one block.
    Normed(Stack, u16, BlockPart),
    /// The values that a projection of one block computes, and their weighted sums; in a block with
    /// a short convolution, also the products with the keys and with the queries.
    Values(Stack, u16, BlockPart),
    /// The result of the first projection of a feed-forward network in one block, up to the second
    /// projection; the result of a depthwise convolution, up to the pointwise one, and the keys of a
    /// dynamic convolution.
    Inner(Stack, u16, BlockPart),
}

/// The sites that a tensor reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) reads: Site,
    pub(crate) writes: Site,
    /// The site of a second factor, if it reads products: [`reads`](Self::reads) again for squares.
    /// [`Site::Fixed`] for none.
    pub(crate) times: Site,
}

impl Flow {
    const FIXED: Self = Self::new(Site::Fixed, Site::Fixed);

    const fn new(reads: Site, writes: Site) -> Self {
        Self { reads, writes, times: Site::Fixed }
    }

    /// The sites of a tensor. Embedding tables only write, and so do the vectors of distances in
    /// disentangled attention.
    pub(crate) fn of(spec: &ModelSpec, role: Role) -> Self {
        let sites = |id| spec.stack(id).map(|stack| Sites { id, stack });
        match role {
            Role::Stack(id, part) => sites(id).map_or(Self::FIXED, |sites| sites.in_stack(part)),
            Role::Block(id, block, part) => sites(id).map_or(Self::FIXED, |sites| sites.in_block(block, part)),
            Role::Head(_) => Self::FIXED,
        }
    }
}

/// The site of a stack's token vectors, where positions are added or a projection follows.
pub(crate) fn token_site(id: Stack, stack: &StackSpec) -> Site {
    Sites { id, stack }.in_stack(StackPart::TokenEmbedding).writes
}

/// The formula of the norm with the weights of this role.
pub(crate) fn norm_mut(spec: &mut ModelSpec, role: Role) -> Option<&mut NormSpec> {
    if !matches!(role.shape(spec), Some(Shape::Norm { .. })) {
        return None;
    }
    let (Role::Stack(id, _) | Role::Block(id, ..)) = role else { return spec.head.transform.as_mut()?.norm.as_mut() };
    let stack = match id {
        Stack::Encoder => spec.encoder.as_mut()?,
        Stack::Decoder => spec.decoder.as_mut()?,
    };
    match role {
        Role::Stack(_, StackPart::EmbeddingNorm) => stack.embedding.norm.as_mut(),
        Role::Stack(_, StackPart::FinalNorm) => stack.final_norm.as_mut(),
        Role::Block(_, _, BlockPart::QueryNorm | BlockPart::KeyNorm) => stack.block.attention.query_key_norm.spec_mut(),
        _ => Some(&mut stack.block.norm),
    }
}

struct Sites<'a> {
    id: Stack,
    stack: &'a StackSpec,
}

impl Sites<'_> {
    fn in_stack(&self, part: StackPart) -> Flow {
        let embedding = &self.stack.embedding;
        let widened_last = embedding.projection == EmbeddingProjection::AfterNorm;
        // The sites that the embedding's norm writes and reads.
        let normed = if widened_last { Site::Embeddings(self.id) } else { self.residual() };
        // A norm that precedes the positions writes the site to which they are added.
        let last = embedding.positions == PositionTable::AfterNorm;
        let sum = match (widened_last, embedding.norm) {
            (true, Some(_)) => Site::Tokens(self.id),
            (false, Some(_)) | (true, None) => Site::Embeddings(self.id),
            (false, None) => self.residual(),
        };
        let (tokens, added, projection) = match embedding.projection {
            EmbeddingProjection::None => (sum, sum, Flow::FIXED),
            EmbeddingProjection::BeforePositions | EmbeddingProjection::Trigram => {
                (Site::Tokens(self.id), sum, Flow::new(Site::Tokens(self.id), sum))
            }
            EmbeddingProjection::BeforeNorm => {
                (Site::Tokens(self.id), Site::Tokens(self.id), Flow::new(Site::Tokens(self.id), sum))
            }
            EmbeddingProjection::AfterNorm => (sum, sum, Flow::new(normed, self.residual())),
        };
        match part {
            StackPart::TokenEmbedding => Flow::new(Site::Fixed, tokens),
            StackPart::PositionEmbedding | StackPart::TokenTypeEmbedding if last => Flow::new(Site::Fixed, normed),
            StackPart::PositionEmbedding | StackPart::TokenTypeEmbedding => Flow::new(Site::Fixed, added),
            StackPart::EmbeddingProjection => projection,
            StackPart::EmbeddingNorm => Flow::new(sum, normed),
            StackPart::FinalNorm => Flow::new(self.residual(), Site::Fixed),
            _ => Flow::FIXED,
        }
    }

    fn in_block(&self, block: u16, part: BlockPart) -> Flow {
        use BlockPart as P;
        let (id, wide, stream) = (self.id, self.residual(), self.stream());
        let attention = self.stack.block.bottleneck.map(|bottleneck| bottleneck.attention);
        let queries = match attention {
            None => self.input(block, P::AttentionNorm),
            Some(BottleneckAttention::Narrow | BottleneckAttention::Shared) => stream,
            Some(BottleneckAttention::Wide) => wide,
        };
        let values = if attention == Some(BottleneckAttention::Shared) { wide } else { queries };
        // Keys and queries are factors of the values there.
        let convolves = self.stack.short_convolution(block.into()).is_some();
        let heads = |own: Site| match self.stack.block.attention.query_key_norm.spec() {
            Some(_) => Site::Heads(id),
            None => own,
        };
        let (query_site, key_site) = (Site::Queries(id), Site::Keys(id));
        let inner = |part| Site::Inner(id, block, part);
        let value_site = |part| Site::Values(id, block, part);
        match part {
            P::Query | P::Key if convolves => Flow::new(queries, Site::Fixed),
            P::ShortKernel => Flow::new(value_site(P::Value), value_site(P::Value)),
            P::Query => Flow::new(queries, heads(query_site)),
            P::Key => Flow::new(queries, heads(key_site)),
            P::QueryNorm => Flow::new(Site::Heads(id), query_site),
            P::KeyNorm => Flow::new(Site::Heads(id), key_site),
            P::Value => Flow::new(values, value_site(P::Value)),
            P::Output => Flow::new(value_site(P::Value), self.result(stream)),
            P::CrossQuery => Flow::new(self.input(block, P::CrossNorm), query_site),
            P::CrossKey => Flow::new(Site::Fixed, key_site),
            P::CrossValue => Flow::new(Site::Fixed, value_site(P::CrossValue)),
            P::CrossOutput => Flow::new(value_site(P::CrossValue), self.result(stream)),
            P::PositionKey => Flow::new(Site::Fixed, key_site),
            P::PositionQuery => Flow::new(Site::Fixed, query_site),
            P::SpanDepthwise => Flow::new(queries, inner(part)),
            P::SpanKey => Flow::new(inner(P::SpanDepthwise), inner(part)),
            P::SpanValue => Flow::new(values, value_site(P::Value)),
            P::SpanKernel => Flow { reads: heads(query_site), writes: Site::Fixed, times: inner(P::SpanKey) },
            P::Narrow | P::NarrowShared => Flow::new(wide, stream),
            P::NarrowNorm | P::NarrowSharedNorm => Flow::new(stream, stream),
            P::Widen => Flow::new(stream, wide),
            P::WidenNorm => Flow::new(wide, self.after(block, wide)),
            P::AttentionPostNorm | P::FeedForwardPostNorm => Flow::new(wide, wide),
            P::AttentionNorm | P::CrossNorm if self.is_post_norm() => Flow::new(stream, stream),
            P::AttentionNorm | P::CrossNorm if self.is_output_norm() => Flow::new(Site::Fixed, wide),
            P::AttentionNorm | P::CrossNorm => Flow::new(wide, Site::Normed(id, block, part)),
            P::Gate | P::Up | P::Down | P::FeedForwardNorm => self.in_network(block, part, 0),
            P::Up1 | P::Down1 | P::FeedForwardNorm1 => self.in_network(block, part, 1),
            P::Up2 | P::Down2 | P::FeedForwardNorm2 => self.in_network(block, part, 2),
            P::Up3 | P::Down3 | P::FeedForwardNorm3 => self.in_network(block, part, 3),
        }
    }

    fn in_network(&self, block: u16, part: BlockPart, network: usize) -> Flow {
        let feed_forward = &self.stack.block.feed_forward;
        let (up, down, norm) = NETWORKS[network];
        let stream = self.stream();
        let shared = self.stack.block.residual == Residual::ParallelShared;
        let input = self.input(block, if shared { BlockPart::AttentionNorm } else { norm });
        // A factor passes through a product, and through functions that are linear on each side of
        // zero.
        let squared = !feed_forward.gated && feed_forward.activation == Activation::ReluSquared;
        let scalable = feed_forward.gated || matches!(feed_forward.activation, Activation::Identity | Activation::Relu);
        let inner = if scalable || squared { Site::Inner(self.id, block, up) } else { Site::Fixed };
        if part == up {
            Flow::new(input, inner)
        } else if part == down {
            let times = if squared { inner } else { Site::Fixed };
            Flow { reads: inner, writes: self.result(stream), times }
        } else if part == BlockPart::Gate {
            Flow::new(input, Site::Fixed)
        } else if self.is_output_norm() {
            Flow::new(Site::Fixed, self.residual())
        } else if !self.is_post_norm() {
            Flow::new(self.residual(), Site::Normed(self.id, block, norm))
        } else if network + 1 == usize::from(feed_forward.networks) && self.stack.block.bottleneck.is_none() {
            Flow::new(stream, self.after(block, stream))
        } else {
            Flow::new(stream, stream)
        }
    }

    fn is_post_norm(&self) -> bool {
        self.stack.block.residual == Residual::PostNorm
    }

    fn is_output_norm(&self) -> bool {
        self.stack.block.residual == Residual::OutputNorm
    }

    /// The site that a sublayer's last matrix writes: the stream, or the input of a norm before the
    /// sum.
    fn result(&self, stream: Site) -> Site {
        if self.is_output_norm() { Site::Fixed } else { stream }
    }

    /// Whether layers share their blocks.
    fn shares_blocks(&self) -> bool {
        self.stack.num_blocks() != usize::from(self.stack.num_hidden_layers)
    }

    /// The residual stream, if a norm follows its end; otherwise fixed, because the results of a
    /// stack cannot be scaled.
    fn residual(&self) -> Site {
        let stack = self.stack;
        let own_first = !stack.block.skip_first_norm || !self.shares_blocks();
        let own_last = stack.final_norm.is_some() || (self.is_post_norm() && !self.shares_blocks());
        if own_first && own_last && stack.convolution.parallel().is_none() {
            Site::Residual(self.id)
        } else {
            Site::Fixed
        }
    }

    /// The stream through attention and the networks. All true norms of a block have one epsilon,
    /// so their inputs share one power of two.
    fn stream(&self) -> Site {
        let affine = self.stack.block.norm.kind == NormKind::Affine;
        if self.stack.block.bottleneck.is_some() && affine { Site::Narrow(self.id) } else { self.residual() }
    }

    /// The site that a block's last norm writes, if norms follow the sublayers.
    fn after(&self, block: u16, stream: Site) -> Site {
        let last = usize::from(block) + 1 == self.stack.num_blocks() && self.stack.final_norm.is_none();
        if last { Site::Fixed } else { stream }
    }

    /// The site that the sublayer of a norm reads.
    fn input(&self, block: u16, norm: BlockPart) -> Site {
        let skipped = self.stack.block.skip_first_norm && block == 0 && norm == BlockPart::AttentionNorm;
        if self.is_post_norm() {
            self.stream()
        } else if self.is_output_norm() || skipped {
            self.residual()
        } else {
            Site::Normed(self.id, block, norm)
        }
    }
}
