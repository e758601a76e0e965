//! Kernels for the DSP extension of Cortex-M4, M7 and M33: two products of 16-bit values per
//! instruction.
//!
//! The compiler does not generate `SMLAD` from loops, so these loops are written by hand.
#![allow(unsafe_code)]

mod activation;
mod attention;
mod packed;
mod paired;
mod quantize;
mod rows;
mod softmax;
mod tiles;

use crate::features;
use crate::kernels::scalar;
use crate::kernels::table::{Kernels, Products};

/// The kernel set for the DSP extension.
pub(crate) static DSP: Kernels = Kernels {
    name: "arm-dsp",
    products8: Products {
        tiles: tiles::tiles8,
        tiles_with_room: Some(tiles::tiles8_with_room),
        paired: if features::PAIRED_WEIGHTS { Some(paired::paired8) } else { None },
        ..scalar::SCALAR.products8
    },
    products16: Products {
        tiles: tiles::tiles16,
        tiles_with_room: Some(tiles::tiles16_with_room),
        paired: if features::PAIRED_WEIGHTS { Some(paired::paired16) } else { None },
        packed: if features::PACKED_WEIGHTS { Some(packed::packed16) } else { None },
        ..scalar::SCALAR.products16
    },
    requantize: rows::requantize,
    add: rows::add,
    quantize8: quantize::quantize8,
    quantize16: quantize::quantize16,
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
