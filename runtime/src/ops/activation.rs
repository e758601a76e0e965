//! Activation functions, from tables in the blob.
//!
//! GELU and SiLU differ from `max(x, 0)` by an even function that vanishes; tanh and the sigmoid less one half
//! are odd. So one side, `0 <= |x| <= 8`, is tabulated, 64 values to the unit, and interpolated linearly.

use crate::format::layout::ACTIVATION_TABLE_LEN;
use crate::format::spec::{Activation, Multiplier};
use crate::model::Halfwords;
use crate::quant::{mul_high, multiply, shift_round};

/// Applies an activation to each value.
pub(crate) fn activate(activation: Activation, table: Halfwords<'_>, fraction_bits: u8, values: &mut [i32]) {
    let bits = u32::from(fraction_bits);
    match activation {
        Activation::Identity => {}
        Activation::Relu => values.iter_mut().for_each(|x| *x = (*x).max(0)),
        Activation::ReluSquared => values.iter_mut().for_each(|x| *x = multiply((*x).max(0), (*x).max(0), bits)),
        Activation::Gelu | Activation::GeluTanh | Activation::QuickGelu | Activation::Silu => {
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

/// `cap * tanh(x / cap)` on each value.
pub(crate) fn soft_cap(cap: Multiplier, tanh_table: Halfwords<'_>, fraction_bits: u8, values: &mut [i32]) {
    let bits = u32::from(fraction_bits);
    // 1 / cap with sixteen bits: 2^31 over a mantissa of 2^15 to 2^16 is 2^15 to 2^16.
    let inverse = ((1_u32 << 31) / (cap.mantissa as u32 >> 15).max(1)) as i32;
    let exponent = i32::from(cap.exponent);
    for x in values {
        // 1 / cap = inverse * 2^(exponent - 46), and the high half of a product is 2^-32 of it.
        let scaled = shift_round(mul_high(*x, inverse << 14), -exponent + 28);
        // tanh has at most `bits` + 1 significant bits: raise it before the product drops 32.
        let raise = 30 - bits as i32;
        *x = shift_round(mul_high(tanh(tanh_table, bits, scaled) << raise, cap.mantissa), exponent - 32 + raise);
    }
}

fn tanh(table: Halfwords<'_>, bits: u32, x: i32) -> i32 {
    let magnitude = shift_round(look_up(table, bits, x), 15 - bits as i32);
    if x < 0 { -magnitude } else { magnitude }
}

/// The table at `|x|`, interpolated; its last value beyond its end.
#[inline(always)]
fn look_up(table: Halfwords<'_>, bits: u32, x: i32) -> i32 {
    let magnitude = x.saturating_abs();
    let step = bits - 6;
    let index = (magnitude >> step) as usize;
    if index >= ACTIVATION_TABLE_LEN - 1 {
        return table.get(ACTIVATION_TABLE_LEN - 1);
    }
    let (low, high) = (table.get(index), table.get(index + 1));
    low + (((high - low) * (magnitude & ((1 << step) - 1))) >> step)
}
