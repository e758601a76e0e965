//! Encodes text to tokens.

#[cfg(feature = "alloc")]
use alloc::{string::String, vec};
use core::ops::Range;

use super::pause::Pause;
use super::section::Piece;
#[cfg(feature = "alloc")]
use super::section::{NormalizerStep, Uses};
use super::text::{Char, Chars, Text};
use super::{Token, Tokenizer, normalize, split};
use crate::error::{Buffer, RunError};

/// The options of [`Tokenizer::encode`].
#[derive(Clone, Copy, Debug)]
pub struct EncodeOptions {
    /// Whether to add the special tokens that the model was trained with, such as `[CLS]` and
    /// `[SEP]`.
    pub add_special_tokens: bool,
    /// The most tokens to keep, special tokens included. A text is truncated at its end; of two
    /// texts, the longer one first.
    pub max_length: Option<usize>,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self { add_special_tokens: true, max_length: None }
    }
}

impl Tokenizer<'_> {
    /// Encodes a text, or a pair of texts, and returns the number of tokens written to `out`.
    ///
    /// `scratch` is working memory, of [`scratch_words`](Self::scratch_words) at most. `out` must
    /// hold all tokens, or `max_length` of them; with `pair`, twice `max_length`.
    ///
    /// # Errors
    /// [`RunError::BufferTooSmall`] when `scratch` or `out` is too small. It names the buffer and a
    /// sufficient size: a second call with that size can fail only for the other buffer.
    /// [`RunError::NoUnknownToken`] when the text has an unknown word or character and the
    /// vocabulary has no unknown token.
    ///
    /// ```
    /// use kinglet::Error;
    /// use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};
    ///
    /// /// The token ids of a text of at most 64 bytes.
    /// fn ids(section: &[u8], text: &str) -> Result<heapless::Vec<u32, 32>, Error> {
    ///     let tokenizer = Tokenizer::from_bytes(section)?;
    ///     let (mut scratch, mut tokens) = ([0; 1024], [Token::default(); 32]);
    ///     let options = EncodeOptions::default();
    ///     let count = tokenizer.encode(text, None, &options, &mut scratch, &mut tokens)?;
    ///     Ok(tokens[..count].iter().map(|token| token.id).collect())
    /// }
    /// # assert!(ids(&[], "").is_err());
    /// ```
    pub fn encode(
        &self,
        text: &str,
        pair: Option<&str>,
        options: &EncodeOptions,
        scratch: &mut [u32],
        out: &mut [Token],
    ) -> Result<usize, RunError> {
        self.encode_to((text, pair), options, scratch, Out::Tokens(out), &mut || ())
    }

    /// [`encode`](Self::encode) that calls `pause` after every 32 characters of each of its steps.
    ///
    /// # Errors
    /// The errors of [`encode`](Self::encode).
    pub fn encode_with(
        &self,
        text: &str,
        pair: Option<&str>,
        options: &EncodeOptions,
        scratch: &mut [u32],
        out: &mut [Token],
        pause: &mut dyn FnMut(),
    ) -> Result<usize, RunError> {
        self.encode_to((text, pair), options, scratch, Out::Tokens(out), pause)
    }

    /// [`encode`](Self::encode) for callers that need only ids: `out` takes four bytes per token
    /// instead of twenty.
    ///
    /// # Errors
    /// The errors of [`encode`](Self::encode).
    ///
    /// ```
    /// use kinglet::Error;
    /// use kinglet::tokenizer::{EncodeOptions, Tokenizer};
    ///
    /// /// Appends the tokens of a text to the first `len` ids.
    /// fn add(
    ///     tokenizer: &Tokenizer,
    ///     text: &str,
    ///     scratch: &mut [u32],
    ///     ids: &mut [u32],
    ///     len: usize,
    /// ) -> Result<usize, Error> {
    ///     let options = EncodeOptions { add_special_tokens: false, ..EncodeOptions::default() };
    ///     Ok(len + tokenizer.encode_ids(text, None, &options, scratch, &mut ids[len..])?)
    /// }
    /// # let _ = add;
    /// ```
    pub fn encode_ids(
        &self,
        text: &str,
        pair: Option<&str>,
        options: &EncodeOptions,
        scratch: &mut [u32],
        out: &mut [u32],
    ) -> Result<usize, RunError> {
        self.encode_to((text, pair), options, scratch, Out::Ids(out), &mut || ())
    }

    /// [`encode_ids`](Self::encode_ids) that calls `pause` after every 32 characters of each of its
    /// steps, for example to feed a watchdog.
    ///
    /// # Errors
    /// The errors of [`encode`](Self::encode).
    ///
    /// ```
    /// use kinglet::RunError;
    /// use kinglet::tokenizer::{EncodeOptions, Tokenizer};
    ///
    /// fn ids(tokenizer: &Tokenizer, text: &str, out: &mut [u32], feed_watchdog: &mut dyn FnMut()) -> Result<usize, RunError> {
    ///     let (mut scratch, options) = ([0; 1024], EncodeOptions::default());
    ///     tokenizer.encode_ids_with(text, None, &options, &mut scratch, out, feed_watchdog)
    /// }
    /// # let _ = ids;
    /// ```
    pub fn encode_ids_with(
        &self,
        text: &str,
        pair: Option<&str>,
        options: &EncodeOptions,
        scratch: &mut [u32],
        out: &mut [u32],
        pause: &mut dyn FnMut(),
    ) -> Result<usize, RunError> {
        self.encode_to((text, pair), options, scratch, Out::Ids(out), pause)
    }

    #[inline(never)]
    fn encode_to(
        &self,
        (text, pair): (&str, Option<&str>),
        options: &EncodeOptions,
        scratch: &mut [u32],
        out: Out<'_>,
        pause: &mut dyn FnMut(),
    ) -> Result<usize, RunError> {
        let template = if pair.is_some() { self.header.pair.as_slice() } else { self.header.single.as_slice() };
        let special = template.iter().filter(|piece| matches!(piece, Piece::Special { .. })).count();
        let special = if options.add_special_tokens { special } else { 0 };
        let room = options.max_length.map_or(usize::MAX, |most| most.saturating_sub(special));
        // Tokens beyond `keep` are counted but not stored.
        let mut row = Row { out, len: 0, keep: room };
        let limit = options.max_length.unwrap_or(usize::MAX);
        // The size to report: enough for any text of this length.
        let (longest, given) = (text.len().max(pair.map_or(0, str::len)), scratch.len());
        let needed = match self.scratch_words(longest) {
            words if words > given => words,
            _ => given.saturating_mul(2),
        };
        let enough = |error| match error {
            RunError::BufferTooSmall { buffer: Buffer::Scratch, .. } => {
                RunError::BufferTooSmall { buffer: Buffer::Scratch, needed, given }
            }
            other => other,
        };
        let first = self.encode_one((text, 0), limit, scratch, &mut row, pause).map_err(enough)?;
        let kept_first = row.len;
        row.keep = kept_first.saturating_add(room);
        let second =
            pair.map_or(Ok(0), |pair| self.encode_one((pair, 1), limit, scratch, &mut row, pause)).map_err(enough)?;
        let kept_second = row.len - kept_first;
        let (first, second) = truncated(first, second, room);
        let (first, second) = (first.min(kept_first), second.min(kept_second));
        let len_of = |piece: &Piece| match piece {
            Piece::First { .. } => first,
            Piece::Second { .. } => second,
            Piece::Special { .. } => usize::from(options.add_special_tokens),
        };
        let framed = template.iter().map(len_of).sum();
        let (needed, given) = (row.len.max(framed), row.out.len());
        if needed > given {
            return Err(RunError::BufferTooSmall { buffer: Buffer::Tokens, needed, given });
        }
        // If the first text was truncated, close the gap before the second.
        for index in 0..second {
            let token = row.get(kept_first + index);
            row.set(first + index, token);
        }
        // Insert the special tokens from the end, so that no token is overwritten before it moves.
        let mut end = framed;
        for piece in template.iter().rev() {
            let start = end - len_of(piece);
            for place in (0..end - start).rev() {
                let token = match *piece {
                    Piece::First { type_id } => Token { type_id, ..row.get(place) },
                    Piece::Second { type_id } => Token { type_id, ..row.get(first + place) },
                    Piece::Special { id, type_id } => Token { id, type_id, ..Token::default() },
                };
                row.set(start + place, token);
            }
            end = start;
        }
        Ok(framed)
    }

    /// Appends the tokens of one text to `row`, and returns their number. Stops counting after the
    /// split that reaches `limit`.
    fn encode_one(
        &self,
        (string, index): (&str, u8),
        limit: usize,
        scratch: &mut [u32],
        row: &mut Row<'_>,
        pause: &mut dyn FnMut(),
    ) -> Result<usize, RunError> {
        let settled = {
            let mut text = Text::new(scratch, Pause::new(&mut *pause));
            text.begin(string)?;
            self.added.extract_raw(&mut text)?;
            for step in &self.header.normalizer {
                normalize::normalize(self.section, step, self.uses, &mut text)?;
            }
            self.added.extract_normalized(&mut text)?;
            for step in &self.header.pre_tokenizer {
                split::split(self.section, step, self.uses, &mut text)?;
            }
            text.settle()
        };
        let (chars, memory) = settled.split(scratch);
        let mut pause = Pause::new(pause);
        let mut count = 0;
        let mut rest = chars;
        while let Some(first) = rest.get(0) {
            let (split, after) = rest.first_split();
            rest = after;
            let plain = Token { text: Some(index), ..Token::default() };
            if let Some(id) = first.as_token() {
                count += 1;
                let swallowed = string.get(first.start as usize..first.end as usize).unwrap_or("");
                // Not `Chars::count`, which is optimized for long texts and large.
                let spaces = |end: &str| end.chars().map(|_| 1).sum::<u32>();
                let (leading, trailing) = (swallowed.len() - swallowed.trim_start().len(), swallowed.trim_end().len());
                let ends =
                    (spaces(swallowed.get(..leading).unwrap_or("")), spaces(swallowed.get(trailing..).unwrap_or("")));
                row.push(self.trimmed(Token { id, start: first.start, end: first.end, ..plain }, ends, count == 1));
                continue;
            }
            let mut place = Place { split, index: 0, byte: 0, bytes: 0..0, span: (0, 0) };
            let mut begun = false;
            self.model.tokenize(split, memory, &mut pause, &mut |id, bytes| {
                let (start, end) = place.span(bytes);
                let token = Token { id, start, end, continues: begun, ..plain };
                begun = true;
                count += 1;
                row.push(self.trimmed(token, self.spaces(id), count == 1));
            })?;
            if count >= limit {
                break;
            }
        }
        Ok(count)
    }

    /// The number of leading and trailing spaces to trim from a token's offsets.
    fn spaces(&self, id: u32) -> (u32, u32) {
        let (mut len, mut leading, mut trailing) = (0, 0, 0);
        if self.header.trim_offsets.is_some() {
            self.pieces(id, &mut |piece| {
                for &byte in piece {
                    leading += u32::from(byte == b' ' && leading == len);
                    trailing = if byte == b' ' { trailing + 1 } else { 0 };
                    len += 1;
                }
            });
        }
        (leading, trailing)
    }

    /// The token with its offsets trimmed by `leading` and `trailing` spaces, if the tokenizer
    /// trims offsets.
    fn trimmed(&self, mut token: Token, (mut leading, trailing): (u32, u32), first: bool) -> Token {
        let Some(prefixed) = self.header.trim_offsets else { return token };
        if (first || token.start == 0) && prefixed && leading == 1 {
            leading = 0;
        }
        token.start = token.start.saturating_add(leading).min(token.end);
        if token.end >= trailing {
            token.end = (token.end - trailing).max(token.start);
        }
        token
    }
}

/// Normalizes a text by `steps`, whose tables are in `section`. The converter normalizes added
/// tokens with it.
///
/// # Errors
/// [`RunError::BufferTooSmall`] when the text grows beyond ten thousand characters.
#[cfg(feature = "alloc")]
#[doc(hidden)]
pub fn normalized(section: &[u8], steps: &[NormalizerStep], string: &str) -> Result<String, RunError> {
    let mut scratch = vec![0; 1 << 16];
    let settled = {
        let mut nothing = || ();
        let mut text = Text::new(&mut scratch, Pause::new(&mut nothing));
        text.begin(string)?;
        steps.iter().try_for_each(|step| normalize::normalize(section, step, Uses::ALL, &mut text))?;
        text.settle()
    };
    let (chars, _) = settled.split(&mut scratch);
    Ok(chars.iter().filter_map(|c| char::from_u32(c.character())).collect())
}

/// The caller's output buffer.
enum Out<'o> {
    Tokens(&'o mut [Token]),
    Ids(&'o mut [u32]),
}

impl Out<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Tokens(tokens) => tokens.len(),
            Self::Ids(ids) => ids.len(),
        }
    }
}

/// The tokens stored so far, of which the first `out.len()` are in `out`.
struct Row<'o> {
    out: Out<'o>,
    len: usize,
    keep: usize,
}

impl Row<'_> {
    fn push(&mut self, token: Token) {
        if self.len < self.keep {
            self.set(self.len, token);
            self.len += 1;
        }
    }

    fn get(&self, index: usize) -> Token {
        match &self.out {
            Out::Tokens(tokens) => tokens.get(index).copied().unwrap_or_default(),
            Out::Ids(ids) => Token { id: ids.get(index).copied().unwrap_or(0), ..Token::default() },
        }
    }

    fn set(&mut self, index: usize, token: Token) {
        match &mut self.out {
            Out::Tokens(tokens) => tokens.iter_mut().skip(index).take(1).for_each(|slot| *slot = token),
            Out::Ids(ids) => ids.iter_mut().skip(index).take(1).for_each(|slot| *slot = token.id),
        }
    }
}

/// Maps byte ranges of a split to offsets in the text. Keeps its position, because tokens come in
/// order.
struct Place<'c> {
    split: Chars<'c>,
    index: usize,
    /// Bytes of the split before the current character.
    byte: usize,
    /// The last range mapped, and the result in `span`.
    bytes: Range<usize>,
    span: (u32, u32),
}

impl Place<'_> {
    /// The offsets in the text of a range of the split's bytes. A range equal to the last one is
    /// not searched again: consecutive byte-fallback tokens share one.
    fn span(&mut self, bytes: Range<usize>) -> (u32, u32) {
        if bytes != self.bytes || bytes.is_empty() {
            self.span = (self.at(bytes.start).start, self.at(bytes.end.saturating_sub(1)).end);
            self.bytes = bytes;
        }
        self.span
    }

    fn at(&mut self, byte: usize) -> Char {
        while byte < self.byte {
            self.index = self.index.saturating_sub(1);
            self.byte = self.byte.saturating_sub(self.current().len_utf8());
        }
        while self.index + 1 < self.split.len() && byte >= self.byte + self.current().len_utf8() {
            self.byte += self.current().len_utf8();
            self.index += 1;
        }
        self.current()
    }

    fn current(&self) -> Char {
        self.split.get(self.index).unwrap_or_default()
    }
}

/// The lengths of two texts after truncation to `room` tokens together, the longer one first.
fn truncated(first: usize, second: usize, room: usize) -> (usize, usize) {
    if first.saturating_add(second) <= room {
        return (first, second);
    }
    if second == 0 {
        return (first.min(room), 0);
    }
    let swapped = first > second;
    let mut short = first.min(second);
    let mut long = if short > room { short } else { short.max(room - short) };
    if short + long > room {
        short = room / 2;
        long = short + room % 2;
    }
    if swapped { (long, short) } else { (short, long) }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::super::work;
    use super::*;

    #[test]
    fn tokens_that_stand_for_one_place_look_for_it_once() {
        let cells: Vec<u32> = (0..1000).flat_map(|at| ['é'.into(), 2 * at, 2 * at + 2]).collect();
        let mut place = Place { split: Chars::of(&cells), index: 0, byte: 0, bytes: 0..0, span: (0, 0) };
        let work = work::during(|| (0..2000).for_each(|_| assert_eq!(place.span(0..2000), (0, 2000))));
        assert!(work < 10_000, "{work} steps");
        assert_eq!(place.span(1000..1002), (1000, 1002));
    }
}
