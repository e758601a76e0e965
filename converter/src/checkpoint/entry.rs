//! Where a checkpoint's tensors lie in its files.

use safetensors::Dtype;

/// Where a tensor lies.
#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    /// The place of its file in the list of files.
    pub(super) file: usize,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// Its first byte in the file.
    pub(super) start: usize,
    /// Elements from one index of a dimension to the next, where the tensor does not lie in
    /// row-major order.
    pub(super) strides: Option<Vec<usize>>,
}
