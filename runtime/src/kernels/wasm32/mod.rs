//! Kernels for WebAssembly. A module either uses vectors or not: the set is chosen at build time.

pub(crate) mod simd128;
