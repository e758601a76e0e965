//! The softmax of one head's scores over its keys, in base two, with the scales of the values folded in.

use crate::kernels::Kernels;
use crate::quant::Scale;

/// `2^(-i / 64)` for `i` in `0..=64`, Q15. Linear interpolation between two of them is right to `2^-15`.
const EXP2: [u16; 65] = [
    32768, 32415, 32066, 31720, 31379, 31041, 30706, 30376, 30048, 29725, 29405, 29088, 28774, 28464, 28158, 27855,
    27554, 27258, 26964, 26674, 26386, 26102, 25821, 25543, 25268, 24995, 24726, 24460, 24196, 23936, 23678, 23423,
    23170, 22921, 22674, 22430, 22188, 21949, 21713, 21479, 21247, 21019, 20792, 20568, 20347, 20127, 19911, 19696,
    19484, 19274, 19066, 18861, 18658, 18457, 18258, 18061, 17867, 17674, 17484, 17296, 17109, 16925, 16743, 16562,
    16384,
];

/// Each value of [`EXP2`] with what it falls by to the next, in the upper half: one word to load.
pub(crate) static STEPS: [u32; 64] = {
    let mut steps = [0; 64];
    let mut i = 0;
    while i < 64 {
        steps[i] = EXP2[i] as u32 | ((EXP2[i] - EXP2[i + 1]) as u32) << 16;
        i += 1;
    }
    steps
};

/// `2^-z` for `z >= 0` in Q16, as Q15; 0 from `z = 16` on.
#[inline(always)]
pub(crate) fn exp2_neg(z: i32) -> u32 {
    let whole = z >> 16;
    if whole > 15 {
        return 0;
    }
    let rest = (z & 1023) as u32;
    let step = STEPS[(z >> 10 & 63) as usize];
    ((step & 0xffff) - (((step >> 16) * rest) >> 10)) >> (whole & 31)
}

/// What the weighted sum of values is to be multiplied by: `multiplier * 2^exponent`.
pub(crate) struct Normalizer {
    /// Below `2^30`.
    pub(crate) multiplier: i32,
    pub(crate) exponent: i32,
}

/// Turns scores (base two, Q16) into weights of eight bits.
///
/// Each weight stands for the key's probability times the scale of its value, relative to the largest; the
/// sum of `weight * value` over the keys, times the normalizer, is attention's result. `scales` holds the bits of the
/// values' scales in the order of the scores, in two runs, and `scores` is used up.
pub(crate) fn softmax(kernels: &Kernels, scores: &mut [i32], scales: [&[u16]; 2], weights: &mut [u8]) -> Normalizer {
    let largest = scores.iter().fold(i32::MIN, |largest, &score| largest.max(score));
    // The exponent is in the upper bits.
    let top_scale = scales.into_iter().flatten().fold(0, |top, &scale| top.max(scale));
    let (first, second) = scores.split_at_mut_checked(scales[0].len()).unwrap_or((&mut [], &mut []));
    let (sum, top) = (kernels.powers)(first, scales[0], largest, top_scale);
    let (more, other_top) = (kernels.powers)(second, scales[1], largest, top_scale);
    let (sum, top) = (sum.wrapping_add(more), top.max(other_top).max(1));
    // Both normalized to sixteen bits, so that one 32-bit division serves all weights and another the sum.
    let top_zeros = top.leading_zeros();
    let top = (top << top_zeros >> 16).max(1);
    // At most 255 comes of it, as no score is above the top.
    (kernels.weights)(weights, scores, top_zeros, (255 << 22) / top);
    let sum = sum.max(1);
    let sum_zeros = sum.leading_zeros();
    let quotient = (top << 16) / (sum << sum_zeros >> 16).max(1);
    // The quotient over 255, whose reciprocal is 0x40404040 * 2^-38.
    let multiplier = crate::quant::mul_high((quotient << 13) as i32, 0x4040_4040);
    let top_exponent = Scale::from_bits(top_scale).exponent();
    Normalizer { multiplier, exponent: top_exponent + sum_zeros as i32 - top_zeros as i32 - 35 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp2_is_right_to_two_units_of_q15() {
        for z in 0..(17 << 16) {
            let exact = libm::exp2(-f64::from(z) / 65536.0) * 32768.0;
            assert!((f64::from(exp2_neg(z)) - exact).abs() <= 2.0, "2^-({z} / 65536)");
        }
    }

    #[test]
    fn the_table_is_what_its_formula_says() {
        for (i, &value) in EXP2.iter().enumerate() {
            assert_eq!(f64::from(value), libm::round(libm::exp2(-(i as f64) / 64.0) * 32768.0), "entry {i}");
        }
    }
}
