//! Plain arithmetic over rows of fixed-point values. No file here knows an instruction set or a
//! model.

pub(crate) mod activation;
pub(crate) mod embedding;
pub(crate) mod linear;
pub(crate) mod norm;
pub(crate) mod softmax;
