//! Abstracts the buffer of a text that grows token by token.

use heapless::LenType;
use heapless::vec::{VecInner, VecStorage};

use crate::error::RunError;

/// The token ids of a text in a buffer of fixed capacity: a [`TokenSlice`], or a `Vec` or `VecView`
/// of [`heapless`].
pub trait TokenBuffer {
    /// The tokens of the text.
    fn tokens(&self) -> &[u32];

    /// The tokens of the text, mutable.
    fn tokens_mut(&mut self) -> &mut [u32];

    /// The capacity in tokens, including the tokens of the text.
    fn capacity(&self) -> usize;

    /// Appends a token and returns `true`, or returns `false` if the buffer is full.
    fn push(&mut self, token: u32) -> bool;

    /// Removes the tokens from index `len` on.
    fn truncate(&mut self, len: usize);
}

impl<LenT: LenType, S: VecStorage<u32> + ?Sized> TokenBuffer for VecInner<u32, LenT, S> {
    fn tokens(&self) -> &[u32] {
        self.as_slice()
    }

    fn tokens_mut(&mut self) -> &mut [u32] {
        self.as_mut_slice()
    }

    fn capacity(&self) -> usize {
        self.capacity()
    }

    fn push(&mut self, token: u32) -> bool {
        self.push(token).is_ok()
    }

    fn truncate(&mut self, len: usize) {
        self.truncate(len);
    }
}

/// A [`TokenBuffer`] in a slice: the first elements are the tokens of the text, the rest is free.
///
/// ```
/// use kinglet::task::{TokenBuffer, TokenSlice};
///
/// let mut memory = [1, 2, 0];
/// let mut text = TokenSlice::new(&mut memory, 2)?;
/// assert!(text.push(7));
/// assert!(!text.push(8), "it is full");
/// assert_eq!(text.tokens(), [1, 2, 7]);
/// # Ok::<(), kinglet::RunError>(())
/// ```
#[derive(Debug)]
pub struct TokenSlice<'b> {
    buffer: &'b mut [u32],
    len: usize,
}

impl<'b> TokenSlice<'b> {
    /// A text of the first `len` elements.
    ///
    /// # Errors
    /// [`RunError::TooManyTokens`] when the slice is shorter than `len`.
    pub fn new(buffer: &'b mut [u32], len: usize) -> Result<Self, RunError> {
        match buffer.len() {
            limit if limit < len => Err(RunError::TooManyTokens { limit, given: len }),
            _ => Ok(Self { buffer, len }),
        }
    }
}

impl TokenBuffer for TokenSlice<'_> {
    fn tokens(&self) -> &[u32] {
        self.buffer.get(..self.len).unwrap_or(&[])
    }

    fn tokens_mut(&mut self) -> &mut [u32] {
        self.buffer.get_mut(..self.len).unwrap_or(&mut [])
    }

    fn capacity(&self) -> usize {
        self.buffer.len()
    }

    fn push(&mut self, token: u32) -> bool {
        let Some(place) = self.buffer.get_mut(self.len) else { return false };
        *place = token;
        self.len += 1;
        true
    }

    fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}
