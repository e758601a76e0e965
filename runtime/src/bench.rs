//! Exposes single operations of a session to benchmarks.

mod compare;

pub use compare::compare;

use crate::format::spec::{ActivationWidth, WeightLayout};
use crate::kernels::attend::ScoreFactor;
use crate::kernels::scalar::softmax::{scores_max, spare_bits};
use crate::kernels::{Kernels, Weights};
use crate::model::{Matrix, Words};
use crate::ops::linear::{QuantizedRows, linear, quantize_rows};
use crate::ops::softmax::softmax;

/// A linear layer on quantized rows of activations, with fixed-point results.
pub struct Linear<'a> {
    matrix: Matrix<'a>,
    width: ActivationWidth,
}

impl<'a> Linear<'a> {
    /// A layer with weights in `layout`, a multiplier for each row, and, if they are packed, a
    /// scale for each group.
    pub fn new(
        weights: &'a [i8],
        scales: &'a [u8],
        multipliers: &'a [i32],
        cols: usize,
        layout: WeightLayout,
        width: ActivationWidth,
    ) -> Self {
        let matrix = Matrix {
            rows: multipliers.len(),
            cols,
            weights: Weights { bytes: weights, scales, layout },
            exponent: 40,
            multipliers: Words::new(multipliers),
            bias: Words::default(),
        };
        Self { matrix, width }
    }

    /// Quantizes rows of fixed-point values.
    pub fn quantize(&self, x: &[i32], quantized: &mut [u8], scales: &mut [u16]) {
        quantize_rows(Kernels::best(), self.width, x, self.matrix.cols, quantized, scales);
    }

    /// Multiplies the quantized rows, and scales the results back to fixed point. Overwrites `room`,
    /// of at least as many words as columns.
    pub fn run(&self, tokens: usize, quantized: &[u8], scales: &[u16], room: &mut [i32], out: &mut [i32]) {
        let x = QuantizedRows::new(self.width, tokens, self.matrix.cols, quantized, scales);
        linear(Kernels::best(), &x, &self.matrix, room, out);
    }
}

/// Replaces scores by softmax weights.
pub fn softmax_of(scores: &mut [i32], scales: &[u16]) {
    let kernels = Kernels::best();
    softmax(kernels, scores, scores_max(scores), [scales, &[]], (kernels.largest_scale)(scales));
}

/// Attention of one query to 8-bit keys, each with a value of equal width: `scales` holds the
/// bits of the scales of both. The result, in `out`, has the fraction bits of the values.
pub fn attend(out: &mut [i32], query: &[i16], keys: &[i8], values: &[i8], scales: &[u16], scores: &mut [i32]) {
    let kernels = Kernels::best();
    (kernels.scores8)(scores, query, keys);
    let largest = (kernels.scale_scores)(scores, scales, ScoreFactor { narrow: 8, shift: 2 });
    let normalizer = softmax(kernels, scores, largest, [scales, &[]], (kernels.largest_scale)(scales));
    out.fill(0);
    (kernels.weighted_sum)(out, scores, values);
    normalizer.apply(out, spare_bits(scores.len()));
}

/// The first `len` values, or all if there are fewer.
fn part<T>(values: &[T], len: usize) -> &[T] {
    values.get(..len).unwrap_or(values)
}
