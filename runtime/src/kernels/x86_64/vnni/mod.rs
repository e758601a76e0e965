//! AVX-512 VNNI and AVX-VNNI: products with the instructions that multiply and add in one, bytes by fours, sixteen-bit values by twos.
//!
//! Built only with `std`, because detection needs it.
#![allow(unsafe_code)]

mod packed;
pub(super) mod panel;
mod single;
mod single_wide;
mod wide;

use super::avx2::AVX2;
use super::avx512::rows;
#[cfg(feature = "std")]
use super::avx512::{few, many};
use crate::kernels::table::Kernels;

/// The sets of AVX-512 and without it, on a processor that has them.
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

/// Handed out by [`kernels`] alone, and part of what `amx` hands out: whoever holds it runs on a processor with AVX-512 VNNI.
pub(super) static AVX512_VNNI: Kernels = Kernels {
    name: "avx512vnni",
    // SAFETY: the features were detected before this table was handed out.
    tiles8: |out, x, weights, cols| unsafe { panel::avx512::tiles8(out, x, weights, cols) },
    // SAFETY: as above.
    tiles16: |out, x, weights, cols| unsafe { panel::avx512::tiles16(out, x, weights, cols) },
    // SAFETY: as above.
    wide_tiles8: Some(|out, x, weights, cols| unsafe { wide::tiles8(out, x, weights, cols) }),
    // SAFETY: as above.
    wide_tiles16: Some(|out, x, weights, cols| unsafe { wide::tiles16(out, x, weights, cols) }),
    // SAFETY: as above.
    packed16: Some(|out, x, weights, cols| unsafe { packed::avx512::product(out, x, weights, cols) }),
    #[cfg(feature = "std")]
    // SAFETY: as above.
    attend: Some(|head, queries| unsafe { few::attend(head, queries) || many::attend(head, queries) }),
    // SAFETY: as above.
    requantize: |accumulators, multipliers, biases, by| unsafe {
        rows::requantize(accumulators, multipliers, biases, by)
    },
    // SAFETY: as above.
    add: |row, other| unsafe { rows::add(row, other) },
    // SAFETY: as above.
    quantize8: |out, row| unsafe { rows::quantize8(out, row) },
    // SAFETY: as above.
    quantize16: |out, row, bits| unsafe { rows::compiled::quantize16(out, row, bits) },
    // SAFETY: as above.
    norm: |row, by| unsafe { rows::compiled::norm(row, by) },
    // SAFETY: as above.
    rotate: |row, angles, head_dim| unsafe { rows::rotate(row, angles, head_dim) },
    // SAFETY: as above.
    rectify: |values, table| unsafe { rows::rectify(values, table) },
    // SAFETY: as above.
    gate: |values, gates, fraction_bits| unsafe { rows::compiled::gate(values, gates, fraction_bits) },
    ..AVX2
};

/// The same for processors with AVX-VNNI.
static AVX_VNNI: Kernels = Kernels {
    name: "avxvnni",
    // SAFETY: the features were detected before this table was handed out.
    tiles8: |out, x, weights, cols| unsafe { panel::avx::tiles8(out, x, weights, cols) },
    // SAFETY: as above.
    tiles16: |out, x, weights, cols| unsafe { panel::avx::tiles16(out, x, weights, cols) },
    // SAFETY: as above.
    wide_tiles8: Some(|out, x, weights, cols| unsafe { panel::avx::wide_tiles8(out, x, weights, cols) }),
    // SAFETY: as above.
    wide_tiles16: Some(|out, x, weights, cols| unsafe { panel::avx::wide_tiles16(out, x, weights, cols) }),
    // SAFETY: as above.
    packed16: Some(|out, x, weights, cols| unsafe { packed::avx::product(out, x, weights, cols) }),
    ..AVX2
};

/// The same code over AVX2, whose instructions make up what it lacks: for tests on a processor without.
#[cfg(test)]
pub(crate) fn emulated() -> Option<&'static Kernels> {
    static EMULATED: Kernels = Kernels {
        name: "vnni, emulated",
        // SAFETY: AVX2 was detected before this table was handed out.
        tiles8: |out, x, weights, cols| unsafe { panel::emulated::tiles8(out, x, weights, cols) },
        // SAFETY: as above.
        tiles16: |out, x, weights, cols| unsafe { panel::emulated::tiles16(out, x, weights, cols) },
        // SAFETY: as above.
        wide_tiles8: Some(|out, x, weights, cols| unsafe { panel::emulated::wide_tiles8(out, x, weights, cols) }),
        // SAFETY: as above.
        wide_tiles16: Some(|out, x, weights, cols| unsafe { panel::emulated::wide_tiles16(out, x, weights, cols) }),
        ..AVX2
    };
    super::avx2::kernels().map(|_| &EMULATED)
}
