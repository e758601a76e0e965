//! The softmax of one head's scores over its keys, in base two, with the scales of the values folded in.

use crate::fixed::{Scale, headroom, mul_high, with_rounding};
use crate::kernels::Kernels;

/// No score is farther from zero, so that no two are farther apart than an `i32` holds.
pub(crate) const MAX_SCORE: i32 = (1 << 30) - 1;

/// Powers to a unit of [`EXP2`].
const EXP2_STEPS: usize = 512;

/// `2^(-i / 512)` for `i` in `0..512`, Q15. A power is up to a part in 739 too large; what is common to them all goes when they are
/// divided by their sum, and what is left is far below the seven bits of a value.
pub(crate) static EXP2: [u16; EXP2_STEPS] = {
    let mut table = [0; EXP2_STEPS];
    let mut i = 0;
    // Times 2^(-1 / 512) from one to the next, with 62 bits.
    let mut power = 1_u64 << 62;
    while i < EXP2_STEPS {
        table[i] = ((power + (1 << 46)) >> 47) as u16;
        power = ((power as u128 * 0x3fe9_d594_8723_6bb4) >> 62) as u64;
        i += 1;
    }
    table
};

/// `2^-z` for `z >= 0` in Q16, as Q15; 0 from `z = 16` on.
#[inline(always)]
pub(crate) fn exp2_neg(z: i32) -> u32 {
    let whole = (z >> 16).min(31);
    u32::from(EXP2[(z >> 7) as usize % EXP2_STEPS]) >> (whole & 31)
}

/// What the weighted sum of values is to be multiplied by: `multiplier * 2^exponent`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Normalizer {
    /// At most `2^30`.
    pub(crate) multiplier: i32,
    pub(crate) exponent: i32,
}

impl Normalizer {
    /// From the sum of the powers of so many keys, and the bits of the largest of their values' scales.
    #[inline(always)]
    pub(crate) fn new(sum: u32, top_scale: u16, keys: usize) -> Self {
        let off = weight_bits_off(keys);
        let top_exponent = Scale::from_bits(top_scale).exponent();
        // Normalized to sixteen bits, so that it takes one 32-bit division.
        let sum = sum.max(1);
        let zeros = sum.leading_zeros();
        let inverse = ((1_u32 << 31) / (sum << zeros >> 16).max(1)) as i32;
        Self { multiplier: inverse << 14, exponent: top_exponent + 11 + off as i32 + zeros as i32 - 16 - 31 - 14 }
    }

    /// Makes a row of weighted sums what they are in fixed point. So many bits are free in each.
    #[inline(always)]
    pub(crate) fn apply(self, row: &mut [i32], spare: u32) {
        with_rounding!(spare as i32 - 32 - self.exponent, |round| {
            let scaled = |sum: i32| round(mul_high(sum << (spare & 31), self.multiplier));
            let (fours, rest) = row.as_chunks_mut();
            for four in fours {
                let [a, b, c, d] = *four;
                *four = [scaled(a), scaled(b), scaled(c), scaled(d)];
            }
            rest.iter_mut().for_each(|sum| *sum = scaled(*sum));
        });
    }
}

/// Bits that are free in weighted sums of so many keys.
pub(crate) fn spare_bits(keys: usize) -> u32 {
    headroom((127 * keys as u64) << (15 - weight_bits_off(keys)))
}

/// By how many bits the product of a power and a value's scale is lowered to become a weight, besides the exponent of the scale: from the
/// bits of the largest scale of so many values.
#[inline(always)]
pub(crate) fn lowered_by(top_scale: u16, keys: usize) -> u32 {
    // Eleven bits are a scale's mantissa, and its exponent is in the upper five, raised by 17.
    u32::from(top_scale >> 11) + 11 + weight_bits_off(keys)
}

/// The largest of some values, or `least`. Four at a time are fewer instructions, also where the compiler minds the size.
#[inline(always)]
fn largest<T: Copy + Ord>(values: &[T], least: T) -> T {
    let (fours, rest) = values.as_chunks();
    let largest = fours.iter().fold(least, |largest, &[a, b, c, d]| largest.max(a).max(b).max(c).max(d));
    rest.iter().fold(largest, |largest, &value| largest.max(value))
}

/// The largest of some scores.
#[inline(never)]
pub(crate) fn scores_max(scores: &[i32]) -> i32 {
    largest(scores, i32::MIN)
}

/// The bits of the largest scale of two runs: their upper bits are the exponent.
pub(crate) fn largest_scale(scales: [&[u16]; 2]) -> u16 {
    scales.into_iter().fold(0, |top, scales| largest(scales, top))
}

/// By how many bits the weights of so many keys are lowered, so that the sum of their products with values stays in an `i32`: by none
/// up to 512.
pub(crate) const fn weight_bits_off(keys: usize) -> u32 {
    usize::BITS - (keys.saturating_sub(1) >> 9).leading_zeros()
}

/// Turns scores (base two, Q16) into weights of fifteen bits, in their place.
///
/// Each weight stands for the key's probability times the scale of its value; the sum of `weight * value` over the keys, times the
/// normalizer, is attention's result. `scales` holds the bits of the values' scales in the order of the scores, in two runs.
pub(crate) fn softmax(
    kernels: &Kernels,
    scores: &mut [i32],
    largest: i32,
    scales: [&[u16]; 2],
    top_scale: u16,
) -> Normalizer {
    let keys = scores.len();
    let lowered = lowered_by(top_scale, keys);
    let (first, second) = scores.split_at_mut_checked(scales[0].len()).unwrap_or((&mut [], &mut []));
    let mut sum = (kernels.powers)(first, scales[0], largest, lowered);
    if !second.is_empty() {
        sum += (kernels.powers)(second, scales[1], largest, lowered);
    }
    Normalizer::new(sum, top_scale, keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp2_is_a_part_in_739_too_large_at_most() {
        for z in 0..(17 << 16) {
            let exact = libm::exp2(-f64::from(z) / 65536.0) * 32768.0;
            let over = f64::from(exp2_neg(z)) - exact;
            assert!((-1.0..exact / 738.0 + 1.0).contains(&over), "2^-({z} / 65536)");
        }
        assert_eq!((exp2_neg(i32::MAX), exp2_neg(16 << 16)), (0, 0));
    }

    #[test]
    fn the_table_is_what_its_formula_says() {
        for (i, &value) in EXP2.iter().enumerate() {
            assert_eq!(f64::from(value), libm::round(libm::exp2(-(i as f64) / 512.0) * 32768.0), "entry {i}");
        }
    }

    #[test]
    fn weights_times_values_stay_in_32_bits() {
        for keys in [1, 2, 511, 512, 513, 1024, 1025, 32768] {
            let most = (1_u64 << 15 >> weight_bits_off(keys)) * keys as u64 * 127;
            assert!(most < 1 << 31, "{keys} keys");
        }
        assert_eq!((weight_bits_off(0), weight_bits_off(512), weight_bits_off(513)), (0, 0, 1));
    }
}
