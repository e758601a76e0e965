//! Defines the tokenizer section of a blob, which the converter writes and the runtime reads.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use super::pattern::{Behavior, Pattern};
use super::tables::Span;
use super::vocabulary::VocabularySpec;
use crate::format::decode::{Decoder, InPlace, by_field, whole};

/// The first four bytes of every section.
pub const MAGIC: [u8; 4] = *b"KTOK";
/// The version of the section's format. Any change to the bytes raises it.
pub const VERSION: u16 = 1;
/// Bytes of the prelude before the tables: the magic, the version, two zeros, the length of the
/// header, which follows the tables, and a checksum of everything after the prelude.
pub const PRELUDE: usize = 16;

/// Everything about a tokenizer that is not in a table. [`Span`]s count from the section's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The steps of the normalizer, in order.
    pub normalizer: Vec<NormalizerStep, 16, u8>,
    /// The steps of the pre-tokenizer, in order.
    pub pre_tokenizer: Vec<SplitStep, 8, u8>,
    /// The model, which turns splits into tokens.
    pub model: ModelSpec,
    /// The model's vocabulary.
    pub vocabulary: VocabularySpec,
    /// Whether vocabulary strings are raw bytes and are matched byte by byte.
    pub byte_level: bool,
    /// The added tokens, which are matched before the text is split.
    pub added: AddedSpec,
    /// The template of a single text.
    pub single: Vec<Piece, 8, u8>,
    /// The template of a pair of texts.
    pub pair: Vec<Piece, 12, u8>,
    /// Whether offsets exclude spaces at the ends of a token; the value is `add_prefix_space`,
    /// that is, whether the text's first space was inserted.
    pub trim_offsets: Option<bool>,
    /// The decoder, which turns tokens into text.
    pub decoder: DecoderSpec,
    /// The scratch words needed for each byte of text, at most.
    pub words_per_byte: u16,
}

impl Header {
    /// The initial value, to be overwritten by decoding.
    pub(crate) const EMPTY: Self = {
        const NOWHERE: Span = Span { start: 0, len: 0 };
        const NOTHING: VocabularySpec = VocabularySpec {
            entries: 0,
            blocks: NOWHERE,
            data: NOWHERE,
            width: 0,
            ids: NOWHERE,
            ranks: NOWHERE,
            prefixes: NOWHERE,
        };
        Self {
            normalizer: Vec::new(),
            pre_tokenizer: Vec::new(),
            model: ModelSpec::WordLevel { unknown: None },
            vocabulary: NOTHING,
            byte_level: false,
            added: AddedSpec {
                raw: NOTHING,
                normalized: NOTHING,
                flags: NOWHERE,
                decoded: NOTHING,
                spaces: NOWHERE,
                words: NOWHERE,
            },
            single: Vec::new(),
            pair: Vec::new(),
            trim_offsets: None,
            decoder: DecoderSpec::Fuse,
            words_per_byte: 0,
        }
    };
}

whole!(ModelSpec, DecoderSpec, Span);

by_field! {
    Header {
        normalizer,
        pre_tokenizer,
        model,
        vocabulary,
        byte_level,
        added,
        single,
        pair,
        trim_offsets,
        decoder,
        words_per_byte,
    }
    VocabularySpec { entries, blocks, data, width, ids, ranks, prefixes }
    AddedSpec { raw, normalized, flags, decoded, spaces, words }
}

/// A step of the normalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NormalizerStep {
    /// Maps each character to a sequence of characters.
    Map {
        /// The entries of the map.
        entries: Span,
        /// The sequences of the map.
        sequences: Span,
    },
    /// Decomposes characters and puts combining marks in canonical order (NFD, NFKD).
    Decompose {
        /// The entries of the map.
        entries: Span,
        /// The sequences of the map.
        sequences: Span,
        /// The canonical combining classes.
        classes: Span,
    },
    /// Composes characters with their combining marks.
    Compose {
        /// The canonical combining classes.
        classes: Span,
        /// Three words per pair, ascending: both characters and their composition.
        pairs: Span,
    },
    /// Applies SentencePiece's `precompiled_charsmap`.
    Charsmap {
        /// The words of its double-array trie.
        trie: Span,
        /// The replacements, each terminated by a zero byte.
        strings: Span,
        /// The classes of characters for grapheme clusters.
        graphemes: Span,
    },
    /// Replaces every match of a pattern.
    Replace {
        /// The pattern.
        pattern: Pattern,
        /// The replacement, UTF-8.
        content: Span,
    },
    /// Removes white space at the ends of the text.
    Strip {
        /// Whether to strip the beginning.
        left: bool,
        /// Whether to strip the end.
        right: bool,
        /// The class of white space.
        spaces: Span,
    },
    /// Prepends a string to a text that is not empty.
    Prepend {
        /// The string, UTF-8.
        content: Span,
    },
}

/// A step of the pre-tokenizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SplitStep {
    /// Splits at the matches of a pattern.
    Split {
        /// The pattern.
        pattern: Pattern,
        /// The handling of matches.
        behavior: Behavior,
        /// Whether matches and the text between them exchange roles.
        invert: bool,
    },
    /// Prepends a space to every split that does not begin with one.
    PrefixSpace,
    /// Replaces spaces by another character.
    Metaspace {
        /// The replacement.
        replacement: char,
        /// The splits to which the replacement is prepended.
        prepend: Prepend,
        /// Whether to split before each replacement.
        split: bool,
    },
}

/// The splits to which [`SplitStep::Metaspace`] prepends its replacement, if they lack it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Prepend {
    /// No split.
    Never,
    /// The split at the beginning of the text.
    First,
    /// Every split.
    Always,
}

/// The model, which turns splits into tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelSpec {
    /// Each split is one token, or unknown.
    WordLevel {
        /// The id of the unknown token.
        unknown: Option<u32>,
    },
    /// Greedy longest-prefix matching (arXiv 1609.08144).
    WordPiece {
        /// The id of the unknown token.
        unknown: u32,
        /// The prefix of vocabulary strings that continue a word, UTF-8.
        prefix: Span,
        /// The longest word, in characters; longer words are unknown.
        max_input_chars: u16,
    },
    /// Byte pair encoding (arXiv 1508.07909).
    Bpe {
        /// The merges.
        merges: MergesSpec,
        /// The id of the unknown token, for characters.
        unknown: Option<u32>,
        /// Whether adjacent unknown characters become one token.
        fuse_unknown: bool,
        /// Whether a split that is in the vocabulary becomes one token without merging.
        ignore_merges: bool,
        /// The suffix of a word's last character, UTF-8.
        suffix: Span,
        /// The prefix of a word's characters except the first, UTF-8.
        prefix: Span,
        /// 256 words, an id for each byte: the byte's token in byte-level models, else the token
        /// for a byte of an unknown character (byte fallback). Empty if there are none.
        bytes: Span,
    },
    /// The most likely sequence of tokens (arXiv 1804.10959).
    Unigram {
        /// The log-probability of each entry, `f64`.
        scores: Span,
        /// The log-probability of an unknown character, `f64` bits.
        unknown_score: u64,
        /// The id of the unknown token.
        unknown: Option<u32>,
        /// 256 words, an id for each byte of an unknown character (byte fallback). Empty if there
        /// are none.
        bytes: Span,
    },
}

/// The merges of a BPE model, sorted by left and right part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergesSpec {
    /// For each id, the index of the first merge with that left part, and the number of merges at
    /// the end; words.
    pub lefts: Span,
    /// Bytes per id.
    pub width: u8,
    /// The id of each merge's right part.
    pub rights: Span,
    /// The id of each merge's result.
    pub merged: Span,
    /// The rank of each merge, in words; empty if merges rank in the order of their results' ids.
    pub order: Span,
}

/// The added tokens, matched in the raw text or in the normalized text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedSpec {
    /// The tokens matched in the raw text.
    pub raw: VocabularySpec,
    /// The tokens matched in the normalized text.
    pub normalized: VocabularySpec,
    /// A word for each added token, ascending: its id in the high 24 bits, its flags in the low 8.
    pub flags: Span,
    /// The decoded strings of added tokens, which override the model's vocabulary.
    pub decoded: VocabularySpec,
    /// The class of white space for [`LSTRIP`] and [`RSTRIP`].
    pub spaces: Span,
    /// The class of word characters for [`SINGLE_WORD`].
    pub words: Span,
}

/// Flag of a special token: decoding may skip it.
pub const SPECIAL: u32 = 1;
/// Flag of a token that strips the white space on its left.
pub const LSTRIP: u32 = 2;
/// Flag of a token that strips the white space on its right.
pub const RSTRIP: u32 = 4;
/// Flag of a token that matches only between non-word characters.
pub const SINGLE_WORD: u32 = 8;

/// An element of a template, which adds special tokens around texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Piece {
    /// The first text.
    First {
        /// The segment of its tokens.
        type_id: u8,
    },
    /// The second text.
    Second {
        /// The segment of its tokens.
        type_id: u8,
    },
    /// A special token.
    Special {
        /// The id of the token.
        id: u32,
        /// The segment of the token.
        type_id: u8,
    },
}

/// The decoder, which turns tokens into text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DecoderSpec {
    /// Joins tokens with spaces.
    Spaces,
    /// Concatenates tokens.
    Fuse,
    /// Concatenates the bytes of tokens and decodes them as UTF-8.
    ByteLevel,
    /// Puts a space before each token that does not continue a word.
    WordPiece {
        /// The prefix of tokens that continue a word, UTF-8.
        prefix: Span,
        /// Whether to remove spaces before punctuation.
        cleanup: bool,
    },
    /// Replaces the suffix that ends words by a space.
    Suffix {
        /// The suffix, UTF-8.
        suffix: Span,
    },
    /// Replaces a character by a space.
    Metaspace {
        /// The character.
        replacement: char,
        /// Whether the first token loses the space.
        drop_first: bool,
    },
    /// Replaces a character by a space and tokens such as `<0x0A>` by bytes, and strips spaces at
    /// the beginning of the text.
    ByteFallback {
        /// The character that is replaced by a space.
        replacement: Option<char>,
        /// The number of leading spaces to strip.
        strip: u8,
    },
}

/// The kinds of steps that a tokenizer uses. If it is a constant, the compiler drops the code of
/// all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses(u32);

impl Uses {
    pub(crate) const MAP: Self = Self(1);
    pub(crate) const DECOMPOSE: Self = Self(1 << 1);
    pub(crate) const COMPOSE: Self = Self(1 << 2);
    pub(crate) const CHARSMAP: Self = Self(1 << 3);
    pub(crate) const REPLACE: Self = Self(1 << 4);
    pub(crate) const STRIP: Self = Self(1 << 5);
    pub(crate) const PREPEND: Self = Self(1 << 6);
    pub(crate) const SPLIT: Self = Self(1 << 7);
    pub(crate) const PREFIX_SPACE: Self = Self(1 << 8);
    pub(crate) const METASPACE: Self = Self(1 << 9);

    /// All kinds of steps.
    #[cfg(feature = "alloc")]
    pub(crate) const ALL: Self = Self(u32::MAX);

    /// The kinds of steps of a header.
    pub fn of(header: &Header) -> Self {
        let normalizer = header.normalizer.iter().map(|step| match step {
            NormalizerStep::Map { .. } => Self::MAP,
            NormalizerStep::Decompose { .. } => Self::DECOMPOSE,
            NormalizerStep::Compose { .. } => Self::COMPOSE,
            NormalizerStep::Charsmap { .. } => Self::CHARSMAP,
            NormalizerStep::Replace { .. } => Self::REPLACE,
            NormalizerStep::Strip { .. } => Self::STRIP,
            NormalizerStep::Prepend { .. } => Self::PREPEND,
        });
        let splits = header.pre_tokenizer.iter().map(|step| match step {
            SplitStep::Split { .. } => Self::SPLIT,
            SplitStep::PrefixSpace => Self::PREFIX_SPACE,
            SplitStep::Metaspace { .. } => Self::METASPACE,
        });
        normalizer.chain(splits).fold(Self::default(), |uses, step| Self(uses.0 | step.0))
    }

    /// The inverse of [`bits`](Self::bits).
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The set as a bit mask, for exported constants.
    pub const fn bits(self) -> u32 {
        self.0
    }

    #[inline(always)]
    pub(crate) const fn has(self, step: Self) -> bool {
        self.0 & step.0 != 0
    }
}
