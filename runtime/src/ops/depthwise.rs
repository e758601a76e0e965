//! Computes depthwise convolutions over rows of fixed-point values.

use crate::fixed::{Scale, magnitude_bits};
use crate::kernels::Kernels;
use crate::kernels::table::Requantize;
use crate::model::Matrix;

/// Bits of a value besides the sign, so that a sum of `MAX_KERNEL_SIZE` products with int8 weights
/// fits an `i32`.
const BITS: u32 = 20;

/// Convolves each channel of the row `at` of `rows` and of its neighbours with the channel's kernel,
/// a row of `kernel`, which is centred. Zeros pad the rows at both ends.
///
/// The result depends only on the rows that the kernel reaches. These are shifted together to 20
/// bits and a sign.
pub(crate) fn depthwise(kernels: &Kernels, kernel: &Matrix<'_>, rows: &[i32], at: usize, out: &mut [i32]) {
    let (width, taps) = (kernel.rows.max(1), kernel.cols.max(1));
    let (first, skipped) = (at.saturating_sub(taps / 2), (taps / 2).saturating_sub(at));
    let end = ((at + taps / 2 + 1) * width).min(rows.len());
    let window = rows.get(first * width..end).unwrap_or(&[]);
    let shift = magnitude_bits(window).saturating_sub(BITS);
    for ((channel, out), weights) in out.iter_mut().enumerate().zip(kernel.weights.bytes.chunks_exact(taps)) {
        let weights = weights.get(skipped..).unwrap_or(&[]);
        let values = window.get(channel..).unwrap_or(&[]).iter().step_by(width);
        *out = values
            .zip(weights)
            .fold(0, |sum, (&x, &weight)| i32::wrapping_add(sum, (x >> (shift & 31)).wrapping_mul(weight.into())));
    }
    let requantize = Requantize::new(Scale::power_of_two(shift), kernel.exponent, (taps as u64) << (BITS + 7));
    (kernels.requantize)(out, kernel.multipliers.as_slice(), kernel.bias.as_slice(), &requantize);
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::format::spec::WeightLayout;
    use crate::kernels::Weights;
    use crate::model::Words;

    #[test]
    fn a_sum_is_right_to_eighteen_bits_of_the_largest_values_and_zeros_pad_the_text() {
        const WIDTH: usize = 5;
        for taps in [1_usize, 3, 9, 15] {
            let half = taps as isize / 2;
            let weights: Vec<i8> = (0..WIDTH * taps).map(|n| (n * 7919 % 255) as i8).map(|q| q.max(-127)).collect();
            let multipliers = [1 << 30, i32::MAX, 1_234_567_890, 2_000_000_000, 1_100_000_000];
            let kernel = Matrix {
                rows: WIDTH,
                cols: taps,
                weights: Weights { bytes: &weights, scales: &[], layout: WeightLayout::RowMajor },
                exponent: 37,
                multipliers: Words::new(&multipliers),
                bias: Words::default(),
            };
            for largest in [900_i64, 1 << 20, i64::from(i32::MAX) >> 6] {
                let number = |n: i64| ((n * n * 7_919 + n * 104_729) % (2 * largest + 1) - largest) as i32;
                let rows: Vec<i32> = (0..12 * WIDTH as i64).map(number).collect();
                for at in 0..12 {
                    let mut out = [0; WIDTH];
                    depthwise(crate::kernels::Kernels::best(), &kernel, &rows, at, &mut out);
                    for (channel, &found) in out.iter().enumerate() {
                        let weight = |tap: usize| {
                            let unit = libm::ldexp(f64::from(multipliers[channel]), -37);
                            f64::from(weights[channel * taps + tap]) * unit
                        };
                        let value = |tap: usize| {
                            let row = at.checked_add_signed(tap as isize - half).filter(|row| *row < 12);
                            row.map_or(0.0, |row| f64::from(rows[row * WIDTH + channel]))
                        };
                        let exact: f64 = (0..taps).map(|tap| weight(tap) * value(tap)).sum();
                        let size: f64 = (0..taps).map(|tap| weight(tap).abs()).sum();
                        let bound = 1.0 + size * largest as f64 / f64::from(1 << 18);
                        assert!((f64::from(found) - exact).abs() <= bound, "{found} for {exact}: {taps} taps at {at}");
                    }
                }
            }
        }
    }
}
