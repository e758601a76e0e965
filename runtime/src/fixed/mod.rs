//! Implements fixed-point arithmetic: rounding shifts, the high half of products, and scales of
//! quantized rows.
//!
//! `docs/numerics.md` specifies it. All operations but one product are 32 bits wide, which suits
//! both cores without a long multiply and vector units.

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

/// The rare shifts of [`shift_round`]: by 0, by 1, by 32 and more, and to the left, saturating.
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

/// Runs a loop with [`shift_round`] by a constant shift, and selects the kind of shift before the
/// loop.
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

/// `x * 2^shift`, saturated. Only rows of very large values need it.
fn shift_left(x: i32, shift: u32) -> i32 {
    saturate(i64::from(x) << shift.min(31))
}

/// Converts to `i32`, saturating.
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

/// `sum / count`, rounded, without a 64-bit division. Exact while `|sum| < 2^31`, and beyond to 31
/// bits less those of `count`.
pub(crate) fn mean(sum: i64, count: u32) -> i32 {
    let magnitude = sum.unsigned_abs();
    let shift = (64 - magnitude.leading_zeros()).saturating_sub(31);
    let count = count.max(1);
    let quotient = (((magnitude >> shift) as u32 + count / 2) / count) as u64;
    let mean = (quotient << shift).min(i32::MAX as u64) as i32;
    if sum < 0 { -mean } else { mean }
}

/// The largest magnitude in a row, at most `i32::MAX`.
#[inline(always)]
pub(crate) fn abs_max(row: &[i32]) -> u32 {
    row.iter().fold(0, |max: u32, x| max.max(x.unsigned_abs())).min(i32::MAX as u32)
}

/// The number of bits that the values of a row need besides the sign. Cheaper than [`abs_max`],
/// because it needs no comparisons.
#[inline(always)]
pub(crate) fn magnitude_bits(row: &[i32]) -> u32 {
    32 - row.iter().fold(0, |bits, &x| bits | (x ^ (x >> 31))).leading_zeros()
}

/// The number of bits by which values up to `bound` in magnitude can be shifted left in an `i32`.
pub(crate) const fn headroom(bound: u64) -> u32 {
    (bound as u32 | (((bound >> 31) != 0) as u32) << 31).leading_zeros().saturating_sub(1)
}

/// The number of bits, besides the sign, of a 16-bit row of `cols` values, such that no sum of
/// products with int8 weights of magnitudes up to 127 overflows.
pub(crate) const fn row_bits(cols: usize) -> u32 {
    bits_beside(7, cols)
}

/// The number of bits, at most 15, that one factor may have if the other has `bits`, such that a
/// sum of `terms` products is at most `2^31`.
pub(crate) const fn bits_beside(bits: u32, terms: usize) -> u32 {
    let left = 31_u32.saturating_sub(bits + terms.next_power_of_two().trailing_zeros());
    if left > 15 { 15 } else { left }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn means_of_large_sums_have_21_bits() {
        let sums = (0..52).flat_map(|bit| [1_i64 << bit, 3 << bit >> 1, (2 << bit) - 1]);
        for (sum, count) in sums.flat_map(|sum| [1, 2, 3, 7, 768].map(|count| (sum, count))) {
            let exact = (sum + i64::from(count) / 2) / i64::from(count);
            let found = i64::from(mean(sum, count));
            let most = if sum < 1 << 31 { 0 } else { exact >> 21 };
            assert!((found - exact.min(i32::MAX.into())).abs() <= most, "{sum} / {count} is {exact}, not {found}");
            assert_eq!(i64::from(mean(-sum, count)), -found, "-{sum} / {count}");
        }
    }

    /// Numbers at which something begins or ends.
    const EDGES: [i32; 13] =
        [i32::MIN, i32::MIN + 1, -0x10001, -0x8000, -2, -1, 0, 1, 3, 0x7fff, 0x10000, i32::MAX - 1, i32::MAX];

    #[test]
    fn multiply_rounds_half_up_and_saturates() {
        for (a, b) in EDGES.into_iter().flat_map(|a| EDGES.map(|b| (a, b))) {
            for fraction_bits in 0..32 {
                let twice = i128::from(a) * i128::from(b) * 2;
                let exact =
                    ((twice + (1 << fraction_bits)) >> (fraction_bits + 1)).clamp(i32::MIN.into(), i32::MAX.into());
                assert_eq!(i128::from(multiply(a, b, fraction_bits)), exact, "{a} * {b} >> {fraction_bits}");
            }
        }
    }

    #[test]
    fn every_shift_is_a_quotient_that_is_rounded_once() {
        for x in EDGES {
            for shift in -40..40 {
                let half = if shift > 0 { 1_i128 << (shift - 1) } else { 0 };
                let exact = ((i128::from(x) + half) << 40 >> (40 + shift)).clamp(i32::MIN.into(), i32::MAX.into());
                let in_a_loop = with_rounding!(shift, |round| round(x));
                assert_eq!([shift_round(x, shift), in_a_loop].map(i128::from), [exact; 2], "{x} >> {shift}");
            }
        }
    }

    #[test]
    fn headroom_is_the_longest_shift_that_keeps_a_bound_below_the_sign() {
        for bound in (0..40).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1]) {
            let shift = headroom(bound);
            let fits = |shift: u32| bound << shift < 1 << 31;
            assert!(fits(shift) || shift == 0, "{bound} << {shift}");
            assert!(!fits(shift + 1) || shift == 31, "{bound} << {}", shift + 1);
        }
    }

    #[test]
    fn bits_of_a_row_keep_sums_of_products_in_32_bits() {
        for (bits, terms) in (1..=15).flat_map(|bits| (1..2100).map(move |terms| (bits, terms))) {
            let other = bits_beside(bits, terms);
            let sum = |other: u32| (terms.next_power_of_two() as u64) << (bits + other);
            assert!(sum(other) <= 1 << 31 && (other == 15 || sum(other + 1) > 1 << 31), "{bits} bits, {terms} terms");
        }
        assert_eq!((row_bits(1), row_bits(512), row_bits(513), row_bits(1 << 30)), (15, 15, 14, 0));
    }

    #[test]
    fn magnitudes_of_rows_know_the_smallest_number() {
        for (row, largest, bits) in
            [(&[][..], 0, 0), (&[0, -1], 1, 0), (&[1, -2], 2, 1), (&[5, i32::MIN], 0x7fff_ffff, 31), (&[-8, 7], 8, 3)]
        {
            assert_eq!((abs_max(row), magnitude_bits(row)), (largest, bits), "{row:?}");
        }
    }
}
