//! Exposes single operations of a session to benchmarks.

mod compare;

pub use compare::compare;

use crate::format::spec::{ActivationWidth, WeightLayout};
use crate::kernels::scalar::softmax::{largest_scale, scores_max};
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

    /// Multiplies the quantized rows, and scales the results back to fixed point.
    pub fn run(&self, tokens: usize, quantized: &[u8], scales: &[u16], out: &mut [i32]) {
        let x = QuantizedRows::new(self.width, tokens, self.matrix.cols, quantized, scales);
        linear(Kernels::best(), &x, &self.matrix, out);
    }
}

/// Replaces scores by softmax weights.
pub fn softmax_of(scores: &mut [i32], scales: &[u16]) {
    softmax(Kernels::best(), scores, scores_max(scores), [scales, &[]], largest_scale([scales, &[]]));
}

/// The first `len` values, or all if there are fewer.
fn part<T>(values: &[T], len: usize) -> &[T] {
    values.get(..len).unwrap_or(values)
}
