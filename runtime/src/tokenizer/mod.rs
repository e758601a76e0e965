//! Tokenizers on the device: text to tokens and back, token for token as Hugging Face's `tokenizers` does it.
//!
//! A tokenizer is data in the blob ([`section`]): its vocabulary and the few Unicode tables that it needs are read where they
//! lie. Memory is the caller's, in words, and how much a text takes is [known](Tokenizer::scratch_words).
//!
//! A text is a row of characters, each with the bytes of the text that it stands for. Every step reads one row and writes
//! another: added tokens are found, the rest is normalized, split, and given to the model split by split.

mod added;
mod decode;
mod float;
pub mod graphemes;
mod model;
mod normalize;
pub mod pattern;
pub mod section;
mod split;
pub mod tables;
mod text;
pub mod vocabulary;
#[cfg(test)]
mod work;

use crate::format::blob::checksum;
use crate::format::error::Error;
use added::Added;
use model::{Bpe, Unigram, WordLevel, WordPiece};
use pattern::Matcher;
use section::{Header, MAGIC, ModelSpec, NormalizerStep, PRELUDE, Piece, SplitStep, Uses, VERSION};
use tables::{Span, Words};
use text::{Char, Chars, Text};
use vocabulary::Vocabulary;

pub use added::MAX_ADDED;
pub use decode::Decoder;

/// A token of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Token {
    /// Which.
    pub id: u32,
    /// The first byte of the text that it stands for.
    pub start: u32,
    /// One after the last.
    pub end: u32,
    /// The segment it is in.
    pub type_id: u8,
    /// Which of two texts it is of, or neither.
    pub text: Option<u8>,
    /// It goes on with the split of the token before it.
    pub continues: bool,
}

/// How to make tokens of a text.
#[derive(Clone, Copy, Debug)]
pub struct EncodeOptions {
    /// Put around the text what the model was trained with.
    pub add_special_tokens: bool,
    /// Keep at most so many tokens, those put around the text included: of two texts the longer loses its end first.
    pub max_length: Option<usize>,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self { add_special_tokens: true, max_length: None }
    }
}

/// A tokenizer in a blob.
#[derive(Clone, Debug)]
pub struct Tokenizer<'m> {
    section: &'m [u8],
    header: Header,
    uses: Uses,
    added: Added<'m>,
    vocabulary: Vocabulary<'m>,
    model: Model<'m>,
}

#[derive(Clone, Copy, Debug)]
enum Model<'m> {
    WordLevel(WordLevel<'m>),
    WordPiece(WordPiece<'m>),
    Bpe(Bpe<'m>),
    Unigram(Unigram<'m>),
}

fn invalid(what: &'static str) -> Error {
    Error::InvalidTokenizer(what)
}

impl<'m> Tokenizer<'m> {
    /// Checks a section and makes it a tokenizer. After this succeeds nothing panics, whatever the bytes are.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`] when the section is empty, [`Error::InvalidTokenizer`] with the table that is not as it should be.
    #[inline(never)]
    pub fn from_bytes(section: &'m [u8]) -> Result<Self, Error> {
        if section.is_empty() {
            return Err(Error::NoTokenizer);
        }
        let word = |at: usize| Words::new(section).get(at / 4);
        if !section.starts_with(&MAGIC) || word(4) != u32::from(VERSION) {
            return Err(invalid("it is of another version, or no tokenizer at all"));
        }
        if section.get(PRELUDE..).map(checksum) != Some(word(12)) {
            return Err(invalid("its checksum is wrong"));
        }
        let header = section.len().checked_sub(word(8) as usize).filter(|&start| start >= PRELUDE);
        let header = header.and_then(|start| section.get(start..)).ok_or(invalid("header"))?;
        let (header, rest): (Header, _) = postcard::take_from_bytes(header).map_err(|_| invalid("header"))?;
        if !rest.is_empty() {
            return Err(invalid("header"));
        }
        let added = Added::new(section, &header.added, [[0; 8]; 2]).and_then(Added::checked);
        let added = added.ok_or(invalid("added tokens"))?;
        let vocabulary = Vocabulary::new(section, &header.vocabulary).filter(Vocabulary::check);
        let vocabulary = vocabulary.ok_or(invalid("vocabulary"))?;
        let model = model(section, &header, vocabulary).ok_or(invalid("model"))?;
        let normalizer = header.normalizer.iter().all(|step| is_whole(section, step));
        let splits = header.pre_tokenizer.iter().all(|step| match step {
            SplitStep::Split { pattern, .. } => Matcher::new(section, pattern).is_some(),
            _ => true,
        });
        if !normalizer || !splits {
            return Err(invalid(if normalizer { "pre-tokenizer" } else { "normalizer" }));
        }
        let uses = Uses::of(&header);
        Ok(Self { section, header, uses, added, vocabulary, model })
    }

    /// A tokenizer of a constant, in a module that `kinglet export` wrote after it had checked the section.
    ///
    /// # Panics
    /// When the section is not the one that was exported; that is to say, such a constant does not compile.
    #[doc(hidden)]
    pub const fn from_export(section: &'m [u8], header: Header, uses: Uses, first: [[u32; 8]; 2]) -> Self {
        let added = Added::new(section, &header.added, first).expect("added tokens");
        let vocabulary = Vocabulary::new(section, &header.vocabulary).expect("a vocabulary");
        let model = model(section, &header, vocabulary).expect("a model");
        Self { section, header, uses, added, vocabulary, model }
    }

    /// Which bytes added tokens begin with, for [`from_export`](Self::from_export).
    #[cfg(feature = "alloc")]
    #[doc(hidden)]
    pub const fn first_of_added(&self) -> [[u32; 8]; 2] {
        self.added.first()
    }

    /// Words of memory that [`encode`](Self::encode) needs for a text of so many bytes, at most: mostly it is far less.
    pub fn scratch_words(&self, text_bytes: usize) -> usize {
        64 + text_bytes * usize::from(self.header.words_per_byte)
    }

    /// The tokenizer as data.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Makes tokens of a text, or of two; returns how many. `scratch` is lent memory, `out` gets the tokens: it has room for all of
    /// them, or for `max_length`, of two texts twice that.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`] when the text needs more memory or has more tokens; [`Error::NotSupported`] when it has something
    /// unknown, and the vocabulary no token for such.
    ///
    /// ```
    /// use kinglet::Error;
    /// use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};
    ///
    /// /// Ids of a text of at most 64 bytes.
    /// fn ids(section: &[u8], text: &str) -> Result<heapless::Vec<u32, 32>, Error> {
    ///     let tokenizer = Tokenizer::from_bytes(section)?;
    ///     let (mut scratch, mut tokens) = ([0; 1024], [Token::default(); 32]);
    ///     let count = tokenizer.encode(text, None, &EncodeOptions::default(), &mut scratch, &mut tokens)?;
    ///     Ok(tokens[..count].iter().map(|token| token.id).collect())
    /// }
    /// # assert!(ids(&[], "").is_err());
    /// ```
    #[inline(never)]
    pub fn encode(
        &self,
        text: &str,
        pair: Option<&str>,
        options: &EncodeOptions,
        scratch: &mut [u32],
        out: &mut [Token],
    ) -> Result<usize, Error> {
        let template = if pair.is_some() { self.header.pair.as_slice() } else { self.header.single.as_slice() };
        let special = template.iter().filter(|piece| matches!(piece, Piece::Special { .. })).count();
        let special = if options.add_special_tokens { special } else { 0 };
        let room = options.max_length.map_or(usize::MAX, |most| most.saturating_sub(special));
        // What is beyond the room is counted, not kept.
        let mut row = Row { out, len: 0, keep: room };
        let limit = options.max_length.unwrap_or(usize::MAX);
        let first = self.encode_one(text, 0, limit, scratch, &mut row)?;
        let kept_first = row.len;
        row.keep = kept_first.saturating_add(room);
        let second = pair.map_or(Ok(0), |pair| self.encode_one(pair, 1, limit, scratch, &mut row))?;
        let kept_second = row.len - kept_first;
        let (first, second) = truncated(first, second, room);
        // The first text may have lost its end: the second moves up.
        for index in 0..second.min(kept_second) {
            let token = row.get(kept_first + index);
            row.set(first.min(kept_first) + index, token);
        }
        self.frame(template, options.add_special_tokens, (first.min(kept_first), second.min(kept_second)), row.out)
    }

    /// The tokens of one text, as far as they are kept; how many there are, counted up to the split that reaches `limit`.
    fn encode_one(
        &self,
        string: &str,
        index: u8,
        limit: usize,
        scratch: &mut [u32],
        row: &mut Row<'_>,
    ) -> Result<usize, Error> {
        let settled = {
            let mut text = Text::new(scratch);
            for (at, c) in string.char_indices() {
                text.push(Char::new(c.into(), at as u32, (at + c.len_utf8()) as u32).splitting(at == 0))?;
            }
            text.turn();
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
        let mut count = 0;
        let mut rest = chars;
        while let Some(first) = rest.get(0) {
            let (split, after) = rest.first_split();
            rest = after;
            let plain = Token { text: Some(index), ..Token::default() };
            if let Some(id) = first.as_token() {
                count += 1;
                let swallowed = string.get(first.start as usize..first.end as usize).unwrap_or("");
                // Not `count`, which is made for long texts.
                let spaces = |end: &str| end.chars().map(|_| 1).sum::<u32>();
                let (leading, trailing) = (swallowed.len() - swallowed.trim_start().len(), swallowed.trim_end().len());
                let ends =
                    (spaces(swallowed.get(..leading).unwrap_or("")), spaces(swallowed.get(trailing..).unwrap_or("")));
                row.push(self.trimmed(Token { id, start: first.start, end: first.end, ..plain }, ends, count == 1))?;
                continue;
            }
            let mut place = Place { split, index: 0, byte: 0 };
            let mut begun = false;
            self.model.tokenize(split, memory, &mut |id, bytes| {
                let (start, end) = (place.at(bytes.start).start, place.at(bytes.end.saturating_sub(1)).end);
                let token = Token { id, start, end, continues: begun, ..plain };
                begun = true;
                count += 1;
                row.push(self.trimmed(token, self.spaces(id), count == 1))
            })?;
            if count >= limit {
                break;
            }
        }
        Ok(count)
    }

    /// Spaces at the ends of a token, where the tokenizer leaves them out.
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

    /// A token without the spaces at its ends, where the tokenizer leaves them out.
    fn trimmed(&self, mut token: Token, (mut leading, trailing): (u32, u32), first: bool) -> Token {
        let Some(prefixed) = self.header.trim_offsets else { return token };
        if (first || token.start == 0) && prefixed && leading == 1 {
            leading = 0;
        }
        token.start = (token.start + leading).min(token.end);
        if token.end >= trailing {
            token.end = (token.end - trailing).max(token.start);
        }
        token
    }

    /// Puts around the texts what belongs there; `out` has them one after the other.
    fn frame(
        &self,
        template: &[Piece],
        special: bool,
        lens: (usize, usize),
        out: &mut [Token],
    ) -> Result<usize, Error> {
        let len_of = |piece: &Piece| match piece {
            Piece::First { .. } => lens.0,
            Piece::Second { .. } => lens.1,
            Piece::Special { .. } => usize::from(special),
        };
        let needed = template.iter().map(len_of).sum();
        let given = out.len();
        if needed > given {
            return Err(Error::BufferTooSmall { needed, given });
        }
        let mut row = Row { out, len: 0, keep: usize::MAX };
        // From the end, so that nothing is written over before it is read.
        let mut end = needed;
        for piece in template.iter().rev() {
            let start = end - len_of(piece);
            for place in (0..end - start).rev() {
                let token = match *piece {
                    Piece::First { type_id } => Token { type_id, ..row.get(place) },
                    Piece::Second { type_id } => Token { type_id, ..row.get(lens.0 + place) },
                    Piece::Special { id, type_id } => Token { id, type_id, ..Token::default() },
                };
                row.set(start + place, token);
            }
            end = start;
        }
        Ok(needed)
    }

    /// Makes text of tokens, one at a time.
    pub fn decoder(&self, skip_special_tokens: bool) -> Decoder<'_, 'm> {
        Decoder::new(self, skip_special_tokens)
    }

    /// Makes text of tokens; it goes to `out` in pieces.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool, out: &mut dyn FnMut(&str)) {
        let mut decoder = self.decoder(skip_special_tokens);
        let mut run_end = 0;
        for (index, &id) in ids.iter().enumerate() {
            // Bytes of a run are characters only if all of them are.
            if index >= run_end && self.byte_of(id).is_some() {
                let run = ids.get(index..).unwrap_or(&[]).iter().map_while(|&id| self.byte_of(id));
                run_end = index + run.clone().count();
                decoder.break_run(!is_utf8(run));
            }
            decoder.push(id, out);
        }
        decoder.finish(out);
    }

    /// The bytes that a token stands for, in pieces; nothing for an id that no token has. Of byte-level tokenizers the bytes themselves.
    pub fn pieces(&self, id: u32, each: &mut dyn FnMut(&[u8])) {
        for vocabulary in [&self.added.decoded, &self.vocabulary] {
            if let Some(rank) = vocabulary.rank(id) {
                return vocabulary.string(rank).for_each(each);
            }
        }
    }

    /// Whether a token has this id.
    pub fn is_known(&self, id: u32) -> bool {
        self.added.decoded.rank(id).is_some() || self.vocabulary.rank(id).is_some()
    }

    /// Whether a token was added to the model's: it is found in a text before anything else.
    pub fn is_added(&self, id: u32) -> bool {
        self.added.decoded.rank(id).is_some()
    }

    /// Whether a token is not part of a text.
    pub fn is_special(&self, id: u32) -> bool {
        self.added.is_special(id)
    }

    /// One more than the largest id.
    pub fn vocab_size(&self) -> u32 {
        let largest = |vocabulary: &Vocabulary<'m>| (0..vocabulary.len()).map(|rank| vocabulary.id(rank) + 1).max();
        largest(&self.vocabulary).max(largest(&self.added.decoded)).unwrap_or(0)
    }

    fn bytes(&self, span: Span) -> &'m [u8] {
        span.of(self.section).unwrap_or(&[])
    }

    /// The byte that a token such as `<0x0A>` stands for.
    fn byte_of(&self, id: u32) -> Option<u8> {
        if !matches!(self.header.decoder, section::DecoderSpec::ByteFallback { .. }) {
            return None;
        }
        let (mut name, mut len) = ([0; 6], 0);
        self.pieces(id, &mut |piece| {
            name.iter_mut().skip(len).zip(piece).for_each(|(to, from)| *to = *from);
            len += piece.len();
        });
        let digit = |byte: u8| char::from(byte).to_digit(16);
        match name {
            [b'<', b'0', b'x', high, low, b'>'] if len == 6 => Some((digit(high)? * 16 + digit(low)?) as u8),
            _ => None,
        }
    }
}

impl Model<'_> {
    fn tokenize(&self, split: Chars<'_>, memory: &mut [u32], emit: model::Emit<'_>) -> Result<(), Error> {
        match self {
            Self::WordLevel(model) => model.tokenize(split, memory, emit),
            Self::WordPiece(model) => model.tokenize(split, memory, emit),
            Self::Bpe(model) => model.tokenize(split, memory, emit),
            Self::Unigram(model) => model.tokenize(split, memory, emit),
        }
    }
}

/// The model, if its tables are as they should be.
const fn model<'m>(section: &'m [u8], header: &Header, vocabulary: Vocabulary<'m>) -> Option<Model<'m>> {
    Some(match header.model {
        ModelSpec::WordLevel { unknown } => Model::WordLevel(WordLevel { vocabulary, unknown }),
        ModelSpec::WordPiece { unknown, prefix, max_input_chars } => {
            let Some(prefix) = prefix.of(section) else { return None };
            Model::WordPiece(WordPiece { vocabulary, unknown, prefix, max_input_chars: max_input_chars as usize })
        }
        ModelSpec::Bpe { merges, unknown, fuse_unknown, ignore_merges, suffix, prefix, bytes } => {
            let (Some(merges), Some(bytes)) = (model::Merges::new(section, &merges), byte_ids(section, bytes)) else {
                return None;
            };
            let (Some(suffix), Some(prefix)) = (suffix.of(section), prefix.of(section)) else { return None };
            let byte_level = header.byte_level;
            Model::Bpe(Bpe {
                vocabulary,
                merges,
                byte_level,
                unknown,
                fuse_unknown,
                ignore_merges,
                suffix,
                prefix,
                bytes,
            })
        }
        ModelSpec::Unigram { scores, unknown_score, unknown, bytes } => {
            let (Some(scores), Some(bytes)) = (scores.of(section), byte_ids(section, bytes)) else { return None };
            if scores.len() != 8 * vocabulary.len() {
                return None;
            }
            Model::Unigram(Unigram { vocabulary, scores, unknown_score, unknown, bytes })
        }
    })
}

/// An id for each byte, or none at all.
const fn byte_ids(section: &[u8], span: Span) -> Option<Words<'_>> {
    let Some(bytes) = span.of(section) else { return None };
    let ids = Words::new(bytes);
    if ids.len() == 0 || ids.len() == 256 { Some(ids) } else { None }
}

/// Whether everything that a step names is in the section.
fn is_whole(section: &[u8], step: &NormalizerStep) -> bool {
    let all = |spans: &[Span]| spans.iter().all(|span| span.of(section).is_some());
    let text = |span: Span| span.of(section).is_some_and(|bytes| core::str::from_utf8(bytes).is_ok());
    match *step {
        NormalizerStep::Map { entries, sequences } => all(&[entries, sequences]),
        NormalizerStep::Decompose { entries, sequences, classes } => all(&[entries, sequences, classes]),
        NormalizerStep::Compose { classes, pairs } => all(&[classes, pairs]),
        NormalizerStep::Charsmap { trie, strings, graphemes } => all(&[trie, strings, graphemes]),
        NormalizerStep::Replace { pattern, content } => Matcher::new(section, &pattern).is_some() && text(content),
        NormalizerStep::Strip { spaces, .. } => all(&[spaces]),
        NormalizerStep::Prepend { content } => text(content),
    }
}

/// Tokens that are kept, as many as there is room for.
struct Row<'o> {
    out: &'o mut [Token],
    len: usize,
    keep: usize,
}

impl Row<'_> {
    fn push(&mut self, token: Token) -> Result<(), Error> {
        if self.len >= self.keep {
            return Ok(());
        }
        let given = self.out.len();
        *self.out.get_mut(self.len).ok_or(Error::BufferTooSmall { needed: given + 1, given })? = token;
        self.len += 1;
        Ok(())
    }

    fn get(&self, index: usize) -> Token {
        self.out.get(index).copied().unwrap_or_default()
    }

    fn set(&mut self, index: usize, token: Token) {
        if let Some(slot) = self.out.get_mut(index) {
            *slot = token;
        }
    }
}

/// Finds characters by their bytes; tokens come in order, so it only goes forward.
struct Place<'c> {
    split: Chars<'c>,
    index: usize,
    /// Bytes before the character at hand.
    byte: usize,
}

impl Place<'_> {
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

/// The lengths of two texts that together have no more than `room` tokens: the longer one loses its end first.
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

/// Whether bytes are UTF-8.
fn is_utf8(bytes: impl Iterator<Item = u8>) -> bool {
    let (mut partial, mut len) = ([0; 4], 0);
    for byte in bytes {
        let Some(slot) = partial.get_mut(len) else { return false };
        *slot = byte;
        len += 1;
        match core::str::from_utf8(partial.get(..len).unwrap_or(&[])) {
            Ok(_) => len = 0,
            Err(error) if error.error_len().is_some() => return false,
            Err(_) => {}
        }
    }
    len == 0
}
