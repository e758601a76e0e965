//! Which of a decoder's states the head reads. It is the last one, or, where padding is passed over
//! or the encoder's text marks the place, perhaps one of an earlier tile, which is kept for that.

use crate::block::copy;
use crate::error::RunError;
use crate::format::blob::SpecialTokens;
use crate::format::spec::Pooling;

/// Which hidden state the head reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    /// A state of the encoder, or of the decoder's last tile.
    At(usize),
    /// The kept state of an earlier tile of the decoder.
    Kept,
    /// The state that the prefix ends with.
    Prefix,
    /// The mean of the encoder's states.
    Mean,
}

/// Where the head finds its state of a decoder.
#[derive(Clone, Copy, Default)]
pub(super) struct Reading {
    /// The row of the state in the last tile, if it is there.
    row: Option<usize>,
    /// Whether a state of an earlier tile is kept.
    kept: bool,
    /// Whether it is the state that the prefix ends with.
    prefix: bool,
    /// The index of the marking token in the encoder's text, for heads that read the decoder there.
    marked: Option<usize>,
}

impl Reading {
    /// For a decoder that will attend to `source`.
    ///
    /// # Errors
    /// [`RunError::TokenMissing`] when `source` lacks the marking token.
    pub(super) fn of_source(pooling: Pooling, source: &[u32]) -> Result<Self, RunError> {
        let marked = match pooling {
            Pooling::AtLast(token) => {
                Some(source.iter().rposition(|&id| id == token).ok_or(RunError::TokenMissing { token })?)
            }
            _ => None,
        };
        Ok(Self { marked, ..Self::default() })
    }

    /// At the end of a prefix, which has a state to read or has none.
    pub(super) fn at_prefix(prefix: bool) -> Self {
        Self { prefix, ..Self::default() }
    }

    /// As words, for a snapshot: the row and the token marked, each one more than it is and 0 for
    /// none; between them 1 for a state that is kept, and 2 for the prefix's.
    pub(super) fn to_words(self) -> [u32; 3] {
        let word = |place: Option<usize>| place.map_or(0, |place| place as u32 + 1);
        [word(self.row), u32::from(self.kept) | u32::from(self.prefix) << 1, word(self.marked)]
    }

    /// From [`to_words`](Self::to_words).
    pub(super) fn from_words([row, kept, marked]: [u32; 3]) -> Self {
        let place = |word: u32| (word as usize).checked_sub(1);
        Self { row: place(row), kept: kept & 1 != 0, prefix: kept & 2 != 0, marked: place(marked) }
    }

    /// Whether one of an earlier tile is kept.
    pub(super) fn keeps(self) -> bool {
        self.kept
    }

    /// Forgets the state: the decoder was reset or rewound.
    pub(super) fn forget(&mut self) {
        (self.row, self.kept, self.prefix) = (None, false, false);
    }

    /// Keeps the state of the last tile, which another one is about to replace, or `prefix`, which
    /// that of the prefix is.
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

    /// For each token of a tile the state that the head reads after it, if there is one. The tile's
    /// tokens are `ids`, and `start` is the position of the first.
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

    /// Notes that the decoder has read a tile, which is the last one now.
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

/// The token that the decoder reads first where both stacks of a model read one text, the decoder
/// one token later. It is `decoder_start`, or else the token at which the text would end without
/// its padding (mBART), which is the last one of a text without padding.
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
