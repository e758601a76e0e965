//! Operations on rows of fixed-point values: quantization, requantization, norms, sums, gates,
//! activations.

use super::super::table::{NormRow, Requantize};
use crate::fixed::{Scale, abs_max, magnitude_bits, mean, mul_high, multiply, with_rounding};

/// Quantizes a row to `-127..=127`, scaled to its largest magnitude.
///
/// The scale is rounded up to its 11 bits first, so that the row is quantized with exactly the
/// scale by which it is multiplied later.
#[inline(always)]
pub(crate) fn quantize8(out: &mut [i8], row: &[i32]) -> Scale {
    let (scale, lift, inverse, shift) = scale8(abs_max(row));
    for (q, &x) in out.iter_mut().zip(row) {
        // `x` has 16 bits and a sign. |x| <= 127 * scale, so the product is below 2^31 and |q| is
        // at most 127.
        let x = (x << lift) >> 15;
        *q = ((x * inverse + (1 << (shift - 1))) >> shift) as i8;
    }
    scale
}

/// The scale of a row with the largest magnitude `largest`, and the constants of its quantization
/// `(((x << lift) >> 15) * inverse) >> shift`, as `(scale, lift, inverse, shift)`.
#[inline]
pub(crate) fn scale8(largest: u32) -> (Scale, u32, i32, u32) {
    let largest = largest.max(1);
    let zeros = largest.leading_zeros();
    let normalized = largest << zeros;
    // The scale is `largest / 127`: 1033..=2065 times 2^(14 - zeros).
    let mantissa = normalized.div_ceil(127 << 14);
    let carry = u32::from(mantissa > 2047);
    let mantissa = ((mantissa + carry) >> carry).max(1);
    let scale = Scale::from_bits(((14 + carry + Scale::BIAS as u32 - zeros) << 11 | mantissa) as u16);
    (scale, zeros - 1, ((1 << 25) / mantissa) as i32, 23 + carry)
}

/// Quantizes a row to `bits` bits (at most 15) and a sign, with the smallest power-of-two scale for
/// which its values fit.
///
/// A power of two wastes up to one bit, which at this width costs far less accuracy than int8
/// weights do, and saves a multiplication here and in requantization. Values that round up to
/// `2^bits` keep that value, except that 15 bits saturate at `2^15 - 1`.
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

impl Requantize {
    /// Converts a row of accumulators to fixed point in place, and adds the biases. Multipliers and
    /// biases are little-endian; `biases` may be empty.
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

impl NormRow<'_> {
    /// Normalizes a row in place.
    ///
    /// The row, after subtraction of its mean, is shifted to 15 bits and a sign, so that squares
    /// fit 32 bits, and is multiplied by one 16-bit reciprocal square root. The weights include the
    /// factor `sqrt(size)` that turns the sum of squares into a mean.
    #[inline(always)]
    pub(crate) fn apply(&self, row: &mut [i32]) {
        if self.centered {
            Self::center(row);
        }
        let narrow = magnitude_bits(row).saturating_sub(15) as i32;
        let mut squares = 0_u64;
        with_rounding!(narrow, |round| for x in &mut *row {
            *x = round(*x).min(i16::MAX.into());
            squares += u64::from(x.wrapping_mul(*x) as u32);
        });
        let (inverse, shift) = self.inverse(squares, narrow as u32);
        // 15 bits times 16 bits, and a sign.
        with_rounding!(shift, |round| for (x, &weight) in row.iter_mut().zip(self.weights) {
            *x = round(mul_high(x.wrapping_mul(inverse), i32::from_le(weight)));
        });
        for (x, &bias) in row.iter_mut().zip(self.biases) {
            *x = x.saturating_add(i32::from_le(bias));
        }
    }

    /// Subtracts the mean.
    #[inline(always)]
    pub(crate) fn center(row: &mut [i32]) {
        let center = mean(row.iter().map(|&x| i64::from(x)).sum(), row.len() as u32);
        for x in row {
            *x = x.saturating_sub(center);
        }
    }

    /// The factor of a row shifted by `narrow`, given the sum of its squares, and the right shift
    /// of the products.
    ///
    /// Inlined on cores without the DSP extension, which have two callers and would pay for a call.
    #[cfg_attr(not(kinglet_dsp), inline(always))]
    #[cfg_attr(kinglet_dsp, inline)]
    pub(crate) fn inverse(&self, squares: u64, narrow: u32) -> (i32, i32) {
        let (inverse, half_exponent) = inverse_sqrt((squares + (self.epsilon >> (2 * narrow))).max(1));
        (inverse, self.shift + half_exponent)
    }
}

/// `1 / sqrt(x)` for `x > 0`, as `(m, e)`: `m * 2^(-31 - e)` with a 16-bit `m`.
pub(crate) fn inverse_sqrt(x: u64) -> (i32, i32) {
    let bits = 64 - x.leading_zeros() as i32;
    let half_exponent = (bits - 31) >> 1;
    let normalized = if half_exponent >= 0 { x >> (2 * half_exponent) } else { x << (-2 * half_exponent) };
    let root = (normalized as u32).isqrt().max(1);
    (((1 << 31) / root) as i32, half_exponent)
}

#[inline(always)]
pub(crate) fn add(row: &mut [i32], other: &[i32]) {
    for (x, &y) in row.iter_mut().zip(other) {
        *x = x.saturating_add(y);
    }
}

#[inline(always)]
pub(crate) fn gate(values: &mut [i32], gates: &[i32], fraction_bits: u32) {
    for (value, &gate) in values.iter_mut().zip(gates) {
        *value = multiply(*value, gate, fraction_bits);
    }
}

pub(crate) fn rectify(values: &mut [i32], table: &[i16]) {
    let last = table.last().map_or(0, |&last| i16::from_le(last).into());
    for x in values {
        let magnitude = x.saturating_abs();
        let pair = table.get((magnitude >> 10) as usize..).and_then(|table| table.first_chunk());
        let even = pair.map_or(last, |pair| {
            let [low, high] = pair.map(|value| i32::from(i16::from_le(value)));
            low + (((high - low) * (magnitude & 1023)) >> 10)
        });
        *x = (*x).max(0).saturating_add(even);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reproducible sequence of numbers of every width.
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
                    // 2^15 saturates at 2^15 - 1.
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
    fn inverse_sqrt_is_right_to_fifteen_bits() {
        for x in (0..63).flat_map(|bit| [1_u64 << bit, (1 << bit) + (1 << bit >> 1), (2 << bit) - 1]) {
            let (mantissa, exponent) = inverse_sqrt(x);
            let got = f64::from(mantissa) * 2f64.powi(-31 - exponent);
            let exact = 1.0 / libm::sqrt(x as f64);
            assert!((got / exact - 1.0).abs() < 1.0 / 16384.0, "1 / sqrt({x}) = {exact}, not {got}");
            assert!(mantissa <= 1 << 16);
        }
    }
}
