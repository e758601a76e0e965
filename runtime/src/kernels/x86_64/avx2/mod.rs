//! Kernels for AVX2: sixteen products of 16-bit values per instruction.
//!
//! Int8 weights are widened to 16 bits and multiplied with `VPMADDWD`, which is exact. `VPMADDUBSW`
//! would multiply bytes directly, but its 16-bit sums saturate, so that results would differ from
//! the scalar kernels.
#![allow(unsafe_code)]

mod attention;
mod matmul;
pub(super) mod packed;
pub(super) mod rows;
mod tiles;

use crate::kernels::table::{Kernels, Products};

cpufeatures::new!(detected, "avx2");

/// The set, if the processor supports it.
pub(crate) fn kernels() -> Option<&'static Kernels> {
    detected::get().then_some(&AVX2)
}

/// Handed out only by [`kernels`], and used in the tables of `vnni`, so that every holder runs on a
/// processor with AVX2.
pub(super) static AVX2: Kernels = Kernels {
    name: "avx2",
    products8: Products {
        rows: proven!(|out, x, weights, cols| matmul::matmul8(out, x, weights, cols)),
        tiles: proven!(|out, x, weights, cols| tiles::tiles8(out, x, weights, cols)),
        tiles_with_room: None,
        paired: None,
        wide_tiles: Some(proven!(|out, x, weights, cols| {
            tiles::wide_tiles8(out, x, weights.bytes, cols);
            true
        })),
        packed: None,
    },
    products16: Products {
        rows: proven!(|out, x, weights, cols| matmul::matmul16(out, x, weights, cols)),
        tiles: proven!(|out, x, weights, cols| tiles::tiles16(out, x, weights, cols)),
        tiles_with_room: None,
        paired: None,
        wide_tiles: Some(proven!(|out, x, weights, cols| {
            tiles::wide_tiles16(out, x, weights.bytes, cols);
            true
        })),
        packed: Some(proven!(|out, x, weights, cols| packed::product(out, x, weights, cols))),
    },
    requantize: proven!(|accumulators, multipliers, biases, by| rows::requantize(
        accumulators,
        multipliers,
        biases,
        by
    )),
    add: proven!(|row, other| rows::add(row, other)),
    quantize8: proven!(|out, row| rows::quantize8(out, row)),
    quantize16: proven!(|out, row, bits| rows::quantize16(out, row, bits)),
    norm: proven!(|row, by| rows::norm(row, by)),
    rotate: proven!(|row, angles, head_dim| rows::rotate(row, angles, head_dim)),
    rectify: proven!(|values, table| attention::rectify(values, table)),
    gate: proven!(|values, gates, fraction_bits| rows::gate(values, gates, fraction_bits)),
    scores8: proven!(|out, query, keys| attention::scores8(out, query, keys)),
    scores16: proven!(|out, query, keys| attention::scores16(out, query, keys)),
    scale_scores: proven!(|scores, keys, factor| attention::scale_scores(scores, keys, factor)),
    largest_scale: proven!(|scales| attention::largest_scale(scales)),
    powers: proven!(|scores, values, largest, lowered| attention::powers(scores, values, largest, lowered)),
    weighted_sum: proven!(|out, weights, values| attention::weighted_sum(out, weights, values)),
    #[cfg(feature = "std")]
    attend: None,
};
