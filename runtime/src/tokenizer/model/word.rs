//! Tokenizes by looking up words (WordLevel) or parts of words (WordPiece).

use super::{Emit, utf8};
use crate::error::RunError;
use crate::tokenizer::pause::Pause;
use crate::tokenizer::text::{Chars, OUT_OF_SCRATCH};
use crate::tokenizer::vocabulary::Vocabulary;

/// The WordLevel model: each split is one token, or unknown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WordLevel<'m> {
    pub(crate) vocabulary: Vocabulary<'m>,
    pub(crate) unknown: Option<u32>,
}

impl WordLevel<'_> {
    pub(crate) fn tokenize(&self, split: Chars<'_>, memory: &mut [u32], emit: Emit<'_>) -> Result<(), RunError> {
        let (bytes, _) = utf8(split, 0, memory)?;
        let id = self.vocabulary.find(bytes).or(self.unknown);
        emit(id.ok_or(RunError::NoUnknownToken)?, 0..bytes.len());
        Ok(())
    }
}

/// The WordPiece model: greedy longest-prefix matching (arXiv 1609.08144).
#[derive(Clone, Copy, Debug)]
pub(crate) struct WordPiece<'m> {
    pub(crate) vocabulary: Vocabulary<'m>,
    pub(crate) unknown: u32,
    /// The prefix of vocabulary strings that continue a word.
    pub(crate) prefix: &'m [u8],
    pub(crate) max_input_chars: usize,
}

impl WordPiece<'_> {
    pub(crate) fn tokenize(
        &self,
        split: Chars<'_>,
        memory: &mut [u32],
        pause: &mut Pause<'_>,
        emit: Emit<'_>,
    ) -> Result<(), RunError> {
        let len = split.len_utf8();
        if split.len() > self.max_input_chars {
            emit(self.unknown, 0..len);
            return Ok(());
        }
        // The prefix is written before each piece, over the end of the previous piece.
        let offset = self.prefix.len();
        let (bytes, found) = utf8(split, offset, memory)?;
        let mut start = 0;
        let mut pieces = 0;
        while start < len {
            pause.tick();
            let begin = if start == 0 { offset } else { start };
            if start > 0 {
                bytes.iter_mut().skip(start).zip(self.prefix).for_each(|(to, from)| *to = *from);
            }
            let taken = offset + start - begin;
            let longest = self.vocabulary.longest_prefix(bytes.get(begin..).unwrap_or(&[]));
            let Some((rank, piece)) = longest.filter(|&(_, piece)| piece > taken) else {
                emit(self.unknown, 0..len);
                return Ok(());
            };
            start += piece - taken;
            let slots = found.get_mut(2 * pieces..2 * pieces + 2);
            let [id, end] = slots.ok_or(OUT_OF_SCRATCH)? else { break };
            (*id, *end) = (self.vocabulary.id(rank), start as u32);
            pieces += 1;
        }
        let mut start = 0;
        for piece in found.chunks_exact(2).take(pieces) {
            let &[id, end] = piece else { break };
            emit(id, start..end as usize);
            start = end as usize;
        }
        Ok(())
    }
}
