//! Looks up rows of tables as fixed-point values.

use crate::features;
use crate::fixed::{mul_high, shift_round, with_rounding};
use crate::format::places::{
    TABLE_GROUP, TILE, WIDE_TILE_ROWS, group_place, packed_place, pair_byte, pair_place, table_weight, tile_place,
    wide_tile_place,
};
use crate::format::spec::{Multiplier, WeightLayout, at_least_one};
use crate::model::Matrix;

/// The left shift of an 8-bit weight before `mul_high`.
const BYTE_SHIFT: i32 = 24;
/// The left shift of a 4-bit table's weight before `mul_high`.
const TABLE_SHIFT: i32 = 3;

/// Writes row `row` of a table, times `scale` if there is one, to `out`, or adds it if `add`.
pub(crate) fn embed_row(
    table: &Matrix<'_>,
    row: usize,
    scale: Option<Multiplier>,
    fraction_bits: u8,
    add: bool,
    out: &mut [i32],
) {
    // The multiplier and the right shift after `mul_high`, for weights shifted left by `left`.
    let scaled = |at: usize, left: i32| {
        let (multiplier, shift) = (table.multipliers.get(at), table.exponent - i32::from(fraction_bits) - (32 - left));
        match scale {
            Some(scale) => (mul_high(multiplier, scale.mantissa), shift + i32::from(scale.exponent) - 32),
            None => (multiplier, shift),
        }
    };
    let (cols, layout) = (table.cols, table.weights.layout);
    if layout == WeightLayout::Table && features::PACKED_WEIGHTS {
        let (multiplier, shift) = scaled(0, TABLE_SHIFT);
        let put = |out: &mut i32, weight: i32| {
            let value = shift_round(mul_high(weight << TABLE_SHIFT, multiplier), shift);
            *out = if add { out.saturating_add(value) } else { value };
        };
        let groups = cols.div_ceil(TABLE_GROUP);
        let scales = table.weights.scales.get(2 * groups * row..).unwrap_or(&[]).as_chunks::<2>().0;
        let bytes = table.weights.bytes.get(cols / 2 * row..cols / 2 * (row + 1)).unwrap_or(&[]);
        let of_groups = bytes.chunks(TABLE_GROUP / 2).zip(scales);
        for (out, (bytes, &[scale, zero])) in out.chunks_mut(TABLE_GROUP).zip(of_groups) {
            for ([even, odd], byte) in out.as_chunks_mut().0.iter_mut().zip(bytes) {
                put(even, table_weight(byte.cast_unsigned(), scale, zero));
                put(odd, table_weight(byte.cast_unsigned() >> 4, scale, zero));
            }
        }
        return;
    }
    let (multiplier, shift) = scaled(row, BYTE_SHIFT);
    with_rounding!(shift, |round| each_weight(table, row, out, |out, weight| {
        let value = round(mul_high(i32::from(weight) << BYTE_SHIFT, multiplier));
        *out = if add { out.saturating_add(value) } else { value };
    }));
}

/// Hands each weight of a row, of eight bits, to `put` with its place in `out`.
#[inline(always)]
fn each_weight(table: &Matrix<'_>, row: usize, out: &mut [i32], put: impl Fn(&mut i32, i8)) {
    let (cols, layout) = (table.cols, table.weights.layout);
    if let (WeightLayout::Packed { group }, true) = (layout, features::PACKED_WEIGHTS) {
        let group = at_least_one(group.into());
        for (at, out) in out.get_mut(..cols).unwrap_or(&mut []).chunks_mut(group).enumerate() {
            let scale = table.weights.scales.get(group_place(row, at * group, cols, group)).copied().unwrap_or(0);
            for (col, out) in (at * group..).zip(out) {
                let (byte, raised) = packed_place(row, col, cols);
                let byte = table.weights.bytes.get(byte).copied().unwrap_or(0).cast_unsigned();
                let nibble = (byte >> raised & 15).cast_signed() - 8;
                put(out, nibble.wrapping_mul(scale.cast_signed()));
            }
        }
        return;
    }
    let from = |start: usize| table.weights.bytes.get(start..).unwrap_or(&[]);
    if layout == WeightLayout::RowMajor {
        out.iter_mut().zip(from(row * cols)).take(cols).for_each(|(out, &weight)| put(out, weight));
        return;
    }
    if layout == WeightLayout::Paired && features::PAIRED_WEIGHTS {
        // Each pair of rows alternates bytes: every second byte belongs to this row.
        let pairs = from(pair_place(row & !1, 0, cols)).as_chunks::<{ 2 * TILE }>().0.iter().step_by(2);
        for (out, pairs) in out.as_chunks_mut::<TILE>().0.iter_mut().zip(pairs).take(cols / TILE) {
            let bytes = pairs.iter().skip(row % 2).step_by(2);
            out.iter_mut().zip(bytes).for_each(|(out, &byte)| put(out, pair_byte(row, byte)));
        }
        return;
    }
    if layout == WeightLayout::WideTiled && features::WIDE_TILES {
        // One word of each wide tile along the row.
        let words = from(wide_tile_place(row, 0, cols)).as_chunks::<TILE>().0.iter().step_by(WIDE_TILE_ROWS);
        for (out, word) in out.as_chunks_mut::<TILE>().0.iter_mut().zip(words).take(cols / TILE) {
            out.iter_mut().zip(word).for_each(|(out, &weight)| put(out, weight));
        }
        return;
    }
    // One word of each tile along the row, with its columns in the order 0, 2, 1, 3.
    let words = from(tile_place(row, 0, cols)).as_chunks::<TILE>().0.iter().step_by(TILE);
    for ([first, second, third, fourth], &[a, c, b, d]) in
        out.as_chunks_mut::<TILE>().0.iter_mut().zip(words).take(cols / TILE)
    {
        put(first, a);
        put(second, b);
        put(third, c);
        put(fourth, d);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::places::{group_place, packed_place, table_place, table_scale};
    use crate::kernels::Weights;
    use crate::model::Words;

    const ROWS: usize = 4;
    const COLS: usize = 40;

    fn nibble(row: usize, col: usize) -> u8 {
        (row * 7 + col * 5) as u8 % 16
    }

    #[test]
    fn a_table_in_four_bits_is_looked_up_to_a_hundredth_of_a_step() {
        let mut bytes = [0_i8; ROWS * COLS / 2];
        for (row, col) in (0..ROWS).flat_map(|row| (0..COLS).map(move |col| (row, col))) {
            let (byte, shift) = table_place(row, col, COLS);
            bytes[byte] |= (nibble(row, col) << shift).cast_signed();
        }
        // A scale and a zero point for each of the two groups of a row.
        let scales: [u8; 4 * ROWS] = core::array::from_fn(|at| (at * 53 + 11) as u8);
        let numbers = [1_300_000_000];
        let weights = Weights { bytes: &bytes, scales: &scales, layout: WeightLayout::Table };
        for exponent in [40, 50, 58] {
            let table = Matrix {
                rows: ROWS,
                cols: COLS,
                weights,
                exponent,
                multipliers: Words::new(&numbers),
                bias: Words::default(),
            };
            for row in 0..ROWS {
                let mut out = [3; COLS];
                embed_row(&table, row, None, 16, true, &mut out);
                for (col, &found) in out.iter().enumerate() {
                    let [scale, zero] = [0, 1].map(|at| scales[4 * row + 2 * (col / TABLE_GROUP) + at]);
                    let unit = f64::from(numbers[0]) * libm::ldexp(f64::from(table_scale(scale)), 16 - exponent);
                    let exact = (16.0 * f64::from(nibble(row, col)) - f64::from(zero)) * unit + 3.0;
                    let exact = exact.clamp(f64::from(i32::MIN), f64::from(i32::MAX));
                    assert!((f64::from(found) - exact).abs() <= 0.16 * unit + 1.0, "{row}, {col}: {found}, {exact}");
                }
            }
        }
    }

    #[test]
    fn a_row_of_packed_weights_is_what_they_stand_for() {
        let mut bytes = [0_i8; ROWS * COLS / 2];
        let mut scales = [0; 2 * ROWS];
        for (row, col) in (0..ROWS).flat_map(|row| (0..COLS).map(move |col| (row, col))) {
            let (byte, shift) = packed_place(row, col, COLS);
            bytes[byte] |= (nibble(row, col) << shift).cast_signed();
            scales[group_place(row, col, COLS, 32)] = (3 * row + col / 32 + 5) as u8;
        }
        let numbers = [1 << 30; ROWS];
        let table = Matrix {
            rows: ROWS,
            cols: COLS,
            weights: Weights { bytes: &bytes, scales: &scales, layout: WeightLayout::Packed { group: 32 } },
            exponent: 30,
            multipliers: Words::new(&numbers),
            bias: Words::default(),
        };
        for row in 0..ROWS {
            let mut out = [0; COLS];
            embed_row(&table, row, None, 16, false, &mut out);
            for (col, found) in out.into_iter().enumerate() {
                let weight = (i32::from(nibble(row, col)) - 8) * (3 * row + col / 32 + 5) as i32;
                assert_eq!(found, weight << 16, "{row}, {col}");
            }
        }
    }
}
