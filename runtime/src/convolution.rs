//! Computes short convolutions over the products of keys and values, in integers.
//!
//! The products of recent tokens are 16-bit rows in the layer's cache.

use crate::cache::{KeyValueCache, Keys};
use crate::fixed::{Scale, with_rounding};
use crate::kernels::Kernels;
use crate::kernels::table::Requantize;
use crate::model::Matrix;

/// Bits of a stored product besides the sign.
const BITS: u32 = 15;

/// Quantizes one token's product of key and value into the cache.
pub(crate) fn store(kernels: &Kernels, cache: &mut KeyValueCache<'_>, position: usize, product: &[i32]) {
    let slot = cache.slot(position);
    let Keys::K16(rows) = &mut cache.keys else { return };
    let row = rows.get_mut(slot * product.len()..(slot + 1) * product.len());
    if let (Some(row), Some(scale)) = (row, cache.key_scales.get_mut(slot)) {
        *scale = (kernels.quantize16)(row, product, BITS).to_bits();
    }
}

/// Convolves the products up to that of the token at `position`. `kernel` has a row for each channel,
/// and its last column multiplies that token; products before the text are zero.
///
/// A sum has the largest scale among its rows, and the products of the other rows are rounded to it.
pub(crate) fn convolve(
    kernels: &Kernels,
    kernel: &Matrix<'_>,
    cache: &KeyValueCache<'_>,
    position: usize,
    out: &mut [i32],
) {
    let taps = kernel.cols.max(1);
    let product = |tap: usize| cache.product((position + 1 + tap).checked_sub(taps)?, kernel.rows);
    let powers = (0..taps).filter_map(product).map(|(_, scale)| scale.power());
    let most = powers.fold(0, i32::max);
    out.fill(0);
    for tap in 0..taps {
        let Some((row, scale)) = product(tap) else { continue };
        let weights = kernel.weights.bytes.iter().skip(tap).step_by(taps);
        let terms = out.iter_mut().zip(row.iter().zip(weights).map(|(&x, &w)| i32::from(x) * i32::from(w)));
        match most - scale.power() {
            0 => terms.for_each(|(sum, term)| *sum += term),
            shift => with_rounding!(shift, |round| terms.for_each(|(sum, term)| *sum += round(term))),
        }
    }
    // At most 15 taps: a sum has 26 bits.
    let requantize = Requantize::new(Scale::power_of_two(most as u32), kernel.exponent, (taps as u64) << (7 + BITS));
    (kernels.requantize)(out, kernel.multipliers.as_slice(), kernel.bias.as_slice(), &requantize);
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::format::spec::WeightLayout;
    use crate::kernels::Weights;
    use crate::model::Words;

    const WIDTH: usize = 9;
    const EXPONENT: i32 = 37;

    /// A pseudorandom number from -1 to 1.
    fn noise(at: usize) -> f64 {
        libm::sin(at as f64 * 12.9898 + 4.1) * 0.97
    }

    #[test]
    fn a_convolution_is_the_sum_of_its_taps() {
        for taps in [1, 3, 4, 15] {
            let weights: Vec<i8> = (0..WIDTH * taps).map(|at| (127.0 * noise(at + taps)) as i8).collect();
            let multipliers: Vec<i32> =
                (0..WIDTH).map(|at| ((1.5 + 0.5 * noise(at)) * f64::from(1 << 30)) as i32).collect();
            let biases: Vec<i32> = (0..WIDTH).map(|at| (5000.0 * noise(at + 3)) as i32).collect();
            let weights = Weights { bytes: &weights, scales: &[], layout: WeightLayout::RowMajor };
            let (words, bias) = (Words::new(&multipliers), Words::new(&biases));
            let kernel = Matrix { rows: WIDTH, cols: taps, weights, exponent: EXPONENT, multipliers: words, bias };
            // Rows of very different magnitudes, in a ring that holds one more than the kernel.
            let slots = taps + 1;
            let (mut keys, mut scales) = (vec![0; WIDTH * slots], vec![0; slots]);
            let mut cache = KeyValueCache {
                keys: Keys::K16(&mut keys),
                values: &mut [],
                key_scales: &mut scales,
                value_scales: &mut [],
                slots,
                first: 0,
                prefix: None,
            };
            let rows: Vec<[i32; WIDTH]> = (0..40)
                .map(|token| {
                    let size = libm::ldexp(1.0, [30, 8, 16, 21, 3][token % 5]);
                    core::array::from_fn(|channel| (size * noise(token * WIDTH + channel)) as i32)
                })
                .collect();
            for (position, row) in rows.iter().enumerate() {
                store(Kernels::best(), &mut cache, position, row);
                let mut out = [7; WIDTH];
                convolve(Kernels::best(), &kernel, &cache, position, &mut out);
                let seen = &rows[(position + 1).saturating_sub(taps)..=position];
                let largest = seen.iter().flatten().map(|x| f64::from(x.unsigned_abs())).fold(0.0, f64::max);
                for channel in 0..WIDTH {
                    let scale = libm::ldexp(f64::from(multipliers[channel]), -EXPONENT);
                    let weight = |back: usize| f64::from(weights.bytes[channel * taps + taps - 1 - back]) * scale;
                    let terms = seen.iter().rev().enumerate().map(|(back, row)| weight(back) * f64::from(row[channel]));
                    let exact = f64::from(biases[channel]) + terms.sum::<f64>();
                    // Half a step of each row, half a unit of each product, and the result's
                    // rounding.
                    let absolute: f64 = (0..taps).map(|back| weight(back).abs()).sum();
                    let bound =
                        absolute * largest / 32768.0 + taps as f64 * 127.0 * scale * largest / f64::from(1 << 22) + 1.5;
                    let off = (f64::from(out[channel]) - exact).abs();
                    assert!(off <= bound, "{taps} taps at {position}: {} for {exact}, bound {bound}", out[channel]);
                }
            }
        }
    }
}
