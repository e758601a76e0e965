//! Kernels for x86-64, selected at run time by the processor's features.

#[cfg(feature = "std")]
mod amx;
mod avx2;
#[cfg(any(test, feature = "std"))]
mod avx512;
mod vectors;
#[cfg(any(test, feature = "std"))]
pub(crate) mod vnni;

use super::table::Sets;

/// The sets of this processor, the fastest first.
pub(crate) fn kernels() -> Sets {
    #[cfg(feature = "std")]
    let amx = amx::kernels();
    #[cfg(not(feature = "std"))]
    let amx = None;
    #[cfg(any(test, feature = "std"))]
    let [wide, narrow] = vnni::kernels();
    #[cfg(not(any(test, feature = "std")))]
    let [wide, narrow] = [None; 2];
    [amx, wide, narrow, avx2::kernels()]
}
