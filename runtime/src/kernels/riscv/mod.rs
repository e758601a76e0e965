//! Kernels for RISC-V with integer multiplication (RV32IM): one product per instruction, and
//! registers for two tiles.
#![allow(unsafe_code)]

#[macro_use]
mod text;

mod activation;
mod attention;
mod packed;
mod rows;
mod tiles;

use super::scalar;
use super::table::{Kernels, Products};
use crate::features;

/// The kernel set for RV32IM.
pub(crate) static RISCV: Kernels = Kernels {
    name: "riscv-m",
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
    rectify: activation::rectify,
    scores8: attention::scores8,
    scores16: attention::scores16,
    weighted_sum: attention::weighted_sum,
    ..scalar::SCALAR
};
