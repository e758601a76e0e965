//! A prefix: what a decoder has read of a text that always comes first, to be read in flash.
//!
//! A header of [`WORDS`] little-endian words, then the state that the head reads after the last
//! token, the tokens, and for each layer keys and values as a cache holds them, for as many tokens
//! as fill whole units of the alignment. Every part begins at a 16-byte boundary. A CRC-32 of all
//! before it ends the prefix.

use core::ops::Range;

use super::blob::FORMAT_VERSION;
use super::layout::ALIGNMENT;
use super::memory::layer_cache_bytes;
use super::spec::{KeyWidth, ModelSpec, StackSpec};

/// `KPFX`, as a little-endian word.
pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"KPFX");
/// The version of the layout, and that of the blobs whose arithmetic made the numbers.
pub(crate) const VERSION: u32 = 1 | (FORMAT_VERSION as u32) << 16;
/// Words of the header: the magic, the version, the blob's checksum, the bytes of the prefix, its
/// tokens, whether the head has a state to read, a zero, and the width of that state.
pub(crate) const WORDS: usize = 8;
/// Bytes of the checksum at the end.
pub(crate) const CHECKSUM: usize = 4;

/// The header of what may be a prefix.
pub(crate) const fn header(bytes: &[u8]) -> Option<[u32; WORDS]> {
    let Some(first) = bytes.as_chunks::<4>().0.first_chunk::<WORDS>() else { return None };
    let mut words = [0; WORDS];
    let mut word = 0;
    while word < WORDS {
        words[word] = u32::from_le_bytes(first[word]);
        word += 1;
    }
    if words[0] == MAGIC && words[1] == VERSION { Some(words) } else { None }
}

/// The tokens of a prefix, as its header says them; none where the bytes do not begin as a prefix
/// does.
pub(crate) const fn tokens(bytes: &[u8]) -> Option<usize> {
    match header(bytes) {
        Some([_, _, _, _, tokens, ..]) => Some(tokens as usize),
        None => None,
    }
}

/// Slots that each head of a layer has for `tokens` tokens.
pub(crate) const fn slots(tokens: usize) -> usize {
    tokens.next_multiple_of(ALIGNMENT)
}

/// Where the parts of a prefix lie.
pub(crate) struct Places {
    /// The tokens' ids.
    pub(crate) ids: Range<usize>,
    /// Bytes of a layer; the first one begins where the ids and their padding end.
    layer: usize,
}

impl Places {
    /// The places for `tokens` tokens, which a decoder has positions for.
    pub(crate) fn new(stack: &StackSpec, keys: KeyWidth, tokens: usize) -> Self {
        let ids = (4 * (WORDS + stack.hidden_size as usize)).next_multiple_of(ALIGNMENT);
        Self { ids: ids..ids + 4 * tokens, layer: layer_cache_bytes(stack, keys, slots(tokens)) }
    }

    /// Keys and values of a layer.
    pub(crate) fn layer(&self, layer: usize) -> Range<usize> {
        let start = self.ids.end.next_multiple_of(ALIGNMENT) + layer * self.layer;
        start..start + self.layer
    }

    /// Bytes of the whole prefix; none where they cannot be addressed.
    pub(crate) fn bytes(spec: &ModelSpec, tokens: usize) -> Option<usize> {
        let stack = spec.decoder.as_ref()?;
        let one = layer_cache_bytes(stack, spec.numerics.keys, 1) as u64;
        let layers = one * slots(tokens) as u64 * u64::from(stack.num_hidden_layers);
        let places = Self::new(stack, spec.numerics.keys, 0);
        let before = places.ids.start + slots(4 * tokens) + CHECKSUM;
        u32::try_from(layers.checked_add(before as u64)?).ok().map(|bytes| bytes as usize)
    }
}
