//! Kernels for 64-bit Arm. Every such processor has NEON. Dot products are detected at run time
//! with the feature `std`, and taken from the target's features without it.

mod attention;
mod dotprod;
mod neon;
mod vectors;

use super::table::Sets;

/// The sets of this processor, the fastest first.
pub(crate) fn kernels() -> Sets {
    [dotprod::kernels(), Some(&neon::NEON), None, None]
}
