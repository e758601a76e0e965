//! Rows of int8 tables as fixed-point values.

use crate::features;
use crate::fixed::{mul_high, shift_round};
use crate::format::places::{TILE, WIDE_TILE_ROWS, pair_byte, pair_place, tile_place, wide_tile_place};
use crate::format::spec::{Multiplier, WeightLayout};
use crate::model::Matrix;

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
    // The weight is shifted left by 24 bits, the product right by 32.
    let mut shift = table.exponent - i32::from(fraction_bits) - 8;
    if let Some(scale) = scale {
        multiplier = mul_high(multiplier, scale.mantissa);
        shift += i32::from(scale.exponent) - 32;
    }
    let put = |out: &mut i32, weight: i8| {
        let value = shift_round(mul_high(i32::from(weight) << 24, multiplier), shift);
        *out = if add { out.saturating_add(value) } else { value };
    };
    let (cols, layout) = (table.cols, table.weights.layout);
    let from = |start: usize| table.weights.bytes.get(start..).unwrap_or(&[]);
    if layout == WeightLayout::RowMajor {
        out.iter_mut().zip(from(row * cols)).take(cols).for_each(|(out, &weight)| put(out, weight));
        return;
    }
    if layout == WeightLayout::Paired && features::PAIRED_WEIGHTS {
        // Two rows of each tile: every second byte belongs to this row.
        let pairs = from(pair_place(row & !1, 0, cols)).as_chunks::<{ 2 * TILE }>().0.iter().step_by(2);
        for (out, pairs) in out.as_chunks_mut::<TILE>().0.iter_mut().zip(pairs).take(cols / TILE) {
            let bytes = pairs.iter().skip(row % 2).step_by(2);
            out.iter_mut().zip(bytes).for_each(|(out, &byte)| put(out, pair_byte(row, byte)));
        }
        return;
    }
    if layout == WeightLayout::WideTiled && features::WIDE_TILES {
        // A word of each tile along the row.
        let words = from(wide_tile_place(row, 0, cols)).as_chunks::<TILE>().0.iter().step_by(WIDE_TILE_ROWS);
        for (out, word) in out.as_chunks_mut::<TILE>().0.iter_mut().zip(words).take(cols / TILE) {
            out.iter_mut().zip(word).for_each(|(out, &weight)| put(out, weight));
        }
        return;
    }
    // A word of each tile along the row, with its columns in the order 0, 2, 1, 3.
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
