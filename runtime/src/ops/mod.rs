//! Computes layers on rows of fixed-point values, independently of instruction sets and models.

pub(crate) mod activation;
pub(crate) mod depthwise;
pub(crate) mod embedding;
pub(crate) mod linear;
pub(crate) mod norm;
pub(crate) mod softmax;
