//! Tokenizers on the device: text to tokens and back, token for token as Hugging Face's
//! `tokenizers` does it.
//!
//! A tokenizer is data in the blob ([`section`]): its vocabulary and the few Unicode tables that it
//! needs are read where they lie. Memory is the caller's, in words, and how much a text takes is
//! [known](Tokenizer::scratch_words).
//!
//! A text is a row of characters, each with the bytes of the text that it stands for. Every step
//! reads one row and writes another: added tokens are found, the rest is normalized, split, and
//! given to the model split by split.

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
    /// Checks a section and makes it a tokenizer. After this succeeds nothing panics, whatever the
    /// bytes are.
    ///
    /// # Errors
    /// [`LoadError::NoTokenizer`] when the section is empty, [`LoadError::InvalidTokenizer`] with
    /// the table that is not as it should be.
    // A tokenizer has a kilobyte, and stacks are small: inlined, this makes it where the caller has
    // it.
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

    /// Before anything was read.
    const EMPTY: Self = Self::from_export(&[], Header::EMPTY, Uses::from_bits(0), [[0; 8]; 2]);

    #[inline(never)]
    fn read(&mut self, section: &'m [u8]) -> Result<(), LoadError> {
        if section.is_empty() {
            return Err(LoadError::NoTokenizer);
        }
        let word = |at: usize| Words::new(section).get(at / 4);
        if !section.starts_with(&MAGIC) || word(4) != u32::from(VERSION) {
            return Err(invalid("it is of another version, or no tokenizer at all"));
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

    /// A tokenizer of a constant, in a module that `kinglet export` wrote after it had checked the
    /// section.
    ///
    /// # Panics
    /// When the section is not the one that was exported; that is to say, such a constant does not
    /// compile.
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

    /// Words of memory that [`encode`](Self::encode) needs for a text of `text_bytes`, at most:
    /// mostly it is far less.
    pub fn scratch_words(&self, text_bytes: usize) -> usize {
        text_bytes.saturating_mul(self.header.words_per_byte.into()).saturating_add(64)
    }

    /// The tokenizer as data.
    pub fn header(&self) -> &Header {
        &self.header
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

    /// The bytes that a token stands for, in pieces; nothing for an id that no token has. Of
    /// byte-level tokenizers the bytes themselves.
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
    fn tokenize(&self, split: Chars<'_>, memory: &mut [u32], emit: model::Emit<'_>) -> Result<(), RunError> {
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
