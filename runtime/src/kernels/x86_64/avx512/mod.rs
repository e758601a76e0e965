//! What AVX-512 does to rows of fixed-point values, and attention with its VNNI: parts of the sets
//! that `vnni` and `amx` hand out.

#[cfg(feature = "std")]
pub(super) mod few;
#[cfg(feature = "std")]
pub(super) mod many;
pub(super) mod rows;
