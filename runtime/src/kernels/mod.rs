//! Implements the inner loops, and selects their implementation: a table of functions for each
//! instruction set.
//!
//! `scalar` holds the reference kernels. Every set returns their bits: tests compare each set that
//! the machine supports with them.

/// A closure that calls a function with target features that the processor is known to have.
///
/// Used in the tables of sets and in functions that only their entries call. A table is private to
/// its set, which hands it out only after detecting its instructions, or is compiled only for
/// targets that guarantee them.
#[cfg(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon")))]
macro_rules! proven {
    (|$($argument:ident),*| $call:expr) => {
        |$($argument),*| {
            // SAFETY: the caller has the set's table, so the processor has its
            // instructions.
            unsafe { $call }
        }
    };
}

#[cfg(any(kinglet_thumb1, kinglet_thumb2, all(target_arch = "riscv32", target_feature = "m")))]
#[macro_use]
mod text;

#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
mod aarch64;
#[cfg(any(kinglet_thumb1, kinglet_thumb2))]
mod arm;
pub(crate) mod attend;
#[cfg(all(test, feature = "std"))]
mod exhaustive;
mod packed;
mod paired;
mod products;
mod restored;
#[cfg(all(target_arch = "riscv32", target_feature = "m"))]
mod riscv;
pub(crate) mod scalar;
pub(crate) mod table;
#[cfg(test)]
mod tests;
#[cfg(any(
    all(target_arch = "aarch64", target_feature = "neon"),
    all(target_arch = "wasm32", target_feature = "simd128")
))]
mod tiles;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm32;
mod wide_tiles;
#[cfg(any(kinglet_thumb1, all(kinglet_thumb2, not(kinglet_dsp)), all(target_arch = "riscv32", target_feature = "m")))]
mod words;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(any(feature = "bench", all(test, feature = "std")))]
pub(crate) use scalar::SCALAR;
use table::Sets;
pub(crate) use table::{Kernels, Weights};

impl Kernels {
    /// Every set that this machine supports, the fastest first.
    pub(crate) fn available() -> impl Iterator<Item = &'static Self> {
        Self::faster().into_iter().flatten().chain([&scalar::SCALAR])
    }

    /// The fastest set that this machine supports. `SCALAR` is not linked if the target guarantees
    /// another one.
    pub(crate) fn best() -> &'static Self {
        let [a, b, c, d] = Self::faster();
        a.or(b).or(c).or(d).unwrap_or(&scalar::SCALAR)
    }

    /// The supported sets other than `scalar`, the fastest first.
    #[inline(always)]
    fn faster() -> Sets {
        #[cfg(target_arch = "x86_64")]
        return x86_64::kernels();
        #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
        return aarch64::kernels();
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        return [Some(&wasm32::simd128::SIMD128), None, None, None];
        #[cfg(all(target_arch = "riscv32", target_feature = "m"))]
        return [Some(&riscv::RISCV), None, None, None];
        #[cfg(any(kinglet_thumb1, kinglet_thumb2))]
        return [Some(arm::KERNELS), None, None, None];
        #[cfg(not(any(
            target_arch = "x86_64",
            all(target_arch = "aarch64", target_feature = "neon"),
            all(target_arch = "wasm32", target_feature = "simd128"),
            all(target_arch = "riscv32", target_feature = "m"),
            kinglet_thumb1,
            kinglet_thumb2,
        )))]
        [None; 4]
    }
}
