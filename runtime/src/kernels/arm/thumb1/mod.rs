//! Kernels for Cortex-M0 and M0+: eight low registers, loads of signed bytes only with a register
//! offset, no multiply-accumulate.
#![allow(unsafe_code)]

#[macro_use]
mod text;

mod activation;
mod attention;
mod packed;
mod rows;
mod softmax;
mod tiles;
mod widened;

use crate::features;
use crate::kernels::scalar;
use crate::kernels::table::{Kernels, Products};

/// The kernel set for Armv6-M and Armv8-M Baseline.
pub(crate) static THUMB1: Kernels = Kernels {
    name: "arm-thumb1",
    products8: Products {
        tiles: tiles::tiles8,
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
    gate: activation::gate,
    scores8: attention::scores8,
    scores16: attention::scores16,
    powers: softmax::powers,
    weighted_sum: attention::weighted_sum,
    ..scalar::SCALAR
};
