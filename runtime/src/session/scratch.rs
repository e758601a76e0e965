//! The arena's memory, lent to others between two texts.

use bytemuck::try_cast_slice_mut;

use super::Session;

impl Session<'_, '_> {
    /// Memory of the arena for a tokenizer, so that firmware needs none of its own for the text
    /// that the session reads next: the largest of the arena's buffers that hold nothing of what
    /// the session has read. Before a decoder has read anything that is its cache. An encoder
    /// without a decoder forgets its text, and lends the memory of its hidden states. The logits,
    /// which may lie there, are computed anew when they are asked for, and a pass that is under way
    /// ends.
    ///
    /// How many words a text needs at most is
    /// [known](crate::tokenizer::Tokenizer::scratch_words); most texts need far fewer. In the
    /// middle of a decoder's text only the memory of one tile is free, which is enough for a short
    /// sentence: a kilobyte or two for the models that ship. Longer ones are read in pieces, or
    /// after a [`reset`](Self::reset).
    ///
    /// ```
    /// use kinglet::tokenizer::{EncodeOptions, Tokenizer};
    /// use kinglet::{RunError, Session};
    ///
    /// /// Reads what a user says next.
    /// fn hear(session: &mut Session, tokenizer: &Tokenizer, text: &str) -> Result<(), RunError> {
    ///     let mut ids = [0; 32];
    ///     let count = tokenizer.encode_ids(text, None, &EncodeOptions::default(), session.scratch(), &mut ids)?;
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

/// A buffer as words, without what is left at its end.
fn words<T: bytemuck::Pod>(buffer: &mut [T]) -> &mut [u32] {
    let whole = buffer.len() / 4 * 4;
    buffer.get_mut(..whole).and_then(|whole| try_cast_slice_mut(whole).ok()).unwrap_or(&mut [])
}
