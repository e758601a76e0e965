//! The scalar kernels over rows, compiled for AVX2, for which the compiler vectorizes them.

use crate::fixed::Scale;
use crate::kernels::scalar;
use crate::kernels::table::{NormRow, Requantize};

/// Compiles the scalar kernels for `$features`.
macro_rules! compiled {
    ($features:literal) => {
        #[target_feature(enable = $features)]
        pub(in crate::kernels::x86_64) fn requantize(
            accumulators: &mut [i32],
            multipliers: &[i32],
            biases: &[i32],
            by: &Requantize,
        ) {
            by.apply(accumulators, multipliers, biases);
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernels::x86_64) fn quantize16(out: &mut [i16], row: &[i32], bits: u32) -> Scale {
            scalar::rows::quantize16(out, row, bits)
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernels::x86_64) fn norm(row: &mut [i32], by: &NormRow<'_>) {
            by.apply(row);
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernels::x86_64) fn rotate(row: &mut [i32], angles: &[i16], head_dim: usize) {
            scalar::rotary::rotate(row, angles, head_dim);
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernels::x86_64) fn gate(values: &mut [i32], gates: &[i32], fraction_bits: u32) {
            scalar::gate(values, gates, fraction_bits);
        }
    };
}

#[cfg(any(test, feature = "std"))]
pub(in super::super) use compiled;

compiled!("avx2");

#[target_feature(enable = "avx2")]
pub(super) fn add(row: &mut [i32], other: &[i32]) {
    scalar::add(row, other);
}

#[target_feature(enable = "avx2")]
pub(super) fn quantize8(out: &mut [i8], row: &[i32]) -> Scale {
    scalar::rows::quantize8(out, row)
}
