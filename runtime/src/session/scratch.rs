//! Lends free memory of the arena to a tokenizer.

use bytemuck::try_cast_slice_mut;

use super::Session;

impl Session<'_, '_> {
    /// The largest free buffer of the arena, as scratch memory for a tokenizer. Before a decoder
    /// has read a token, that is its cache. An encoder without a decoder forgets its text, and
    /// lends the memory of its hidden states. The logits may be overwritten; the next call of
    /// [`logits`](Self::logits) computes them again. Passes become stale.
    ///
    /// [`scratch_words`](crate::tokenizer::Tokenizer::scratch_words) bounds the words that a text
    /// needs; most texts need far fewer. Within a decoder's text, only the memory of one tile is
    /// free, which suffices for a short sentence: one or two kilobytes for the models that ship.
    /// Tokenize longer texts in pieces, or after a [`reset`](Self::reset).
    ///
    /// ```
    /// use kinglet::tokenizer::{EncodeOptions, Tokenizer};
    /// use kinglet::{RunError, Session};
    ///
    /// /// Reads the user's next message.
    /// fn hear(session: &mut Session, tokenizer: &Tokenizer, text: &str) -> Result<(), RunError> {
    ///     let mut ids = [0; 32];
    ///     let options = EncodeOptions::default();
    ///     let scratch = session.scratch();
    ///     let count = tokenizer.encode_ids(text, None, &options, scratch, &mut ids)?;
    ///     session.prefill(&ids[..count])
    /// }
    /// # let _ = hear;
    /// ```
    pub fn scratch(&mut self) -> &mut [u32] {
        self.head = None;
        self.passes = self.passes.wrapping_add(1);
        if self.model.spec().decoder.is_none() {
            self.source = 0;
        }
        let workspace = &mut self.workspace;
        let buffers = [
            Some(words(workspace.scratch.wide)),
            (self.position == self.first).then(|| words(workspace.cache)),
            (self.source == 0).then(|| words(workspace.states)),
        ];
        buffers.into_iter().flatten().max_by_key(|buffer| buffer.len()).unwrap_or(&mut [])
    }
}

/// A buffer as words, without a remainder at its end.
fn words<T: bytemuck::Pod>(buffer: &mut [T]) -> &mut [u32] {
    let whole = buffer.len() / 4 * 4;
    buffer.get_mut(..whole).and_then(|whole| try_cast_slice_mut(whole).ok()).unwrap_or(&mut [])
}
