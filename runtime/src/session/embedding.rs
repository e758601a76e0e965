//! From tokens to the first hidden states.

use crate::features;
use crate::format::layout::{Role, StackPart};
use crate::format::spec::{ConvolutionSpec, EmbeddingProjection, at_least_one};
use crate::kernels::Kernels;
use crate::model::StackView;
use crate::ops::activation::activate;
use crate::ops::embedding::embed_row;
use crate::ops::linear::{QuantizedRows, linear, quantize_rows};
use crate::ops::norm::norm;
use crate::workspace::Scratch;

use super::positions::position_of;

/// Writes the first hidden state of the token at index `at` of a tile. `first` positions come
/// before the tile.
pub(super) fn embed(
    stack: &StackView<'_, '_>,
    kernels: &Kernels,
    (ids, types): (&[u32], &[u8]),
    at: usize,
    first: usize,
    out: &mut [i32],
    scratch: &mut Scratch<'_>,
) {
    let spec = &stack.spec.embedding;
    let numerics = &stack.model.spec().numerics;
    let bits = numerics.fraction_bits;
    let narrow_size = at_least_one(spec.embedding_size as usize);
    let positions = |row: &mut [i32]| {
        if spec.positions {
            let position = position_of(stack.spec, ids, at, first);
            embed_row(&stack.matrix(StackPart::PositionEmbedding), position, None, bits, true, row);
        }
        if spec.token_types > 0 {
            let token_type = types.get(at).copied().unwrap_or(0);
            embed_row(&stack.matrix(StackPart::TokenTypeEmbedding), token_type.into(), None, bits, true, row);
        }
    };
    let normed = |row: &mut [i32]| {
        if let Some(spec) = &spec.norm {
            norm(kernels, spec, &stack.norm(StackPart::EmbeddingNorm), bits, row);
        }
    };
    // Beyond the text there are zeros.
    let token = |at: usize, row: &mut [i32]| match ids.get(at) {
        Some(&id) => embed_row(&stack.token_table(), id as usize, spec.scale, bits, false, row),
        None => row.fill(0),
    };
    if spec.projection == EmbeddingProjection::None || !features::PROJECTED_EMBEDDINGS {
        token(at, out);
        positions(out);
        normed(out);
        return;
    }
    let read_size = spec.projected_size() as usize;
    let read = scratch.normed.get_mut(..read_size).unwrap_or(&mut []);
    match spec.projection {
        EmbeddingProjection::Trigram => {
            for (at, row) in [at + 1, at, at.wrapping_sub(1)].into_iter().zip(read.chunks_exact_mut(narrow_size)) {
                token(at, row);
            }
        }
        _ => token(at, read),
    }
    let widened_first = matches!(spec.projection, EmbeddingProjection::BeforePositions | EmbeddingProjection::Trigram);
    if !widened_first {
        positions(read);
    }
    if spec.projection == EmbeddingProjection::AfterNorm {
        normed(read);
    }
    quantize_rows(kernels, numerics.activations, read, read_size, scratch.quantized, scratch.scales);
    let x = QuantizedRows::new(numerics.activations, 1, read_size, scratch.quantized, scratch.scales);
    linear(kernels, &x, &stack.matrix(StackPart::EmbeddingProjection), out);
    if widened_first {
        positions(out);
    }
    if spec.projection != EmbeddingProjection::AfterNorm {
        normed(out);
    }
}

/// Adds the convolution over a token's neighbourhood to its state, and norms it.
pub(super) fn convolve(
    stack: &StackView<'_, '_>,
    spec: &ConvolutionSpec,
    kernels: &Kernels,
    text: (&[u32], &[u8]),
    at: usize,
    state: &mut [i32],
    scratch: &mut Scratch<'_>,
) {
    let numerics = &stack.model.spec().numerics;
    let (width, bits) = (numerics.activations, numerics.fraction_bits);
    let seen = usize::from(spec.kernel_size);
    let wide = core::mem::take(&mut scratch.wide);
    if let Some((window, out)) = wide.split_at_mut_checked(seen * state.len()) {
        let out = out.get_mut(..state.len()).unwrap_or(&mut []);
        // Beyond the text there are zeros.
        for (index, row) in window.chunks_exact_mut(state.len().max(1)).enumerate() {
            match (at + index).checked_sub(seen / 2) {
                Some(at) if at < text.0.len() => embed(stack, kernels, text, at, 0, row, scratch),
                _ => row.fill(0),
            }
        }
        quantize_rows(kernels, width, window, window.len(), scratch.quantized, scratch.scales);
        let x = QuantizedRows::new(width, 1, window.len(), scratch.quantized, scratch.scales);
        linear(kernels, &x, &stack.matrix(StackPart::Convolution), out);
        let table = stack.model.halfwords(Role::Stack(stack.id, StackPart::ConvolutionTable));
        activate(kernels, spec.activation, table, bits, out);
        (kernels.add)(state, out);
        norm(kernels, &stack.spec.block.norm, &stack.norm(StackPart::ConvolutionNorm), bits, state);
    }
    scratch.wide = wide;
}
