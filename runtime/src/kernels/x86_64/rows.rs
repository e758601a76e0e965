//! The definitions of what is done to rows of fixed-point values, compiled for AVX2 and for AVX-512: the compiler makes vectors of them
//! by itself.
#![allow(unsafe_code)]

#[cfg(any(test, feature = "std"))]
pub(super) mod avx512;

/// Defines them for some features.
macro_rules! rows {
    ($features:literal) => {
        use super::super::super::scalar;
        use crate::fixed::Scale;
        use crate::kernels::table::{NormRow, Requantize};

        #[target_feature(enable = $features)]
        pub(in super::super) fn requantize(
            accumulators: &mut [i32],
            multipliers: &[i32],
            biases: &[i32],
            by: &Requantize,
        ) {
            by.apply(accumulators, multipliers, biases);
        }

        #[target_feature(enable = $features)]
        pub(in super::super) fn quantize16(out: &mut [i16], row: &[i32], bits: u32) -> Scale {
            crate::kernels::scalar::rows::quantize16(out, row, bits)
        }

        #[target_feature(enable = $features)]
        pub(in super::super) fn norm(row: &mut [i32], by: &NormRow<'_>) {
            by.apply(row);
        }

        #[target_feature(enable = $features)]
        pub(in super::super) fn rotate(row: &mut [i32], angles: &[i16], head_dim: usize) {
            crate::kernels::scalar::rotary::rotate(row, angles, head_dim);
        }

        #[target_feature(enable = $features)]
        pub(in super::super) fn gate(values: &mut [i32], gates: &[i32], fraction_bits: u32) {
            scalar::gate(values, gates, fraction_bits);
        }
    };
}

pub(super) mod narrow {
    rows!("avx2");

    #[target_feature(enable = "avx2")]
    pub(in super::super) fn add(row: &mut [i32], other: &[i32]) {
        scalar::add(row, other);
    }

    #[target_feature(enable = "avx2")]
    pub(in super::super) fn quantize8(out: &mut [i8], row: &[i32]) -> Scale {
        crate::kernels::scalar::rows::quantize8(out, row)
    }
}

#[cfg(any(test, feature = "std"))]
pub(super) mod wide {
    rows!("avx512f,avx512bw,avx512dq,avx512vl");
}
