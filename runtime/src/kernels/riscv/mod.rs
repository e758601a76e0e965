//! RISC-V with integer multiplication (RV32IM): one product to an instruction, and registers for
//! two tiles.
#![allow(unsafe_code)]

#[macro_use]
mod text;

mod activation;
mod attention;
mod packed;
mod rows;
mod tiles;

use super::scalar;
use super::table::Kernels;
use crate::features;

/// The set for this target.
pub(crate) static RISCV: Kernels = Kernels {
    name: "riscv-m",
    tiles8: tiles::tiles8,
    tiles16: tiles::tiles16,
    packed16: if features::PACKED_WEIGHTS { Some(packed::packed16) } else { None },
    requantize: rows::requantize,
    rectify: activation::rectify,
    scores8: attention::scores8,
    scores16: attention::scores16,
    weighted_sum: attention::weighted_sum,
    ..scalar::SCALAR
};
