//! Locates a checkpoint's tensors in its files.

use safetensors::Dtype;

/// The type, shape and location of a tensor.
#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    /// The index of its file in `Tensors::files`.
    pub(super) file: usize,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// The offset of its first byte in the file.
    pub(super) start: usize,
    /// The distance in elements between neighbours of each dimension; `None` for row-major order.
    pub(super) strides: Option<Vec<usize>>,
}
