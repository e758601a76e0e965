//! Kernels for the vector extension of Cortex-M55 and M85 (MVE, Helium): sixteen products of bytes,
//! or eight of 16-bit values, per instruction.
//!
//! Matrices may be row-major (`--target m55`), which takes a few percent fewer instructions, or
//! tiled. 16-bit activations are multiplied as two bytes if that takes fewer instructions. Loops
//! are tail-predicated, so that no length is a special case.
#![allow(unsafe_code)]

mod activation;
mod attention;
mod matmul;
#[macro_use]
mod order;
mod packed;
mod products;
mod rows;
mod softmax;
mod tiles;

use super::dsp::DSP;
use crate::features;
use crate::kernels::table::{Kernels, Products};

/// The kernel set for MVE. The feature `mve` promises that the core has it.
pub(crate) static MVE: Kernels = Kernels {
    name: "arm-mve",
    products8: Products { rows: matmul::matmul8, tiles: tiles::tiles8, tiles_with_room: None, ..DSP.products8 },
    products16: Products {
        rows: matmul::matmul16,
        tiles: tiles::tiles16,
        tiles_with_room: None,
        packed: if features::PACKED_WEIGHTS { Some(packed::packed16) } else { None },
        ..DSP.products16
    },
    requantize: rows::requantize,
    add: rows::add,
    quantize8: rows::quantize8,
    quantize16: rows::quantize16,
    norm: rows::norm,
    rotate: rows::rotate,
    rectify: activation::rectify,
    gate: activation::gate,
    scores8: attention::scores8,
    scores16: attention::scores16,
    scale_scores: softmax::scale_scores,
    largest_scale: softmax::largest_scale,
    powers: softmax::powers,
    weighted_sum: attention::weighted_sum,
};
