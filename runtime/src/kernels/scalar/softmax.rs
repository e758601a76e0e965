//! The scores of a query, their softmax in base two, and the weighted sum of values.

use super::super::attend::ScoreFactor;
use super::products::dot;
use crate::fixed::{Scale, headroom, mul_high, shift_round, with_rounding};
use crate::format::places::TILE;

/// The largest magnitude of a score, so that the difference of two scores fits an `i32`.
pub(crate) const MAX_SCORE: i32 = (1 << 30) - 1;

/// Entries of [`EXP2`].
pub(crate) const EXP2_STEPS: usize = 512;

/// `2^(-i / 512)` for `i` in `0..512`, Q15. Truncating the exponent to a step makes a power too
/// large by up to 1/739. The common part of that error cancels in the division by the sum; the rest
/// is far below the 7-bit precision of values.
pub(crate) static EXP2: [u16; EXP2_STEPS] = {
    let mut table = [0; EXP2_STEPS];
    let mut i = 0;
    // Multiply by 2^(-1 / 512), Q62, from entry to entry.
    let mut power = 1_u64 << 62;
    while i < EXP2_STEPS {
        table[i] = ((power + (1 << 46)) >> 47) as u16;
        power = ((power as u128 * 0x3fe9_d594_8723_6bb4) >> 62) as u64;
        i += 1;
    }
    table
};

/// `2^-z` in Q15, for `z >= 0` in Q16; 0 from `z = 16` on.
#[inline(always)]
pub(crate) fn exp2_neg(z: i32) -> u32 {
    let whole = (z >> 16).min(31);
    u32::from(EXP2[(z >> 7) as usize % EXP2_STEPS]) >> (whole & 31)
}

/// The factor of a weighted sum of values that gives attention's result: `multiplier * 2^exponent`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Normalizer {
    /// At most `2^30`.
    pub(crate) multiplier: i32,
    pub(crate) exponent: i32,
}

impl Normalizer {
    /// The normalizer for `keys` keys whose exponentials add up to `sum`. `top_scale` has the bits
    /// of their values' largest scale.
    #[inline(always)]
    pub(crate) fn new(sum: u32, top_scale: u16, keys: usize) -> Self {
        let off = weight_bits_off(keys);
        let top_exponent = Scale::from_bits(top_scale).exponent();
        // Normalize the sum to 16 bits, so that one 32-bit division suffices.
        let sum = sum.max(1);
        let zeros = sum.leading_zeros();
        let inverse = ((1_u32 << 31) / (sum << zeros >> 16).max(1)) as i32;
        Self { multiplier: inverse << 14, exponent: top_exponent + 11 + off as i32 + zeros as i32 - 16 - 31 - 14 }
    }

    /// Converts weighted sums to fixed-point values. The sums have `spare` bits of headroom.
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

/// The headroom, in bits, of a weighted sum over `keys` keys.
pub(crate) fn spare_bits(keys: usize) -> u32 {
    headroom((127 * keys as u64) << (15 - weight_bits_off(keys)))
}

/// The right shift that, minus the exponent of a value's scale, turns the product of an exponential
/// and that scale into a weight. `top_scale` has the bits of the largest scale of `keys` values.
#[inline(always)]
pub(crate) fn lowered_by(top_scale: u16, keys: usize) -> u32 {
    // A scale has an 11-bit mantissa, and its exponent plus 17 in the high five bits.
    u32::from(top_scale >> 11) + 11 + weight_bits_off(keys)
}

/// The largest score.
#[inline(never)]
pub(crate) fn scores_max(scores: &[i32]) -> i32 {
    let (fours, rest) = scores.as_chunks();
    let largest = fours.iter().fold(i32::MIN, |largest, &[a, b, c, d]| largest.max(a).max(b).max(c).max(d));
    rest.iter().fold(largest, |largest, &score| largest.max(score))
}

/// The bits of the largest scale. Bits compare as scales do, because the exponent is in the high
/// bits.
#[inline(always)]
pub(crate) fn largest_scale(scales: &[u16]) -> u16 {
    let (fours, rest) = scales.as_chunks();
    let largest = fours.iter().fold(0_u32, |largest, fours: &[u16; 4]| {
        let [a, b, c, d] = *fours;
        largest.max(a.into()).max(b.into()).max(c.into()).max(d.into())
    });
    rest.iter().fold(largest, |largest, &scale| largest.max(scale.into())) as u16
}

/// The right shift of weights that keeps sums of their products with `keys` values in an `i32`: 0
/// up to 512 keys.
pub(crate) const fn weight_bits_off(keys: usize) -> u32 {
    usize::BITS - (keys.saturating_sub(1) >> 9).leading_zeros()
}

#[inline(always)]
pub(crate) fn scores<K: Copy + Into<i32>>(out: &mut [i32], query: &[i16], keys: &[K]) {
    for (out, key) in out.iter_mut().zip(keys.chunks_exact(query.len().max(1))) {
        *out = dot(query, key);
    }
}

pub(crate) fn scale_scores(scores: &mut [i32], keys: &[u16], factor: ScoreFactor) -> i32 {
    let mut largest = i32::MIN;
    for (score, &key) in scores.iter_mut().zip(keys) {
        let key = Scale::from_bits(key);
        let product = (*score >> (factor.narrow & 31)).wrapping_mul(key.mantissa());
        let shift = factor.shift - key.exponent();
        *score = match shift {
            0.. => product >> shift.min(31),
            _ => shift_round(product, shift).clamp(-MAX_SCORE, MAX_SCORE),
        };
        largest = largest.max(*score);
    }
    largest
}

pub(crate) fn powers(scores: &mut [i32], values: &[u16], largest: i32, lowered: u32) -> u32 {
    let mut sum = 0_u32;
    for (score, &value) in scores.iter_mut().zip(values) {
        let power = exp2_neg(largest.wrapping_sub(*score));
        sum = sum.wrapping_add(power);
        let shift = lowered.wrapping_sub(u32::from(value >> 11)).min(31);
        *score = ((power * u32::from(value & 0x7ff)) >> shift) as i32;
    }
    sum
}

/// `out += weights[n] * values[n]` over all `n`, four columns at a time, whose sums stay in
/// registers.
pub(crate) fn weighted_sum(out: &mut [i32], weights: &[i32], values: &[i8]) {
    let width = out.len().max(1);
    for (index, out) in out.chunks_mut(TILE).enumerate() {
        let values = values.get(TILE * index..).unwrap_or(&[]).chunks(width);
        if let Ok(out) = <&mut [i32; TILE]>::try_from(&mut *out) {
            let [mut a, mut b, mut c, mut d] = *out;
            for (&weight, value) in weights.iter().zip(values) {
                let Some(&[va, vb, vc, vd]) = value.first_chunk() else { break };
                a = a.wrapping_add(weight.wrapping_mul(va.into()));
                b = b.wrapping_add(weight.wrapping_mul(vb.into()));
                c = c.wrapping_add(weight.wrapping_mul(vc.into()));
                d = d.wrapping_add(weight.wrapping_mul(vd.into()));
            }
            *out = [a, b, c, d];
        } else {
            for (&weight, value) in weights.iter().zip(values) {
                add_weighted(out, weight, value);
            }
        }
    }
}

/// [`weighted_sum`] in less code, for head sizes that few models have.
#[cfg(kinglet_dsp)]
#[cold]
pub(crate) fn weighted_sum_of_any(out: &mut [i32], weights: &[i32], values: &[i8]) {
    for (&weight, value) in weights.iter().zip(values.chunks(out.len().max(1))) {
        add_weighted(out, weight, value);
    }
}

fn add_weighted(out: &mut [i32], weight: i32, value: &[i8]) {
    for (out, &value) in out.iter_mut().zip(value) {
        *out = out.wrapping_add(weight.wrapping_mul(value.into()));
    }
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
