//! Finds the most likely sequence of tokens (arXiv 1804.10959) by the Viterbi algorithm, in memory
//! linear in the length of the split.

use super::{Emit, take, utf8};
use crate::error::RunError;
use crate::tokenizer::float::Float;
use crate::tokenizer::pause::Pause;
use crate::tokenizer::tables::Words;
use crate::tokenizer::text::Chars;
use crate::tokenizer::vocabulary::Vocabulary;

/// No token ends at this position yet.
const NONE: u32 = u32::MAX;
/// Words per position: the score of the best sequence that ends there (two words), the start of its
/// last token, and that token's id.
const PLACE: usize = 4;

/// The model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unigram<'m> {
    pub(crate) vocabulary: Vocabulary<'m>,
    /// The log-probability of each entry, as `f64` bits.
    pub(crate) scores: &'m [u8],
    pub(crate) unknown_score: u64,
    pub(crate) unknown: Option<u32>,
    /// The id of each byte, for byte fallback; empty if there are none.
    pub(crate) bytes: Words<'m>,
}

/// The best sequence of tokens that ends at each byte.
struct Lattice<'a>(&'a mut [u32]);

impl Lattice<'_> {
    fn place(&self, at: usize) -> (Float, u32, u32) {
        match self.0.get(at * PLACE..at * PLACE + PLACE) {
            Some(&[low, high, start, id]) => (Float(u64::from(high) << 32 | u64::from(low)), start, id),
            _ => (Float::ZERO, NONE, NONE),
        }
    }

    fn set(&mut self, at: usize, score: Float, start: u32, token: u32) {
        if let Some([low, high, begin, id]) = self.0.get_mut(at * PLACE..at * PLACE + PLACE) {
            (*low, *high, *begin, *id) = (score.0 as u32, (score.0 >> 32) as u32, start, token);
        }
    }

    /// Considers a token from `start` to `end` that gives its sequence this score.
    fn offer(&mut self, start: usize, end: usize, score: Float, id: u32) {
        let (best, begin, _) = self.place(end);
        if begin == NONE || score.is_greater(best) {
            self.set(end, score, start as u32, id);
        }
    }
}

impl Unigram<'_> {
    fn score(&self, rank: usize) -> Float {
        let bytes = self.scores.get(rank.saturating_mul(8)..).and_then(|bytes| bytes.first_chunk::<8>());
        Float(bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes)))
    }

    pub(crate) fn tokenize(
        &self,
        split: Chars<'_>,
        memory: &mut [u32],
        pause: &mut Pause<'_>,
        emit: Emit<'_>,
    ) -> Result<(), RunError> {
        let (bytes, memory) = utf8(split, 0, memory)?;
        let bytes = &*bytes;
        let (places, _) = take(memory, bytes.len().saturating_add(1).saturating_mul(PLACE))?;
        let mut lattice = Lattice(places);
        (0..=bytes.len()).for_each(|at| lattice.set(at, Float::ZERO, NONE, NONE));
        let mut start = 0;
        for c in split.iter() {
            pause.tick();
            let (so_far, ..) = lattice.place(start);
            let mut single = false;
            for (rank, len) in self.vocabulary.prefixes(bytes.get(start..).unwrap_or(&[])) {
                lattice.offer(start, start + len, so_far.add(self.score(rank)), self.vocabulary.id(rank));
                single |= len == c.len_utf8();
            }
            if !single {
                let id = self.unknown.ok_or(RunError::NoUnknownToken)?;
                lattice.offer(start, start + c.len_utf8(), so_far.add(Float(self.unknown_score)), id);
            }
            start += c.len_utf8();
        }
        // Backtrack from the end, and store at the start of each token its end.
        let mut end = bytes.len();
        while end > 0 {
            let (_, start, _) = lattice.place(end);
            let start = (start as usize).min(end - 1);
            let (_, before, id) = lattice.place(start);
            lattice.set(start, Float(end as u64), before, id);
            end = start;
        }
        self.emit_row(bytes, &lattice, pause, emit);
        Ok(())
    }

    fn emit_row(&self, bytes: &[u8], lattice: &Lattice<'_>, pause: &mut Pause<'_>, emit: Emit<'_>) {
        let end_of = |start: usize| (lattice.place(start).0.0 as usize).max(start + 1).min(bytes.len());
        let mut start = 0;
        while start < bytes.len() {
            pause.tick();
            let mut end = end_of(start);
            let (_, _, id) = lattice.place(end);
            if Some(id) != self.unknown {
                emit(id, start..end);
                start = end;
                continue;
            }
            // Adjacent unknown characters are one token.
            while end < bytes.len() && Some(lattice.place(end_of(end)).2) == self.unknown {
                end = end_of(end);
            }
            let string = bytes.get(start..end).unwrap_or(&[]);
            let ids = || string.iter().map(|&byte| self.bytes.get(byte.into()));
            match self.vocabulary.find(string) {
                Some(id) => emit(id, start..end),
                None if self.bytes.len() > 0 && ids().all(|id| id != NONE) => {
                    ids().for_each(|id| emit(id, start..end));
                }
                None => emit(id, start..end),
            }
            start = end;
        }
    }
}
