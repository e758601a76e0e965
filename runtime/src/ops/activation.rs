//! Evaluates activation functions from tables in the blob.
//!
//! GELU and SiLU differ from `max(x, 0)` by an even function that vanishes at infinity; `tanh(x)`
//! and `sigmoid(x) - 1/2` are odd. So it suffices to tabulate `0 <= |x| <= 8`, at steps of 1/64,
//! and to interpolate linearly.

use crate::features;
use crate::fixed::{mul_high, multiply, shift_round};
use crate::format::layout::ACTIVATION_TABLE_LEN;
use crate::format::spec::{Activation, Multiplier};
use crate::kernels::Kernels;
use crate::model::Halfwords;

/// Applies an activation function to each value in place.
pub(crate) fn activate(
    kernels: &Kernels,
    activation: Activation,
    table: Halfwords<'_>,
    fraction_bits: u8,
    values: &mut [i32],
) {
    let bits = u32::from(fraction_bits);
    match activation {
        Activation::Identity => {}
        Activation::Relu => values.iter_mut().for_each(|x| *x = (*x).max(0)),
        Activation::ReluSquared => values.iter_mut().for_each(|x| *x = multiply((*x).max(0), (*x).max(0), bits)),
        Activation::Gelu | Activation::GeluTanh | Activation::QuickGelu | Activation::Silu => {
            // Fast path: most models have the table's sixteen fraction bits.
            if bits == 16 {
                return (kernels.rectify)(values, table.as_slice());
            }
            for x in values {
                *x = (*x).max(0).saturating_add(shift_round(look_up(table, bits, *x), 16 - bits as i32));
            }
        }
        Activation::Tanh => values.iter_mut().for_each(|x| *x = tanh(table, bits, *x)),
        Activation::Sigmoid => {
            for x in values {
                let half = shift_round(look_up(table, bits, *x), 16 - bits as i32);
                *x = (1 << (bits - 1)) + if *x < 0 { -half } else { half };
            }
        }
    }
}

/// Replaces each value `x` by `cap * tanh(x / cap)`.
pub(crate) fn soft_cap(cap: Multiplier, tanh_table: Halfwords<'_>, fraction_bits: u8, values: &mut [i32]) {
    if !features::SOFT_CAPS {
        return;
    }
    let bits = u32::from(fraction_bits);
    // 1 / cap in 16 bits: the mantissa is in 2^15 ..= 2^16, and so is 2^31 divided by it.
    let inverse = ((1_u32 << 31) / (cap.mantissa as u32 >> 15).max(1)) as i32;
    let exponent = i32::from(cap.exponent);
    for x in values {
        // 1 / cap = inverse * 2^(exponent - 46), and `mul_high` divides by 2^32.
        let scaled = shift_round(mul_high(*x, inverse << 14), -exponent + 28);
        // tanh has at most `bits` + 1 significant bits: shift it left before `mul_high` drops 32.
        let raise = 30 - bits as i32;
        *x = shift_round(mul_high(tanh(tanh_table, bits, scaled) << raise, cap.mantissa), exponent - 32 + raise);
    }
}

fn tanh(table: Halfwords<'_>, bits: u32, x: i32) -> i32 {
    let magnitude = shift_round(look_up(table, bits, x), 15 - bits as i32);
    if x < 0 { -magnitude } else { magnitude }
}

/// The interpolated value of the table at `|x|`; beyond its end, the last entry.
#[inline(always)]
fn look_up(table: Halfwords<'_>, bits: u32, x: i32) -> i32 {
    let magnitude = x.saturating_abs();
    // With fewer than six fraction bits, values fall on every second, fourth or eighth entry.
    let (step, stride) = (bits.saturating_sub(6), 6_u32.saturating_sub(bits));
    let index = (magnitude >> step) as usize;
    if index >= (ACTIVATION_TABLE_LEN - 1) >> stride {
        return table.get(ACTIVATION_TABLE_LEN - 1);
    }
    let index = index << stride;
    let (low, high) = (table.get(index), table.get(index + 1));
    low + (((high - low) * (magnitude & ((1 << step) - 1))) >> step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::spec::NumericsSpec;

    type Function = fn(f64) -> f64;

    fn sigmoid(x: f64) -> f64 {
        1.0 / (1.0 + libm::exp(-x))
    }

    /// The table for `f` in the blob's format, sampled at multiples of 1/64.
    fn tabulate(activation: Activation, f: Function) -> [i16; ACTIVATION_TABLE_LEN] {
        core::array::from_fn(|i| {
            let x = i as f64 / 64.0;
            let value = match activation {
                Activation::Tanh => f(x) * 32768.0,
                Activation::Sigmoid => (f(x) - 0.5) * 65536.0,
                _ => (f(x) - x) * 65536.0,
            };
            (libm::round(value) as i32).clamp(-32768, 32767) as i16
        })
    }

    const CASES: [(Activation, Function, f64); 6] = [
        (Activation::Gelu, |x| x * 0.5 * (1.0 + libm::erf(x / core::f64::consts::SQRT_2)), 4.5e-5),
        (
            Activation::GeluTanh,
            |x| 0.5 * x * (1.0 + libm::tanh(0.797_884_560_802_865_4 * (x + 0.044715 * x * x * x))),
            4.5e-5,
        ),
        (Activation::QuickGelu, |x| x * sigmoid(1.702 * x), 5e-5),
        (Activation::Silu, |x| x * sigmoid(x), 3.0e-3),
        (Activation::Tanh, libm::tanh, 7e-5),
        (Activation::Sigmoid, sigmoid, 4e-4),
    ];

    /// The bounds are largest for tails beyond 8, where the table's last value is used: SiLU's
    /// error is 0.0027 there.
    #[test]
    fn every_activation_is_within_its_bound() {
        for (activation, f, bound) in CASES {
            let table = tabulate(activation, f);
            for bits in NumericsSpec::FRACTION_BITS {
                // The table's error, and two units in the last place.
                let bound = bound + 2.0 / f64::from(1 << bits);
                for step in -30_000..30_000 {
                    let mut x = [((step << bits) >> 11) + step % 7];
                    let exact = f(f64::from(x[0]) / f64::from(1 << bits));
                    activate(Kernels::best(), activation, Halfwords::new(&table), bits, &mut x);
                    let found = f64::from(x[0]) / f64::from(1 << bits);
                    assert!((found - exact).abs() <= bound, "{activation:?} of {step}: {found} for {exact}");
                }
            }
        }
    }

    #[test]
    fn between_minus_eight_and_eight_it_is_right_to_a_ten_thousandth() {
        for (activation, f, _) in CASES {
            let table = tabulate(activation, f);
            for step in -8 * 4096 + 1..8 * 4096 {
                let mut x = [step * 16];
                activate(Kernels::best(), activation, Halfwords::new(&table), 16, &mut x);
                let exact = f(f64::from(step) / 4096.0);
                assert!((f64::from(x[0]) / 65536.0 - exact).abs() <= 9e-5, "{activation:?} of {step}");
            }
        }
    }

    #[test]
    fn a_soft_cap_is_the_cap_times_a_tanh() {
        let table = tabulate(Activation::Tanh, libm::tanh);
        for bits in NumericsSpec::FRACTION_BITS {
            let unit = libm::ldexp(1.0, -i32::from(bits));
            for (cap, mantissa, exponent) in [(30.0, 0x7800_0000, 26), (50.0, 0x6400_0000, 25), (1.5, 0x6000_0000, 30)]
            {
                for step in -4000..4000 {
                    let mut x = [(step << bits) >> 6];
                    let exact = cap * libm::tanh(f64::from(x[0]) * unit / cap);
                    soft_cap(Multiplier { mantissa, exponent }, Halfwords::new(&table), bits, &mut x);
                    // Rounding loses a unit of the argument `x / cap`, or four if the cap is as
                    // small as 1.5, and a unit of the tanh.
                    let lost = libm::ldexp(unit, (i32::from(exponent) - 28).max(0));
                    let bound = (1.5e-4 + lost + unit) * cap;
                    assert!((f64::from(x[0]) * unit - exact).abs() <= bound, "cap {cap}, {bits} bits: {exact}");
                }
            }
        }
    }
}
