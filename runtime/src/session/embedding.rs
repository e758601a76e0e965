//! Embeds tokens: computes the first hidden states.

use crate::features;
use crate::fixed::mul_high;
use crate::format::layout::{Role, StackPart};
use crate::format::spec::{ConvolutionSpec, EmbeddingProjection, Multiplier, PositionTable, TokenScale, at_least_one};
use crate::kernels::Kernels;
use crate::model::StackView;
use crate::ops::activation::activate;
use crate::ops::embedding::embed_row;
use crate::ops::linear::{QuantizedRows, linear, quantize_rows};
use crate::ops::norm::norm;
use crate::workspace::Scratch;

use super::positions::position_of;

/// Writes the first hidden state of the token at index `at` of a tile to `out`. `first` positions
/// precede the tile.
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
        if spec.positions.is_some() {
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
    // Zeros pad the text at both ends.
    let token = |at: usize, row: &mut [i32]| match ids.get(at) {
        Some(&id) if !is_masked(spec.scale, id) => {
            embed_row(&stack.token_table(), id as usize, scale_of(spec.scale, ids), bits, false, row);
        }
        _ => row.fill(0),
    };
    if spec.projection == EmbeddingProjection::None || !features::PROJECTED_EMBEDDINGS {
        token(at, out);
        if spec.positions == PositionTable::AfterNorm {
            normed(out);
            positions(out);
        } else {
            positions(out);
            normed(out);
        }
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
    linear(kernels, &x, &stack.matrix(StackPart::EmbeddingProjection), scratch.normed, out);
    if widened_first {
        positions(out);
    }
    if spec.projection != EmbeddingProjection::AfterNorm {
        normed(out);
    }
}

/// Whether a token's vector is zero.
fn is_masked(scale: TokenScale, id: u32) -> bool {
    matches!(scale, TokenScale::Unmasked { mask, .. } if mask == id)
}

/// The factor on the token vectors of a text.
fn scale_of(scale: TokenScale, ids: &[u32]) -> Option<Multiplier> {
    let TokenScale::Unmasked { factor, mask } = scale else { return scale.factor() };
    let masked = ids.iter().filter(|&&id| id == mask).count();
    let left = ids.len().saturating_sub(masked);
    if masked == 0 || left == 0 {
        return Some(factor);
    }
    // `n / left` with 15 fraction bits, shifted into 2^30 .. 2^31. The product of two such numbers
    // is in 2^60 .. 2^62.
    let ratio = ((ids.len() << 15) / left).min(i32::MAX as usize) as i32;
    let spare = ratio.leading_zeros() as i32 - 1;
    let product = mul_high(factor.mantissa, ratio << spare);
    let more = product.leading_zeros() as i32 - 1;
    // The ratio's unit is 2^-15 before its shift, and `mul_high` has shifted the product right by
    // 32.
    let exponent = i32::from(factor.exponent) + 15 + spare - 32 + more;
    Some(Multiplier { mantissa: product << more, exponent: exponent.clamp(-128, 127) as i8 })
}

/// Adds the convolution over a token's neighbourhood to its state, and normalizes the sum.
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
        // Zeros pad the text at both ends.
        for (index, row) in window.chunks_exact_mut(state.len().max(1)).enumerate() {
            match (at + index).checked_sub(seen / 2) {
                Some(at) if at < text.0.len() => embed(stack, kernels, text, at, 0, row, scratch),
                _ => row.fill(0),
            }
        }
        quantize_rows(kernels, width, window, window.len(), scratch.quantized, scratch.scales);
        let x = QuantizedRows::new(width, 1, window.len(), scratch.quantized, scratch.scales);
        linear(kernels, &x, &stack.matrix(StackPart::Convolution), scratch.normed, out);
        let table = stack.model.halfwords(Role::Stack(stack.id, StackPart::ConvolutionTable));
        activate(kernels, spec.activation, table, bits, out);
        (kernels.add)(state, out);
        norm(kernels, &stack.spec.block.norm, &stack.norm(StackPart::ConvolutionNorm), bits, state);
    }
    scratch.wide = wide;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_masked_is_made_up_for_by_the_rest() {
        let factor = Multiplier { mantissa: 1_889_785_610, exponent: 31 };
        let value = |scale: Multiplier| libm::ldexp(f64::from(scale.mantissa), -i32::from(scale.exponent));
        let mut ids = [5; 700];
        let scale = TokenScale::Unmasked { factor, mask: 7 };
        assert_eq!(scale_of(scale, &ids), Some(factor));
        for masked in [1, 2, 99, 350, 699] {
            ids[..masked].fill(7);
            let found = scale_of(scale, &ids).expect("a factor");
            assert!(found.mantissa >= 1 << 30, "{found:?}");
            let exact = 0.88 * 700.0 / (700.0 - masked as f64);
            assert!((value(found) / exact - 1.0).abs() < 1e-4, "{masked}: {} for {exact}", value(found));
        }
        // All tokens are masked: the factor is unchanged.
        ids.fill(7);
        assert_eq!(scale_of(scale, &ids), Some(factor));
        assert_eq!(scale_of(TokenScale::Fixed(factor), &ids), Some(factor));
    }
}
