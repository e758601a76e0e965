//! The reference kernels, written to be read. Every other set must return their bits.

pub(crate) mod products;
pub(crate) mod rotary;
pub(crate) mod rows;
pub(crate) mod softmax;

use products::tiles;
#[cfg(kinglet_dsp)]
pub(crate) use products::tiles_at_places;
pub(crate) use products::{COLUMNS, matmul, tokens};
#[cfg(any(kinglet_thumb2, target_arch = "riscv32"))]
pub(crate) use products::{widened, widened_in};
use rotary::rotate;
pub(crate) use rows::{add, gate};
use rows::{quantize8, quantize16, rectify};
#[cfg(kinglet_dsp)]
pub(crate) use softmax::weighted_sum_of_any;
use softmax::{largest_scale, powers, scale_scores, scores, weighted_sum};

use super::table::{Kernels, Products};

/// The reference set, which runs on every target.
pub(crate) static SCALAR: Kernels = Kernels {
    name: "scalar",
    products8: Products {
        rows: |out, x, weights, cols| matmul(out, x, weights, cols),
        tiles: |out, x, weights, cols| tiles(out, x, weights, cols),
        tiles_with_room: None,
        paired: None,
        wide_tiles: None,
        packed: None,
    },
    products16: Products {
        rows: |out, x, weights, cols| matmul(out, x, weights, cols),
        tiles: |out, x, weights, cols| tiles(out, x, weights, cols),
        tiles_with_room: None,
        paired: None,
        wide_tiles: None,
        packed: None,
    },
    requantize: |accumulators, multipliers, biases, by| by.apply(accumulators, multipliers, biases),
    add: |row, other| add(row, other),
    quantize8: |out, row| quantize8(out, row),
    quantize16: |out, row, bits| quantize16(out, row, bits),
    norm: |row, by| by.apply(row),
    rotate: |row, angles, head_dim| rotate(row, angles, head_dim),
    rectify,
    gate: |values, gates, fraction_bits| gate(values, gates, fraction_bits),
    scores8: |out, query, keys| scores(out, query, keys),
    scores16: |out, query, keys| scores(out, query, keys),
    scale_scores,
    largest_scale: |scales| largest_scale(scales),
    powers,
    weighted_sum,
    #[cfg(feature = "std")]
    attend: None,
};
