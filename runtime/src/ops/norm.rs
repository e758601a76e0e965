//! Layer norm and RMS norm.

use crate::format::spec::{NormKind, NormSpec};
use crate::model::Norm;
use crate::quant::{abs_max, mean, mul_high, shift_round};

/// Norms one row in place. The norm's numbers are as long as the row.
///
/// The row, less its mean, is shifted to fifteen bits and a sign; the sum of its squares then needs no wide
/// product, and one reciprocal square root of sixteen bits serves the whole row. The weights carry the factor
/// `sqrt(size)` that turns a sum of squares into a mean.
pub(crate) fn norm(spec: &NormSpec, numbers: &Norm<'_>, fraction_bits: u8, row: &mut [i32]) {
    let center = match spec.kind {
        NormKind::Layer => mean(row.iter().map(|&x| i64::from(x)).sum(), row.len() as u32),
        NormKind::Rms => 0,
    };
    for x in &mut *row {
        *x = x.saturating_sub(center);
    }
    let narrow = 17_u32.saturating_sub(abs_max(row).max(1).leading_zeros()) as i32;
    let mut squares = 0_u64;
    for x in &mut *row {
        *x = shift_round((*x).max(-i32::MAX), narrow).clamp(-32767, 32767);
        squares += u64::from(x.unsigned_abs().wrapping_mul(x.unsigned_abs()));
    }
    // epsilon * size has 48 fraction bits, the squares twice those of x.
    let epsilon = spec.epsilon >> (48 - 2 * u32::from(fraction_bits).min(24)) >> (2 * narrow);
    let (inverse, half_exponent) = inverse_sqrt((squares + epsilon).max(1));
    let shift = half_exponent + numbers.exponent - i32::from(fraction_bits) - 1;
    let mut bias = numbers.bias.iter();
    for (x, weight) in row.iter_mut().zip(numbers.weight.iter()) {
        // Fifteen bits times sixteen: the product stays below 2^31.
        let normed = shift_round(mul_high(x.wrapping_mul(inverse), weight), shift);
        *x = normed.saturating_add(bias.next().unwrap_or(0));
    }
}

/// `1 / sqrt(x)` for `x > 0`, as `(m, e)` with `m * 2^(-31 - e)` and `m` of sixteen bits.
fn inverse_sqrt(x: u64) -> (i32, i32) {
    let bits = 64 - x.leading_zeros() as i32;
    let half_exponent = (bits - 31) >> 1;
    let normalized = if half_exponent >= 0 { x >> (2 * half_exponent) } else { x << (-2 * half_exponent) };
    let root = (normalized as u32).isqrt().max(1);
    (((1 << 31) / root) as i32, half_exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

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
