//! AVX2: sixteen products of 16-bit values to an instruction.
//!
//! Int8 weights are widened to 16 bits and multiplied with `VPMADDWD`, which is exact. `VPMADDUBSW` would take bytes
//! as they are, but it saturates at 2 * 127 * 255 and so differs from the scalar definition.
#![allow(unsafe_code)]

mod attention;
mod matmul;
pub(super) mod packed;
pub(super) mod rows;
mod tiles;

use crate::kernels::table::Kernels;

cpufeatures::new!(detected, "avx2");

/// The set, on a processor that has it.
pub(crate) fn kernels() -> Option<&'static Kernels> {
    detected::get().then_some(&AVX2)
}

/// Handed out by [`kernels`] alone, and part of what `vnni` hands out: whoever holds it runs on a processor with AVX2.
pub(super) static AVX2: Kernels = Kernels {
    name: "avx2",
    // SAFETY: AVX2 was detected before this table was handed out.
    matmul8: |out, x, weights, cols| unsafe { matmul::matmul8(out, x, weights, cols) },
    // SAFETY: as above.
    matmul16: |out, x, weights, cols| unsafe { matmul::matmul16(out, x, weights, cols) },
    // SAFETY: as above.
    tiles8: |out, x, weights, cols| unsafe { tiles::tiles8(out, x, weights, cols) },
    // SAFETY: as above.
    tiles16: |out, x, weights, cols| unsafe { tiles::tiles16(out, x, weights, cols) },
    // SAFETY: as above.
    packed16: Some(|out, x, weights, cols| unsafe { packed::product(out, x, weights, cols) }),
    paired8: None,
    paired16: None,
    // SAFETY: as above.
    wide_tiles8: Some(|out, x, weights, cols| unsafe { tiles::wide_tiles8(out, x, weights, cols) }),
    // SAFETY: as above.
    wide_tiles16: Some(|out, x, weights, cols| unsafe { tiles::wide_tiles16(out, x, weights, cols) }),
    // SAFETY: as above.
    requantize: |accumulators, multipliers, biases, by| unsafe {
        rows::requantize(accumulators, multipliers, biases, by)
    },
    // SAFETY: as above.
    add: |row, other| unsafe { rows::add(row, other) },
    // SAFETY: as above.
    quantize8: |out, row| unsafe { rows::quantize8(out, row) },
    // SAFETY: as above.
    quantize16: |out, row, bits| unsafe { rows::quantize16(out, row, bits) },
    // SAFETY: as above.
    norm: |row, by| unsafe { rows::norm(row, by) },
    // SAFETY: as above.
    rotate: |row, angles, head_dim| unsafe { rows::rotate(row, angles, head_dim) },
    // SAFETY: as above.
    rectify: |values, table| unsafe { attention::rectify(values, table) },
    // SAFETY: as above.
    gate: |values, gates, fraction_bits| unsafe { rows::gate(values, gates, fraction_bits) },
    // SAFETY: as above.
    scores8: |out, query, keys| unsafe { attention::scores8(out, query, keys) },
    // SAFETY: as above.
    scores16: |out, query, keys| unsafe { attention::scores16(out, query, keys) },
    // SAFETY: as above.
    scale_scores: |scores, keys, factor| unsafe { attention::scale_scores(scores, keys, factor) },
    // SAFETY: as above.
    powers: |scores, values, largest, lowered| unsafe { attention::powers(scores, values, largest, lowered) },
    // SAFETY: as above.
    weighted_sum: |out, weights, values| unsafe { attention::weighted_sum(out, weights, values) },
    #[cfg(feature = "std")]
    attend: None,
};
