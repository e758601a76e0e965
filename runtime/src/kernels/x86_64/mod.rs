//! x86-64: chosen when the program runs, by what the processor has.

mod attention;
pub(crate) mod avx2;
mod rows;
mod tiles;
#[cfg(any(test, feature = "std"))]
pub(crate) mod vnni;
