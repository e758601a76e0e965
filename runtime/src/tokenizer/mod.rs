//! Converts text to tokens and back, with the results of Hugging Face's `tokenizers`.
//!
//! A tokenizer is data in the blob ([`section`]): its vocabulary and the Unicode tables that it
//! needs are read in place. The caller provides scratch memory, in words; its size is bounded by
//! [`Tokenizer::scratch_words`].
//!
//! Text is processed as an array of characters, each with its byte offsets in the original. Every
//! step reads one array and writes another: added tokens are extracted, the rest is normalized and
//! split, and each split goes to the model.

mod added;
mod decode;
mod encode;
mod float;
pub mod graphemes;
mod model;
mod normalize;
#[cfg(feature = "alloc")]
mod owned;
pub mod pattern;
mod pause;
pub mod section;
mod split;
pub mod tables;
mod text;
pub mod vocabulary;
#[cfg(test)]
mod work;

use crate::error::{LoadError, RunError};
use crate::format::checksum::checksum;
use crate::format::decode::{Decoder as Bytes, InPlace};
use added::Added;
use model::{Bpe, Unigram, WordLevel, WordPiece};
use pattern::Matcher;
use pause::Pause;
use section::{Header, MAGIC, ModelSpec, NormalizerStep, PRELUDE, SplitStep, Uses, VERSION};
use tables::{Span, Words};
use text::Chars;
use vocabulary::Vocabulary;

pub use added::MAX_ADDED;
pub use decode::Decoder;
pub use encode::EncodeOptions;
#[cfg(feature = "alloc")]
#[doc(hidden)]
pub use encode::normalized;

/// A token of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Token {
    /// The id in the vocabulary.
    pub id: u32,
    /// The offset of the token's first byte in the text.
    pub start: u32,
    /// The offset after the token's last byte.
    pub end: u32,
    /// The segment (token type) for the model.
    pub type_id: u8,
    /// The index of the text, 0 or 1; `None` for a special token of the template.
    pub text: Option<u8>,
    /// Whether the token continues the split of the previous token.
    pub continues: bool,
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

fn invalid(what: &'static str) -> LoadError {
    LoadError::InvalidTokenizer(what)
}

impl<'m> Tokenizer<'m> {
    /// Checks a section and returns a view of it. After this succeeds, no method panics, whatever
    /// the bytes are.
    ///
    /// # Errors
    /// [`LoadError::NoTokenizer`] when the section is empty, [`LoadError::InvalidTokenizer`] with
    /// the name of the table that is invalid.
    // A tokenizer has about a kilobyte: inlined, it is built in the caller's variable, without a
    // second copy on the stack.
    #[inline(always)]
    pub fn from_bytes(section: &'m [u8]) -> Result<Self, LoadError> {
        let mut read = Ok(Self::EMPTY);
        if let Ok(tokenizer) = &mut read
            && let Err(error) = tokenizer.read(section)
        {
            read = Err(error);
        }
        read
    }

    /// The initial value, to be overwritten by `read`.
    const EMPTY: Self = Self::from_export(&[], Header::EMPTY, Uses::from_bits(0), [[0; 8]; 2]);

    #[inline(never)]
    fn read(&mut self, section: &'m [u8]) -> Result<(), LoadError> {
        if section.is_empty() {
            return Err(LoadError::NoTokenizer);
        }
        let word = |at: usize| Words::new(section).get(at / 4);
        if !section.starts_with(&MAGIC) || word(4) != u32::from(VERSION) {
            return Err(invalid("it has another version, or is not a tokenizer"));
        }
        if section.get(PRELUDE..).map(checksum) != Some(word(12)) {
            return Err(invalid("its checksum is wrong"));
        }
        let encoded = section.len().checked_sub(word(8) as usize).filter(|&start| start >= PRELUDE);
        let encoded = encoded.and_then(|start| section.get(start..)).ok_or(invalid("header"))?;
        let Self { header, .. } = self;
        let mut decoder = Bytes::new(encoded);
        let decoded = header.decode(&mut decoder);
        if decoded.is_none() || !decoder.ends() {
            return Err(invalid("header"));
        }
        self.added.read(section, &header.added).ok_or(invalid("added tokens"))?;
        let vocabulary = Vocabulary::new(section, &header.vocabulary).filter(Vocabulary::check);
        self.vocabulary = vocabulary.ok_or(invalid("vocabulary"))?;
        self.model = model(section, header, self.vocabulary).ok_or(invalid("model"))?;
        let normalizer = header.normalizer.iter().all(|step| is_whole(section, step));
        let splits = header.pre_tokenizer.iter().all(|step| match step {
            SplitStep::Split { pattern, .. } => Matcher::new(section, pattern).is_some(),
            _ => true,
        });
        if !normalizer || !splits {
            return Err(invalid(if normalizer { "pre-tokenizer" } else { "normalizer" }));
        }
        self.uses = Uses::of(header);
        self.section = section;
        Ok(())
    }

    /// A constant tokenizer, for a module written by `kinglet export`, which has checked the
    /// section.
    ///
    /// # Panics
    /// If `section` lacks a table of `header`: the constant then does not compile.
    #[doc(hidden)]
    pub const fn from_export(section: &'m [u8], header: Header, uses: Uses, first: [[u32; 8]; 2]) -> Self {
        let added = Added::new(section, &header.added, first).expect("added tokens");
        let vocabulary = Vocabulary::new(section, &header.vocabulary).expect("a vocabulary");
        let model = model(section, &header, vocabulary).expect("a model");
        Self { section, header, uses, added, vocabulary, model }
    }

    /// Bit sets of the first bytes of added tokens, for [`from_export`](Self::from_export).
    #[cfg(feature = "alloc")]
    #[doc(hidden)]
    pub const fn first_of_added(&self) -> [[u32; 8]; 2] {
        self.added.first()
    }

    /// An upper bound of the scratch words that [`encode`](Self::encode) needs for a text of
    /// `text_bytes` bytes. Most texts need far fewer.
    pub fn scratch_words(&self, text_bytes: usize) -> usize {
        text_bytes.saturating_mul(self.header.words_per_byte.into()).saturating_add(64)
    }

    /// The tokenizer as data.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// A decoder for tokens that arrive one at a time.
    pub fn decoder(&self, skip_special_tokens: bool) -> Decoder<'_, 'm> {
        Decoder::new(self, skip_special_tokens)
    }

    /// Decodes tokens, and passes the text to `out` piece by piece.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool, out: &mut dyn FnMut(&str)) {
        let mut decoder = self.decoder(skip_special_tokens);
        let mut run_end = 0;
        for (index, &id) in ids.iter().enumerate() {
            // A run of byte tokens is decoded only if it is UTF-8 as a whole.
            if index >= run_end && self.byte_of(id).is_some() {
                let run = ids.get(index..).unwrap_or(&[]).iter().map_while(|&id| self.byte_of(id));
                run_end = index + run.clone().count();
                decoder.break_run(!is_utf8(run));
            }
            decoder.push(id, out);
        }
        decoder.finish(out);
    }

    /// Passes the string of a token to `each`, in pieces; nothing if the id is unknown. For a
    /// byte-level tokenizer these are raw bytes, not their printable substitutes.
    pub fn pieces(&self, id: u32, each: &mut dyn FnMut(&[u8])) {
        for vocabulary in [&self.added.decoded, &self.vocabulary] {
            if let Some(rank) = vocabulary.rank(id) {
                return vocabulary.string(rank).for_each(each);
            }
        }
    }

    /// Whether `id` is the id of a token.
    pub fn is_known(&self, id: u32) -> bool {
        self.added.decoded.rank(id).is_some() || self.vocabulary.rank(id).is_some()
    }

    /// Whether a token is an added token, which is matched before the text is split.
    pub fn is_added(&self, id: u32) -> bool {
        self.added.decoded.rank(id).is_some()
    }

    /// Whether a token is special, such as `[CLS]`, so that decoding may skip it.
    pub fn is_special(&self, id: u32) -> bool {
        self.added.is_special(id)
    }

    /// One more than the largest id.
    pub fn vocab_size(&self) -> u32 {
        let largest =
            |vocabulary: &Vocabulary<'m>| (0..vocabulary.len()).map(|rank| vocabulary.id(rank).saturating_add(1)).max();
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
    fn tokenize(
        &self,
        split: Chars<'_>,
        memory: &mut [u32],
        pause: &mut Pause<'_>,
        emit: model::Emit<'_>,
    ) -> Result<(), RunError> {
        match self {
            Self::WordLevel(model) => model.tokenize(split, memory, emit),
            Self::WordPiece(model) => model.tokenize(split, memory, pause, emit),
            Self::Bpe(model) => model.tokenize(split, memory, pause, emit),
            Self::Unigram(model) => model.tokenize(split, memory, pause, emit),
        }
    }
}

/// The model, or `None` if one of its tables is invalid.
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

/// A table of an id for each byte, or an empty table; `None` for any other length.
const fn byte_ids(section: &[u8], span: Span) -> Option<Words<'_>> {
    let Some(bytes) = span.of(section) else { return None };
    let ids = Words::new(bytes);
    if ids.len() == 0 || ids.len() == 256 { Some(ids) } else { None }
}

/// Whether all tables of a step are inside the section.
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
