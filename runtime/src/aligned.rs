//! Allocates bytes at the alignment that blobs and arenas need.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::{Deref, DerefMut, Range};

use crate::format::layout::ALIGNMENT;

/// A heap buffer of fixed length that begins at a 16-byte boundary.
///
/// ```
/// let arena = kinglet::AlignedVec::zeroed(100);
/// assert_eq!(arena.as_ptr().addr() % 16, 0);
/// assert_eq!(kinglet::AlignedVec::from(&b"KNGL"[..]).len(), 4);
/// ```
#[derive(Debug)]
pub struct AlignedVec {
    bytes: Vec<u8>,
    aligned: Range<usize>,
}

impl AlignedVec {
    /// A buffer of `len` zeros.
    pub fn zeroed(len: usize) -> Self {
        let bytes = vec![0; len + ALIGNMENT - 1];
        // The allocation never moves, because it is never resized.
        let start = bytes.as_ptr().addr().wrapping_neg() % ALIGNMENT;
        Self { bytes, aligned: start..start + len }
    }
}

impl From<&[u8]> for AlignedVec {
    fn from(bytes: &[u8]) -> Self {
        let mut aligned = Self::zeroed(bytes.len());
        aligned.copy_from_slice(bytes);
        aligned
    }
}

impl Deref for AlignedVec {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.aligned.clone()]
    }
}

impl DerefMut for AlignedVec {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.aligned.clone()]
    }
}
