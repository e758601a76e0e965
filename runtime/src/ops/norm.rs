//! Computes layer norm, RMS norm, and MobileBERT's affine "no norm".

use crate::fixed::{abs_max, mul_high, shift_round};
use crate::format::spec::{NormKind, NormSpec};
use crate::kernels::Kernels;
use crate::kernels::table::NormRow;
use crate::model::Norm;

/// Normalizes a row in place. Weights and biases have the row's length.
pub(crate) fn norm(kernels: &Kernels, spec: &NormSpec, numbers: &Norm<'_>, fraction_bits: u8, row: &mut [i32]) {
    let centered = match spec.kind {
        NormKind::Layer => true,
        NormKind::Rms => false,
        NormKind::Affine => return affine(numbers, row),
    };
    // `spec.epsilon` has 48 fraction bits, squares have `2 * fraction_bits`.
    let epsilon = spec.epsilon >> (48 - 2 * u32::from(fraction_bits).min(24));
    let shift = numbers.exponent - i32::from(fraction_bits) - 1;
    let (weights, biases) = (numbers.weight.as_slice(), numbers.bias.as_slice());
    (kernels.norm)(row, &NormRow { centered, epsilon, shift, weights, biases });
}

/// `x * weight + bias`. Shifts the row left by its headroom first.
fn affine(numbers: &Norm<'_>, row: &mut [i32]) {
    let raise = abs_max(row).max(1).leading_zeros() - 1;
    let mut bias = numbers.bias.iter();
    for (x, weight) in row.iter_mut().zip(numbers.weight.iter()) {
        let raised = (*x).max(-i32::MAX) << raise;
        let scaled = shift_round(mul_high(raised, weight), numbers.exponent - 32 + raise as i32);
        *x = scaled.saturating_add(bias.next().unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::spec::NumericsSpec;
    use crate::model::Words;

    #[test]
    fn a_norm_is_the_formula_to_twelve_bits_of_its_largest_value() {
        const SIZE: usize = 24;
        let weights: [f64; SIZE] = core::array::from_fn(|i| 0.5 + 0.1 * i as f64);
        let biases: [f64; SIZE] = core::array::from_fn(|i| 0.05 * i as f64 - 0.4);
        let root = libm::sqrt(SIZE as f64);
        let stored = weights.map(|weight| libm::round(weight * root * f64::from(1 << 26)) as i32);
        for bits in NumericsSpec::FRACTION_BITS {
            let one = f64::from(1 << bits);
            let bias = biases.map(|bias| libm::round(bias * one) as i32);
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
                    let mut row = x.map(|x| libm::round(x * one) as i32);
                    let x = row.map(|x| f64::from(x) / one);
                    norm(Kernels::best(), &spec, &numbers, bits, &mut row);
                    let center = if kind == NormKind::Layer { x.iter().sum::<f64>() / SIZE as f64 } else { 0.0 };
                    let variance = x.iter().map(|x| (x - center) * (x - center)).sum::<f64>() / SIZE as f64;
                    // The mean, the bias and the result are rounded to a unit each. Rows of only a
                    // few units are skipped.
                    if libm::sqrt(variance) < 64.0 / one {
                        continue;
                    }
                    let bound = 4.0 / 4096.0 + 3.0 / one + 3.0 / one / libm::sqrt(variance);
                    for i in 0..SIZE {
                        let exact = (x[i] - center) / libm::sqrt(variance + epsilon) * weights[i] + biases[i];
                        let found = f64::from(row[i]) / one;
                        assert!(
                            (found - exact).abs() <= bound,
                            "{kind:?} at {scale}, {i}, {bits} bits: {found} for {exact}"
                        );
                    }
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
