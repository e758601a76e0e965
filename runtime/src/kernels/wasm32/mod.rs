//! Kernels for WebAssembly. A module either uses vectors or not, so the set is chosen at build time.

pub(crate) mod simd128;
