//! Computes the heads of a span-based dynamic convolution (arXiv 2008.02496), beside those of
//! attention.
//!
//! The cache holds the convolution's keys and values, like those of attention and after them. So a
//! token's keys are computed while the states of its neighbours are still those before the layer.

use super::Block;
use crate::cache::KeyValueCache;
use crate::format::layout::BlockPart;
use crate::format::spec::SpanConvolutionSpec;
use crate::ops::depthwise::depthwise;
use crate::ops::linear::quantize_rows;
use crate::step::VALUE;
use crate::workspace::Scratch;

impl<'a: 'm, 'm> Block<'a, 'm> {
    /// The dynamic convolution beside attention, if there is one.
    pub(super) fn span(&self) -> Option<&'a SpanConvolutionSpec> {
        self.stack.spec.convolution.span()
    }

    /// Whether a dynamic convolution runs beside attention.
    pub(crate) fn has_span(&self) -> bool {
        self.span().is_some()
    }

    /// Stores the convolution's keys and values of a tile in the cache, after
    /// [`store`](Self::store). `states` has the layer's input for the whole text, of which the tile
    /// is `len` values.
    pub(crate) fn store_span(
        &self,
        states: &[i32],
        start: usize,
        len: usize,
        cache: &mut KeyValueCache<'_>,
        scratch: &mut Scratch<'_>,
    ) {
        let (size, spec) = (self.hidden_size().max(1), self.attention.spec);
        let tokens = len / size;
        self.project(BlockPart::SpanValue, tokens * spec.query_size(), tokens, scratch);
        let kernel = self.matrix(BlockPart::SpanDepthwise);
        let rows = scratch.normed.get_mut(..tokens * size).unwrap_or(&mut []);
        for (at, row) in (start..).zip(rows.chunks_exact_mut(size)) {
            if scratch.step.takes(size * (kernel.cols + VALUE)) {
                depthwise(self.kernels, &kernel, states, at, row);
            }
        }
        if scratch.step.takes(rows.len() * VALUE) {
            quantize_rows(self.kernels, self.width, rows, size, scratch.quantized, scratch.scales);
        }
        self.project(BlockPart::SpanKey, 0, tokens, scratch);
        let mut cache = cache.heads_from(spec.num_key_value_heads.into(), spec.head_size());
        self.cache(tokens, start, false, &mut cache, scratch);
    }

    /// Computes the convolution for a tile whose queries are in `scratch.wide`. Writes its results
    /// to `scratch.normed`, to the second half of the rows of [`beside`](super::beside).
    pub(super) fn convolve_span(
        &self,
        span: &SpanConvolutionSpec,
        (tokens, start, stored): (usize, usize, usize),
        cache: &KeyValueCache<'_>,
        scratch: &mut Scratch<'_>,
    ) {
        let (width, size) = (self.attention.spec.query_size(), usize::from(span.kernel_size));
        let Some((queries, products)) = scratch.wide.split_at_mut_checked(tokens * width) else { return };
        if scratch.step.takes(3 * tokens * width * VALUE) {
            let products = products.get_mut(..tokens * width).unwrap_or(&mut []);
            for (position, row) in (start..).zip(products.chunks_exact_mut(width.max(1))) {
                self.attention.span_keys(cache, position, row);
            }
            (self.kernels.gate)(products, queries, self.fraction_bits.into());
            quantize_rows(self.kernels, self.width, products, width, scratch.quantized, scratch.scales);
        }
        self.project(BlockPart::SpanKernel, 2 * tokens * width, tokens, scratch);
        let scores = scratch.wide.get_mut(2 * tokens * width..).unwrap_or(&mut []);
        let score_count = size * usize::from(self.attention.spec.num_attention_heads);
        for (index, row) in scratch.normed.chunks_exact_mut((2 * width).max(1)).take(tokens).enumerate() {
            let scores = scores.get_mut(index * score_count..(index + 1) * score_count).unwrap_or(&mut []);
            if scratch.step.takes(width * (size + VALUE) + score_count * VALUE) {
                let out = row.get_mut(width..).unwrap_or(&mut []);
                self.attention.convolve_span(cache, start + index, stored, scores, out);
            }
        }
    }
}
