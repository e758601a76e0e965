//! Tokenizes splits with a model: WordLevel, WordPiece, BPE or Unigram.

use super::text::{Chars, OUT_OF_SCRATCH};
use crate::error::RunError;

mod bpe;
mod unigram;
mod word;

pub(crate) use bpe::{Bpe, Merges};
pub(crate) use unigram::Unigram;
pub(crate) use word::{WordLevel, WordPiece};

/// Receives each token: its id, and its range in the bytes of the split.
pub(crate) type Emit<'e> = &'e mut dyn FnMut(u32, core::ops::Range<usize>);

/// Writes the UTF-8 of `chars` to scratch memory after `offset` bytes, and splits off the rest of
/// the memory.
fn utf8<'a>(chars: Chars<'_>, offset: usize, memory: &'a mut [u32]) -> Result<(&'a mut [u8], &'a mut [u32]), RunError> {
    let len = offset + chars.len_utf8();
    let (words, rest) = take(memory, len.div_ceil(4))?;
    let bytes: &mut [u8] = bytemuck::try_cast_slice_mut(words).unwrap_or(&mut []);
    let bytes = bytes.get_mut(..len).unwrap_or(&mut []);
    let mut to = bytes.iter_mut().skip(offset);
    for c in chars.iter() {
        to.by_ref().zip(c.utf8()).take(c.len_utf8()).for_each(|(to, from)| *to = from);
    }
    Ok((bytes, rest))
}

/// Splits `words` words off scratch memory.
fn take(memory: &mut [u32], words: usize) -> Result<(&mut [u32], &mut [u32]), RunError> {
    memory.split_at_mut_checked(words).ok_or(OUT_OF_SCRATCH)
}
