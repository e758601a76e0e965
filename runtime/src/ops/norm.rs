//! Layer norm, RMS norm, and the affine map that takes a norm's place.

use crate::fixed::{abs_max, magnitude_bits, mean, mul_high, shift_round, with_rounding};
use crate::format::spec::{NormKind, NormSpec};
use crate::kernels::Kernels;
use crate::model::Norm;

/// Norms one row in place. The norm's numbers are as long as the row.
pub(crate) fn norm(kernels: &Kernels, spec: &NormSpec, numbers: &Norm<'_>, fraction_bits: u8, row: &mut [i32]) {
    let centered = match spec.kind {
        NormKind::Layer => true,
        NormKind::Rms => false,
        NormKind::Affine => return affine(numbers, row),
    };
    // epsilon * size has 48 fraction bits, the squares twice those of x.
    let epsilon = spec.epsilon >> (48 - 2 * u32::from(fraction_bits).min(24));
    let shift = numbers.exponent - i32::from(fraction_bits) - 1;
    let (weights, biases) = (numbers.weight.as_slice(), numbers.bias.as_slice());
    (kernels.norm)(row, &NormRow { centered, epsilon, shift, weights, biases });
}

/// A norm as its kernel takes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NormRow<'a> {
    /// Whether the mean is taken off first.
    pub(crate) centered: bool,
    /// What is added to the sum of squares, which has twice the fraction bits of the row.
    pub(crate) epsilon: u64,
    /// Of the result, besides what the sum of squares makes of it.
    pub(crate) shift: i32,
    /// As they lie in a blob.
    pub(crate) weights: &'a [i32],
    /// The same; empty for none.
    pub(crate) biases: &'a [i32],
}

impl NormRow<'_> {
    /// The row, less its mean, is shifted to fifteen bits and a sign; the sum of its squares then needs no wide
    /// product, and one reciprocal square root of sixteen bits serves the whole row. The weights carry the factor
    /// `sqrt(size)` that turns a sum of squares into a mean.
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
        // Fifteen bits times sixteen, and a sign.
        with_rounding!(shift, |round| for (x, &weight) in row.iter_mut().zip(self.weights) {
            *x = round(mul_high(x.wrapping_mul(inverse), i32::from_le(weight)));
        });
        for (x, &bias) in row.iter_mut().zip(self.biases) {
            *x = x.saturating_add(i32::from_le(bias));
        }
    }

    /// Takes the mean off.
    #[inline(always)]
    pub(crate) fn center(row: &mut [i32]) {
        let center = mean(row.iter().map(|&x| i64::from(x)).sum(), row.len() as u32);
        for x in row {
            *x = x.saturating_sub(center);
        }
    }

    /// What a row shifted by `narrow` is multiplied by, given the sum of its squares, and how far the products are shifted.
    #[inline]
    pub(crate) fn inverse(&self, squares: u64, narrow: u32) -> (i32, i32) {
        let (inverse, half_exponent) = inverse_sqrt((squares + (self.epsilon >> (2 * narrow))).max(1));
        (inverse, self.shift + half_exponent)
    }
}

/// `x * weight + bias`, the row raised first as far as it goes.
fn affine(numbers: &Norm<'_>, row: &mut [i32]) {
    let raise = abs_max(row).max(1).leading_zeros() - 1;
    let mut bias = numbers.bias.iter();
    for (x, weight) in row.iter_mut().zip(numbers.weight.iter()) {
        let raised = (*x).max(-i32::MAX) << raise;
        let scaled = shift_round(mul_high(raised, weight), numbers.exponent - 32 + raise as i32);
        *x = scaled.saturating_add(bias.next().unwrap_or(0));
    }
}

/// `1 / sqrt(x)` for `x > 0`, as `(m, e)` with `m * 2^(-31 - e)` and `m` of sixteen bits.
pub(crate) fn inverse_sqrt(x: u64) -> (i32, i32) {
    let bits = 64 - x.leading_zeros() as i32;
    let half_exponent = (bits - 31) >> 1;
    let normalized = if half_exponent >= 0 { x >> (2 * half_exponent) } else { x << (-2 * half_exponent) };
    let root = (normalized as u32).isqrt().max(1);
    (((1 << 31) / root) as i32, half_exponent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Words;

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

    #[test]
    fn a_norm_is_the_formula_to_twelve_bits_of_its_largest_value() {
        const SIZE: usize = 24;
        let weights: [f64; SIZE] = core::array::from_fn(|i| 0.5 + 0.1 * i as f64);
        let biases: [f64; SIZE] = core::array::from_fn(|i| 0.05 * i as f64 - 0.4);
        let root = libm::sqrt(SIZE as f64);
        let stored = weights.map(|weight| libm::round(weight * root * f64::from(1 << 26)) as i32);
        let bias = biases.map(|bias| libm::round(bias * 65536.0) as i32);
        let numbers = Norm { exponent: 26, weight: Words::new(&stored), bias: Words::new(&bias) };
        for kind in [NormKind::Layer, NormKind::Rms] {
            for scale in [0.01, 1.0, 37.0, 1000.0] {
                let epsilon = 1e-5;
                let spec = NormSpec {
                    kind,
                    bias: true,
                    epsilon: libm::round(epsilon * SIZE as f64 * 281_474_976_710_656.0) as u64,
                };
                let x: [f64; SIZE] = core::array::from_fn(|i| scale * (libm::sin(i as f64 * 1.7) + 0.3));
                let mut row = x.map(|x| libm::round(x * 65536.0) as i32);
                let x = row.map(|x| f64::from(x) / 65536.0);
                norm(Kernels::best(), &spec, &numbers, 16, &mut row);
                let center = if kind == NormKind::Layer { x.iter().sum::<f64>() / SIZE as f64 } else { 0.0 };
                let variance = x.iter().map(|x| (x - center) * (x - center)).sum::<f64>() / SIZE as f64;
                for i in 0..SIZE {
                    let exact = (x[i] - center) / libm::sqrt(variance + epsilon) * weights[i] + biases[i];
                    let found = f64::from(row[i]) / 65536.0;
                    assert!((found - exact).abs() <= 4.0 / 4096.0, "{kind:?} at {scale}, {i}: {found} for {exact}");
                }
            }
        }
    }

    #[test]
    fn an_affine_map_is_right_to_two_units_and_thirty_bits() {
        let (weights, biases) = ([0.5, -1.25, 0.001, 1.75], [0.0, 3.0, -100.0, 0.25]);
        let stored = weights.map(|weight| libm::round(weight * f64::from(1 << 30)) as i32);
        let bias = biases.map(|bias: f64| libm::round(bias * 65536.0) as i32);
        let numbers = Norm { exponent: 30, weight: Words::new(&stored), bias: Words::new(&bias) };
        let spec = NormSpec { kind: NormKind::Affine, bias: true, epsilon: 0 };
        for scale in [1, 77, 65_536, 1 << 24, 1 << 29] {
            let x = [scale, -scale / 3, scale / 2 + 1, -scale];
            let mut row = x;
            norm(Kernels::best(), &spec, &numbers, 16, &mut row);
            for i in 0..4 {
                let exact = f64::from(x[i]) * weights[i] + f64::from(bias[i]);
                let bound = 2.0 + f64::from(scale) / f64::from(1 << 28);
                assert!((f64::from(row[i]) - exact).abs() <= bound, "{} for {exact} at {scale}", row[i]);
            }
        }
    }

    #[test]
    fn rows_at_the_limits_do_not_overflow() {
        let stored = [i32::MAX; 4];
        let numbers = Norm { exponent: 26, weight: Words::new(&stored), bias: Words::new(&[]) };
        for kind in [NormKind::Layer, NormKind::Rms] {
            for mut row in [[0; 4], [i32::MIN; 4], [i32::MAX, i32::MIN, 0, 1], [i32::MAX; 4]] {
                norm(Kernels::best(), &NormSpec { kind, bias: false, epsilon: 0 }, &numbers, 16, &mut row);
                assert!(row.iter().all(|x| x.unsigned_abs() < 1 << 24), "{row:?}");
            }
        }
    }
}
