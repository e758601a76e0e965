//! Products of tokens and weights, layout by layout.

#[cfg(any(test, feature = "std"))]
pub(super) mod single;
pub(super) mod single_packed;
#[cfg(any(test, feature = "std"))]
pub(super) mod single_wide;
pub(super) mod tiles;
#[cfg(any(test, feature = "std"))]
pub(super) mod wide_tiles;
