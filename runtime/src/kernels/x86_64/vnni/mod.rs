//! Kernels for AVX-512 VNNI and AVX-VNNI: dot products of four bytes, or of two 16-bit values, per
//! lane and instruction.
//!
//! Built only with `std`, because detection needs it.
#![allow(unsafe_code)]

mod packed;
pub(super) mod panel;
mod single;
mod single_wide;
pub(super) mod wide;

use super::avx2::AVX2;
use super::avx512::rows;
#[cfg(feature = "std")]
use super::avx512::{few, many};
use crate::kernels::table::{Kernels, Products};

/// The sets with AVX-512 and without it, if the processor supports them.
pub(crate) fn kernels() -> [Option<&'static Kernels>; 2] {
    let avx2 = std::arch::is_x86_feature_detected!("avx2");
    let wide = avx2
        && std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512cd")
        && std::arch::is_x86_feature_detected!("avx512dq")
        && std::arch::is_x86_feature_detected!("avx512vl")
        && std::arch::is_x86_feature_detected!("avx512vnni");
    let narrow = avx2 && std::arch::is_x86_feature_detected!("avxvnni");
    [wide.then_some(&AVX512_VNNI), narrow.then_some(&AVX_VNNI)]
}

/// Handed out only by [`kernels`], and used in the table of `amx`, so that every holder runs on a
/// processor with AVX-512 VNNI.
pub(super) static AVX512_VNNI: Kernels = Kernels {
    name: "avx512vnni",
    products8: Products {
        tiles: proven!(|out, x, weights, cols| panel::avx512::tiles8(out, x, weights, cols)),
        wide_tiles: Some(proven!(|out, x, weights, cols| {
            wide::tiles8(out, x, weights.bytes, cols);
            true
        })),
        ..AVX2.products8
    },
    products16: Products {
        tiles: proven!(|out, x, weights, cols| panel::avx512::tiles16(out, x, weights, cols)),
        wide_tiles: Some(proven!(|out, x, weights, cols| {
            wide::tiles16(out, x, weights.bytes, cols);
            true
        })),
        packed: Some(proven!(|out, x, weights, cols| packed::avx512::product(out, x, weights, cols))),
        ..AVX2.products16
    },
    #[cfg(feature = "std")]
    attend: Some(proven!(|head, queries| few::attend(head, queries) || many::attend(head, queries))),
    requantize: proven!(|accumulators, multipliers, biases, by| rows::requantize(
        accumulators,
        multipliers,
        biases,
        by
    )),
    add: proven!(|row, other| rows::add(row, other)),
    quantize8: proven!(|out, row| rows::quantize8(out, row)),
    quantize16: proven!(|out, row, bits| rows::compiled::quantize16(out, row, bits)),
    norm: proven!(|row, by| rows::compiled::norm(row, by)),
    rotate: proven!(|row, angles, head_dim| rows::rotate(row, angles, head_dim)),
    rectify: proven!(|values, table| rows::rectify(values, table)),
    gate: proven!(|values, gates, fraction_bits| rows::compiled::gate(values, gates, fraction_bits)),
    ..AVX2
};

/// The set for processors with AVX-VNNI.
static AVX_VNNI: Kernels = Kernels {
    name: "avxvnni",
    products8: Products {
        tiles: proven!(|out, x, weights, cols| panel::avx::tiles8(out, x, weights, cols)),
        wide_tiles: Some(proven!(|out, x, weights, cols| {
            panel::avx::wide_tiles8(out, x, weights.bytes, cols);
            true
        })),
        ..AVX2.products8
    },
    products16: Products {
        tiles: proven!(|out, x, weights, cols| panel::avx::tiles16(out, x, weights, cols)),
        wide_tiles: Some(proven!(|out, x, weights, cols| {
            panel::avx::wide_tiles16(out, x, weights.bytes, cols);
            true
        })),
        packed: Some(proven!(|out, x, weights, cols| packed::avx::product(out, x, weights, cols))),
        ..AVX2.products16
    },
    ..AVX2
};

/// The set with VNNI emulated by AVX2, for tests on a processor without VNNI.
#[cfg(test)]
pub(crate) fn emulated() -> Option<&'static Kernels> {
    static EMULATED: Kernels = Kernels {
        name: "vnni, emulated",
        products8: Products {
            tiles: proven!(|out, x, weights, cols| panel::emulated::tiles8(out, x, weights, cols)),
            wide_tiles: Some(proven!(|out, x, weights, cols| {
                panel::emulated::wide_tiles8(out, x, weights.bytes, cols);
                true
            })),
            ..AVX2.products8
        },
        products16: Products {
            tiles: proven!(|out, x, weights, cols| panel::emulated::tiles16(out, x, weights, cols)),
            wide_tiles: Some(proven!(|out, x, weights, cols| {
                panel::emulated::wide_tiles16(out, x, weights.bytes, cols);
                true
            })),
            ..AVX2.products16
        },
        ..AVX2
    };
    super::avx2::kernels().map(|_| &EMULATED)
}
