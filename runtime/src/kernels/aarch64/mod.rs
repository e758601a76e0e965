//! 64-bit Arm. Every such processor has vectors; whether it has an instruction for products of
//! bytes is found out when the program runs, where there is a standard library to ask, and is what
//! the target says elsewhere.

mod attention;
mod dotprod;
mod neon;
mod vectors;

use super::table::Sets;

/// The sets of this processor, the fastest first.
pub(crate) fn kernels() -> Sets {
    [dotprod::kernels(), Some(&neon::NEON), None, None]
}
