//! The arithmetic that every result is made of: shifts that round, products that keep the high half, and
//! rows of fixed-point values turned into small integers with a scale.
//!
//! This module is `docs/numerics.md` as code. Everything is 32 bits wide but one product, so that a core without
//! a long multiply and a vector unit both run it well.

mod mul_high;
mod scale;

pub(crate) use mul_high::mul_high;
pub(crate) use scale::Scale;

/// `x / 2^shift`, rounded half up; a negative shift multiplies and saturates.
#[inline(always)]
pub(crate) fn shift_round(x: i32, shift: i32) -> i32 {
    let all_but_one = shift.wrapping_sub(1) as u32;
    if (1..=30).contains(&all_but_one) { ((x >> all_but_one) + 1) >> 1 } else { shift_far(x, shift) }
}

/// The shifts that are rare: by nothing, by one, by all, and to the left, where the result is saturated.
#[cold]
#[inline(never)]
fn shift_far(x: i32, shift: i32) -> i32 {
    match shift {
        0 => x,
        1 => (x >> 1) + (x & 1),
        2.. => 0,
        _ => shift_left(x, shift.unsigned_abs()),
    }
}

/// A loop over a row with [`shift_round`] by one shift: what kind of shift it is is found out before the loop, not in it.
///
/// `with_rounding!(shift, |round| for x in row { *x = round(*x) })`
macro_rules! with_rounding {
    ($shift:expr, |$round:ident| $body:expr) => {{
        let shift: i32 = $shift;
        if (2..=31).contains(&shift) {
            let all_but_one = shift as u32 - 1;
            let $round = |x: i32| ((x >> all_but_one) + 1) >> 1;
            $body
        } else {
            let $round = |x: i32| $crate::fixed::shift_round(x, shift);
            $body
        }
    }};
}
pub(crate) use with_rounding;

/// `x * 2^shift`, saturated: only rows of very large values need it.
fn shift_left(x: i32, shift: u32) -> i32 {
    saturate(i64::from(x) << shift.min(31))
}

/// The nearest value that 32 bits hold.
#[inline(always)]
fn saturate(wide: i64) -> i32 {
    let narrow = wide as i32;
    if i64::from(narrow) == wide { narrow } else { i32::MAX ^ (wide >> 63) as i32 }
}

/// `a * b` of two fixed-point values, rounded half up and saturated.
#[inline(always)]
pub(crate) fn multiply(a: i32, b: i32, fraction_bits: u32) -> i32 {
    let product = i64::from(a) * i64::from(b);
    let rounded = (product + (1 << fraction_bits >> 1)) >> fraction_bits;
    saturate(rounded)
}

/// `sum / count`, rounded, without a 64-bit division. Exact while `|sum| < 2^31`, and to 21 bits beyond.
pub(crate) fn mean(sum: i64, count: u32) -> i32 {
    let magnitude = sum.unsigned_abs();
    let shift = (64 - magnitude.leading_zeros()).saturating_sub(31);
    let count = count.max(1);
    let quotient = (((magnitude >> shift) as u32 + count / 2) / count) as u64;
    let mean = (quotient << shift).min(i32::MAX as u64) as i32;
    if sum < 0 { -mean } else { mean }
}

/// The largest magnitude in a row, as a positive `i32`.
#[inline(always)]
pub(crate) fn abs_max(row: &[i32]) -> u32 {
    row.iter().fold(0, |max: u32, x| max.max(x.unsigned_abs())).min(i32::MAX as u32)
}

/// How many bits the values of a row have besides their sign. Cheaper than the largest magnitude: no comparison.
#[inline(always)]
pub(crate) fn magnitude_bits(row: &[i32]) -> u32 {
    32 - row.iter().fold(0, |bits, &x| bits | (x ^ (x >> 31))).leading_zeros()
}

/// Leading zeros by which a value bounded by `bound` can be shifted left and stay in an `i32`.
pub(crate) const fn headroom(bound: u64) -> u32 {
    (bound as u32 | (((bound >> 31) != 0) as u32) << 31).leading_zeros().saturating_sub(1)
}

/// Quantizes a row to `-127..=127`, scaled to its largest value.
///
/// The scale is rounded up to its eleven bits first, so that the row is quantized with exactly the scale it
/// is later multiplied by.
#[inline(always)]
pub(crate) fn quantize8(out: &mut [i8], row: &[i32]) -> Scale {
    let (scale, lift, inverse, shift) = scale8(abs_max(row));
    for (q, &x) in out.iter_mut().zip(row) {
        // Sixteen bits and a sign; the product stays below 2^31, and the result at 127, because |x| <= 127 * scale.
        let x = (x << lift) >> 15;
        *q = ((x * inverse + (1 << (shift - 1))) >> shift) as i8;
    }
    scale
}

/// The scale of a row with such a largest magnitude, and how a value becomes one of eight bits: by how much it is lifted first, what it is
/// multiplied by after it has lost fifteen bits, and how many more it loses.
#[inline]
pub(crate) fn scale8(largest: u32) -> (Scale, u32, i32, u32) {
    let largest = largest.max(1);
    let zeros = largest.leading_zeros();
    let normalized = largest << zeros;
    // The scale is the largest value over 127: 1033..=2065 times 2^(14 - zeros).
    let mantissa = normalized.div_ceil(127 << 14);
    let carry = u32::from(mantissa > 2047);
    let mantissa = ((mantissa + carry) >> carry).max(1);
    let scale = Scale::from_bits(((14 + carry + Scale::BIAS as u32 - zeros) << 11 | mantissa) as u16);
    (scale, zeros - 1, ((1 << 25) / mantissa) as i32, 23 + carry)
}

/// Bits of a sixteen-bit row of `cols` values, such that no sum of products with int8 weights of magnitudes up to 127 overflows.
pub(crate) const fn row_bits(cols: usize) -> u32 {
    bits_beside(7, cols)
}

/// Bits, at most fifteen, that one factor may have if the other has `bits`, such that `terms` products add up to at most `2^31`.
pub(crate) const fn bits_beside(bits: u32, terms: usize) -> u32 {
    let left = 31_u32.saturating_sub(bits + terms.next_power_of_two().trailing_zeros());
    if left > 15 { 15 } else { left }
}

/// Quantizes a row to `bits` bits (at most fifteen) and a sign, with the smallest power-of-two scale for which its values have no more.
///
/// At this width the up to one bit that the power of two gives away is far below what int8 weights cost, and
/// the row needs no multiplication, here or when it is scaled back. What is rounded up to `2^bits` stays that, but for fifteen bits, where it
/// is one less.
#[inline(always)]
pub(crate) fn quantize16(out: &mut [i16], row: &[i32], bits: u32) -> Scale {
    let shift = magnitude_bits(row).saturating_sub(bits);
    if shift == 0 {
        for (q, &x) in out.iter_mut().zip(row) {
            *q = x as i16;
        }
    } else {
        for (q, &x) in out.iter_mut().zip(row) {
            *q = (((x >> ((shift - 1) & 31)) + 1) >> 1).min(i16::MAX.into()) as i16;
        }
    }
    Scale::power_of_two(shift)
}

/// How accumulators become fixed-point values again: `x * multiplier * 2^-shift`, where the accumulator is
/// first shifted left by the `headroom` it is known to have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requantize {
    /// Folded into each multiplier: the row's mantissa in `2^30..2^31`, or `None` when it is a power of two.
    pub(crate) row: Option<i32>,
    pub(crate) headroom: u32,
    pub(crate) shift: i32,
}

impl Requantize {
    /// For a matrix whose weights are `q * multiplier * 2^-exponent`, over a row of scale `scale`, with
    /// accumulators of at most `bound`.
    pub(crate) fn new(scale: Scale, exponent: i32, bound: u64) -> Self {
        let headroom = headroom(bound);
        let shift = exponent + headroom as i32 - 32 - scale.exponent();
        if scale.mantissa() == 1 << 10 {
            Self { row: None, headroom, shift: shift - 10 }
        } else {
            Self { row: Some(scale.mantissa() << 20), headroom, shift: shift - 12 }
        }
    }

    /// A row of accumulators, in place, with what is added to each in the end. Multipliers and biases lie as they do in a blob; without
    /// biases there are none of them.
    #[inline(always)]
    pub(crate) fn apply(&self, accumulators: &mut [i32], multipliers: &[i32], biases: &[i32]) {
        let headroom = self.headroom;
        with_rounding!(self.shift, |round| match self.row {
            Some(row) => {
                for (out, &multiplier) in accumulators.iter_mut().zip(multipliers) {
                    *out = round(mul_high(*out << headroom, mul_high(i32::from_le(multiplier), row)));
                }
            }
            None => {
                for (out, &multiplier) in accumulators.iter_mut().zip(multipliers) {
                    *out = round(mul_high(*out << headroom, i32::from_le(multiplier)));
                }
            }
        });
        for (out, &bias) in accumulators.iter_mut().zip(biases) {
            *out = out.saturating_add(i32::from_le(bias));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that exercise every width, the same in every run.
    fn numbers(seed: u64) -> impl Iterator<Item = i32> {
        let mut state = seed;
        core::iter::repeat_with(move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let bits = (state >> 58) as u32 / 2;
            ((state >> 16) as i32) >> bits
        })
    }

    fn value(q: i32, scale: Scale) -> f64 {
        f64::from(q) * f64::from(scale.mantissa()) * 2f64.powi(scale.exponent())
    }

    #[test]
    fn shift_round_rounds_half_up_and_saturates() {
        let cases = [
            (5, 1, 3),
            (-5, 1, -2),
            (i32::MAX, 1, 1 << 30),
            (i32::MIN, 31, -1),
            (7, 40, 0),
            (3, -2, 12),
            (1 << 30, -1, i32::MAX),
            (i32::MIN, -3, i32::MIN),
        ];
        for (x, shift, expected) in cases {
            assert_eq!(shift_round(x, shift), expected, "{x} >> {shift}");
            assert_eq!(with_rounding!(shift, |round| round(x)), expected, "{x} >> {shift} in a loop");
        }
    }

    #[test]
    fn quantize8_is_within_half_a_step_of_every_value() {
        let mut source = numbers(1);
        for _ in 0..2000 {
            let mut row = [0; 24];
            let cut = source.next().unwrap_or(0) & 31;
            row.iter_mut().zip(&mut source).for_each(|(x, n)| *x = n >> cut);
            let mut q = [0i8; 24];
            let scale = quantize8(&mut q, &row);
            assert!((1024..2048).contains(&scale.mantissa()), "{scale:?}");
            let step = value(1, scale);
            for (&q, &x) in q.iter().zip(&row) {
                assert!((value(q.into(), scale) - f64::from(x)).abs() <= 0.51 * step, "{x} became {q} of {step}");
            }
            let largest = q.iter().map(|q| q.unsigned_abs()).max();
            assert!(abs_max(&row) == 0 || largest >= Some(126), "{row:?} uses only {largest:?}");
        }
    }

    #[test]
    fn quantize16_never_exceeds_its_bound_and_halves_at_most_once_too_often() {
        let mut source = numbers(2);
        for bits in [8, 9, 13, 15] {
            for _ in 0..500 {
                let mut row = [0; 9];
                row.iter_mut().zip(&mut source).for_each(|(x, n)| *x = n);
                let mut q = [0i16; 9];
                let scale = quantize16(&mut q, &row, bits);
                let step = value(1, scale);
                for (&q, &x) in q.iter().zip(&row) {
                    assert!(u32::from(q.unsigned_abs()) <= 1 << bits);
                    // What would be 2^15 is one less.
                    assert!(
                        (value(q.into(), scale) - f64::from(x)).abs() <= if q == i16::MAX { step } else { 0.5 * step }
                    );
                }
                assert!(step == 1.0 || f64::from(abs_max(&row)) >= f64::from(1 << (bits - 1)) * step);
            }
        }
    }

    #[test]
    fn requantize_multiplies_to_thirteen_bits() {
        let mut source = numbers(3);
        for _ in 0..5000 {
            let mut row = [0; 4];
            row.iter_mut().zip(&mut source).for_each(|(x, n)| *x = n >> 8);
            let scale = quantize8(&mut [0; 4], &row);
            let accumulator = source.next().unwrap_or(0) >> 12;
            let multiplier = source.next().unwrap_or(0) & 0x3fff_ffff | 1 << 30;
            let mut got = [accumulator];
            Requantize::new(scale, 40, 1 << 19).apply(&mut got, &[multiplier.to_le()], &[]);
            let got = got[0];
            let exact = value(accumulator, scale) * f64::from(multiplier) * 2f64.powi(-40);
            let bound = 1.0 + exact.abs() / 8192.0 + value(1, scale) * f64::from(multiplier) * 2f64.powi(-40);
            assert!((f64::from(got) - exact).abs() <= bound, "{got} for {exact}");
        }
    }

    #[test]
    fn mean_is_exact_for_small_sums_and_close_for_large_ones() {
        for (sum, count, expected) in
            [(7, 2, 4), (-7, 2, -4), (0, 5, 0), (100, 0, 100), (i64::from(i32::MAX) * 4, 4, i32::MAX)]
        {
            assert!(
                (i64::from(mean(sum, count)) - i64::from(expected)).abs() <= i64::from(expected.unsigned_abs() >> 21),
                "{sum} / {count}"
            );
        }
    }
}
