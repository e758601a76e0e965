//! WebAssembly: a module has vectors or it has not, so the set is chosen when it is built.

pub(crate) mod simd128;
