//! x86-64: chosen when the program runs, by what the processor has.

mod attention;
mod avx2;
mod rows;
#[cfg(any(test, feature = "std"))]
mod single;
mod tiles;
#[cfg(any(test, feature = "std"))]
pub(crate) mod vnni;

use super::Kernels;

/// The sets of this processor, the fastest first.
pub(crate) fn kernels() -> [Option<&'static Kernels>; 2] {
    #[cfg(any(test, feature = "std"))]
    let vnni = vnni::kernels();
    #[cfg(not(any(test, feature = "std")))]
    let vnni = None;
    [vnni, avx2::kernels()]
}
