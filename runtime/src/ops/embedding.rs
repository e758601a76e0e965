//! Rows of int8 tables as fixed-point values.

use crate::format::spec::Multiplier;
use crate::model::Matrix;
use crate::quant::{mul_high, shift_round};

/// Writes a row of a table to `out`, or adds it, times `scale` if there is one.
pub(crate) fn embed_row(
    table: &Matrix<'_>,
    row: usize,
    scale: Option<Multiplier>,
    fraction_bits: u8,
    add: bool,
    out: &mut [i32],
) {
    let mut multiplier = table.multipliers.get(row);
    // The weight is raised by 24 bits and the product lowered by 32.
    let mut shift = table.exponent - i32::from(fraction_bits) - 8;
    if let Some(scale) = scale {
        multiplier = mul_high(multiplier, scale.mantissa);
        shift += i32::from(scale.exponent) - 32;
    }
    for (col, out) in out.iter_mut().enumerate().take(table.cols) {
        let value = shift_round(mul_high(i32::from(table.weight(row, col)) << 24, multiplier), shift);
        *out = if add { out.saturating_add(value) } else { value };
    }
}
