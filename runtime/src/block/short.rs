//! Computes a gated short convolution in place of attention: `output(q * convolution(k * v))`.

use super::Block;
use crate::cache::KeyValueCache;
use crate::convolution::{convolve, store};
use crate::format::layout::BlockPart;
use crate::ops::linear::{QuantizedRows, quantize_rows};
use crate::step::VALUE;
use crate::workspace::Scratch;

impl Block<'_, '_> {
    /// Whether the layer has a short convolution in place of attention.
    pub(super) fn convolves(&self) -> bool {
        self.stack.spec.short_convolution(self.layer).is_some()
    }

    /// Stores the products of keys and values of a prepared tile in the cache.
    pub(super) fn store_products(
        &self,
        tokens: usize,
        start: usize,
        cache: &mut KeyValueCache<'_>,
        scratch: &mut Scratch<'_>,
    ) {
        let size = self.hidden_size();
        self.project(BlockPart::Key, 0, tokens, scratch);
        self.project(BlockPart::Value, tokens * size, tokens, scratch);
        if !scratch.step.takes(2 * tokens * size * VALUE) {
            return;
        }
        let Some((keys, values)) = scratch.wide.split_at_mut_checked(tokens * size) else { return };
        let products = values.get_mut(..tokens * size).unwrap_or(&mut []);
        (self.kernels.gate)(products, keys, self.fraction_bits.into());
        for (position, product) in (start..).zip(products.chunks_exact_mut(size.max(1))) {
            store(self.kernels, cache, position, product);
        }
    }

    /// Computes the convolution for the quantized tile, whose products are stored, with its result in
    /// `scratch.normed`.
    pub(super) fn convolve(&self, tokens: usize, start: usize, cache: &KeyValueCache<'_>, scratch: &mut Scratch<'_>) {
        let size = self.hidden_size();
        self.project(BlockPart::Query, 0, tokens, scratch);
        let Some((queries, sums)) = scratch.wide.split_at_mut_checked(tokens * size) else { return };
        let sums = sums.get_mut(..tokens * size).unwrap_or(&mut []);
        let kernel = self.matrix(BlockPart::ShortKernel);
        if scratch.step.takes(tokens * size * (kernel.cols + 2 * VALUE)) {
            for (position, sum) in (start..).zip(sums.chunks_exact_mut(size.max(1))) {
                convolve(self.kernels, &kernel, cache, position, sum);
            }
            (self.kernels.gate)(sums, queries, self.fraction_bits.into());
            quantize_rows(self.kernels, self.width, sums, size, scratch.quantized, scratch.scales);
        }
        let mixed = QuantizedRows::new(self.width, tokens, size, scratch.quantized, scratch.scales);
        self.linear(&mixed, &self.matrix(BlockPart::Output), &mut scratch.step, scratch.wide, scratch.normed);
    }
}
