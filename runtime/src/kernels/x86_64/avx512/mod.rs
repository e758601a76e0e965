//! Kernels with AVX-512 for rows of fixed-point values, and with VNNI for attention. They are in
//! the sets of `vnni` and `amx`.

#[cfg(feature = "std")]
pub(super) mod few;
#[cfg(feature = "std")]
pub(super) mod many;
pub(super) mod rows;
