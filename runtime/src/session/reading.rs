//! Tracks the hidden state that the head reads, and how far the head has come.
//!
//! It is usually the last state. With [`Pooling::LastExcept`] and [`Pooling::AtLast`] it may be a
//! state of an earlier tile, of which a copy is kept.

use crate::block::copy;
use crate::error::RunError;
use crate::format::blob::SpecialTokens;
use crate::format::spec::Pooling;

/// The hidden state that the head reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    /// A state of the encoder, or of the decoder's last tile.
    At(usize),
    /// The kept state of an earlier tile of the decoder.
    Kept,
    /// The last state of the prefix.
    Prefix,
    /// The mean of the encoder's states.
    Mean,
}

/// The progress of the head for a state.
#[derive(Clone, Copy)]
pub(super) struct HeadWork {
    /// The state.
    pub(super) row: Row,
    /// The number of completed parts, or `None` if all are complete.
    pub(super) parts: Option<u32>,
}

/// The location of the decoder's state that the head reads.
#[derive(Clone, Copy, Default)]
pub(super) struct Reading {
    /// The row of the state in the last tile, if it is there.
    row: Option<usize>,
    /// Whether a state of an earlier tile is kept.
    kept: bool,
    /// Whether it is the last state of the prefix.
    prefix: bool,
    /// The index in the encoder's text at which the head reads the decoder: see
    /// [`Pooling::AtLast`].
    marked: Option<usize>,
}

impl Reading {
    /// The location for a decoder that will attend to `source`.
    ///
    /// # Errors
    /// [`RunError::TokenMissing`] when `source` lacks the token of [`Pooling::AtLast`].
    pub(super) fn of_source(pooling: Pooling, source: &[u32]) -> Result<Self, RunError> {
        let marked = match pooling {
            Pooling::AtLast(token) => {
                Some(source.iter().rposition(|&id| id == token).ok_or(RunError::TokenMissing { token })?)
            }
            _ => None,
        };
        Ok(Self { marked, ..Self::default() })
    }

    /// The location after a prefix, which has a state if `prefix`.
    pub(super) fn at_prefix(prefix: bool) -> Self {
        Self { prefix, ..Self::default() }
    }

    /// Encodes the location for a snapshot as `[row + 1, flags, marked + 1]`, with 0 for none. Flag
    /// 1 is a kept state, flag 2 the prefix's state.
    pub(super) fn to_words(self) -> [u32; 3] {
        let word = |place: Option<usize>| place.map_or(0, |place| place as u32 + 1);
        [word(self.row), u32::from(self.kept) | u32::from(self.prefix) << 1, word(self.marked)]
    }

    /// The inverse of [`to_words`](Self::to_words).
    pub(super) fn from_words([row, kept, marked]: [u32; 3]) -> Self {
        let place = |word: u32| (word as usize).checked_sub(1);
        Self { row: place(row), kept: kept & 1 != 0, prefix: kept & 2 != 0, marked: place(marked) }
    }

    /// Whether a state of an earlier tile is kept.
    pub(super) fn keeps(self) -> bool {
        self.kept
    }

    /// Forgets the state, after the decoder was reset or rewound.
    pub(super) fn forget(&mut self) {
        (self.row, self.kept, self.prefix) = (None, false, false);
    }

    /// Copies the state to `kept` before the next tile overwrites it: from the last tile, or from
    /// `prefix`, the prefix's last state.
    pub(super) fn keep(&mut self, tile: &[i32], hidden_size: usize, kept: &mut [i32], prefix: &[i32]) {
        let state = match self.row.take() {
            Some(row) => tile.get(row * hidden_size..).unwrap_or(&[]),
            None if self.prefix => prefix,
            None => return,
        };
        self.prefix = false;
        if let Some(kept) = kept.get_mut(..hidden_size) {
            copy(kept, state);
            self.kept = true;
        }
    }

    /// The state that the head reads after each token of a tile, if there is one. The tile has the
    /// tokens `ids`, the first at position `start`.
    pub(super) fn rows(self, pooling: Pooling, start: usize, ids: &[u32]) -> impl Iterator<Item = Option<Row>> {
        let earlier = self.kept.then_some(Row::Kept);
        ids.iter().enumerate().scan(earlier, move |found, (row, &id)| {
            let is_read = match pooling {
                Pooling::LastExcept(padding) => id != padding || start + row == 0,
                Pooling::AtLast(_) => self.marked == Some(start + row),
                _ => true,
            };
            if is_read {
                *found = Some(Row::At(row));
            }
            Some(*found)
        })
    }

    /// Updates the location after the decoder has read a tile, which is now the last one.
    pub(super) fn end(&mut self, pooling: Pooling, start: usize, ids: &[u32]) {
        self.row = match self.rows(pooling, start, ids).last() {
            Some(Some(Row::At(row))) => Some(row),
            _ => None,
        };
    }

    /// The state that the head reads, if there is one.
    pub(super) fn row(self) -> Option<Row> {
        let kept = self.kept.then_some(Row::Kept).or(self.prefix.then_some(Row::Prefix));
        self.row.map(Row::At).or(kept)
    }
}

/// The token that the decoder reads first when both stacks of a model read one text, shifted by one
/// token in the decoder. It is `decoder_start`, or else `ids[n - 1]`, where `n` is the number of
/// tokens other than padding (mBART).
///
/// ```
/// use kinglet::format::blob::SpecialTokens;
/// use kinglet::task::shifted_start;
///
/// let tokens = SpecialTokens { decoder_start: Some(2), pad: Some(1), ..SpecialTokens::default() };
/// assert_eq!(shifted_start(&tokens, &[7, 8, 9]), Some(2));
/// let tokens = SpecialTokens { decoder_start: None, ..tokens };
/// assert_eq!(shifted_start(&tokens, &[7, 8, 9]), Some(9));
/// assert_eq!(shifted_start(&tokens, &[7, 1, 9]), Some(1));
/// ```
pub fn shifted_start(tokens: &SpecialTokens, ids: &[u32]) -> Option<u32> {
    let unpadded = ids.iter().filter(|&&id| Some(id) != tokens.pad).count();
    tokens.decoder_start.or_else(|| ids.get(unpadded.checked_sub(1)?).copied())
}
