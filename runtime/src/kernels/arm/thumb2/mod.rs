//! Kernels for Cortex-M3, and for other cores of Armv7-M and Armv8-M Mainline without the DSP
//! extension: one product per instruction.
#![allow(unsafe_code)]

mod activation;
mod attention;
mod packed;
mod rows;
mod softmax;
mod tiles;

use crate::features;
use crate::kernels::scalar;
use crate::kernels::table::{Kernels, Products};

/// The kernel set for Armv7-M and Armv8-M Mainline without the DSP extension.
pub(crate) static THUMB2: Kernels = Kernels {
    name: "arm-thumb2",
    products8: Products {
        tiles: tiles::tiles8,
        tiles_with_room: Some(tiles::tiles8_with_room),
        packed: if features::PACKED_WEIGHTS { Some(packed::packed) } else { None },
        ..scalar::SCALAR.products8
    },
    products16: Products {
        tiles: tiles::tiles16,
        packed: if features::PACKED_WEIGHTS { Some(packed::packed) } else { None },
        ..scalar::SCALAR.products16
    },
    requantize: rows::requantize,
    quantize16: rows::quantize16,
    norm: rows::norm,
    rotate: rows::rotate,
    rectify: activation::rectify,
    scores8: attention::scores8,
    scores16: attention::scores16,
    powers: softmax::powers,
    weighted_sum: attention::weighted_sum,
    ..scalar::SCALAR
};
