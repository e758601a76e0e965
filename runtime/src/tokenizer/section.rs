//! A tokenizer as data: what the converter writes and the runtime reads.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use super::pattern::{Behavior, Pattern};
use super::tables::Span;
use super::vocabulary::VocabularySpec;
use crate::format::decode::{Decoder, InPlace, by_field, whole};

/// What a section begins with.
pub const MAGIC: [u8; 4] = *b"KTOK";
/// Changes with every change of the section's bytes.
pub const VERSION: u16 = 1;
/// Bytes before the tables: the magic, the version, two zeros, the length of the header, which
/// comes last, and a checksum of what follows.
pub const PRELUDE: usize = 16;

/// Everything about a tokenizer that is not in a table. Places count from the section's beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The steps that normalize a text, in order.
    pub normalizer: Vec<NormalizerStep, 16, u8>,
    /// How it is split then.
    pub pre_tokenizer: Vec<SplitStep, 8, u8>,
    /// How splits become tokens.
    pub model: ModelSpec,
    /// The model's strings.
    pub vocabulary: VocabularySpec,
    /// Strings stand for bytes, and are matched byte by byte.
    pub byte_level: bool,
    /// Tokens that are found in the text before anything else.
    pub added: AddedSpec,
    /// What goes around one text.
    pub single: Vec<Piece, 8, u8>,
    /// What goes around two.
    pub pair: Vec<Piece, 12, u8>,
    /// Spaces at the ends of a token are not part of what it stands for; whether a first one was
    /// put there before.
    pub trim_offsets: Option<bool>,
    /// How tokens become text.
    pub decoder: DecoderSpec,
    /// Words of memory for each byte of the longest text, at most.
    pub words_per_byte: u16,
}

impl Header {
    /// Before anything was decoded.
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

/// One thing that is done to a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NormalizerStep {
    /// Each character becomes others.
    Map {
        /// The entries of the map.
        entries: Span,
        /// Its sequences.
        sequences: Span,
    },
    /// Characters become sequences by a map, and marks are put in canonical order.
    Decompose {
        /// The entries of the map.
        entries: Span,
        /// Its sequences.
        sequences: Span,
        /// Canonical combining classes.
        classes: Span,
    },
    /// Characters and their marks become one.
    Compose {
        /// Canonical combining classes.
        classes: Span,
        /// Three words a pair: both characters and what they become; ascending.
        pairs: Span,
    },
    /// What SentencePiece precompiled.
    Charsmap {
        /// The double array of its trie, words.
        trie: Span,
        /// The replacements, each ended by a zero.
        strings: Span,
        /// Classes of characters for grapheme clusters.
        graphemes: Span,
    },
    /// Matches become another text.
    Replace {
        /// What is looked for.
        pattern: Pattern,
        /// What it becomes, UTF-8.
        content: Span,
    },
    /// White space at the ends goes.
    Strip {
        /// At the beginning.
        left: bool,
        /// At the end.
        right: bool,
        /// What white space is.
        spaces: Span,
    },
    /// A text that is not empty gets another before it.
    Prepend {
        /// Which, UTF-8.
        content: Span,
    },
}

/// One way of splitting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SplitStep {
    /// At the matches of a pattern.
    Split {
        /// What is looked for.
        pattern: Pattern,
        /// What becomes of it.
        behavior: Behavior,
        /// The parts between matches count as the matches.
        invert: bool,
    },
    /// A split that does not begin with a space gets one.
    PrefixSpace,
    /// Spaces become another character.
    Metaspace {
        /// Which.
        replacement: char,
        /// Where one is put before.
        prepend: Prepend,
        /// Splits before each of them.
        split: bool,
    },
}

/// Where a character is put before a split that does not begin with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Prepend {
    /// Nowhere.
    Never,
    /// At the beginning of the text.
    First,
    /// Everywhere.
    Always,
}

/// How splits become tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelSpec {
    /// A split is a token, or unknown.
    WordLevel {
        /// What stands for unknown ones.
        unknown: Option<u32>,
    },
    /// The longest beginning that is in the vocabulary, over and over.
    WordPiece {
        /// What stands for unknown ones.
        unknown: u32,
        /// What strings begin with that do not begin a word, UTF-8.
        prefix: Span,
        /// Longer words are unknown.
        max_input_chars: u16,
    },
    /// Byte pair encoding (arXiv 1508.07909).
    Bpe {
        /// How the merges are kept.
        merges: MergesSpec,
        /// What stands for unknown characters.
        unknown: Option<u32>,
        /// Unknown characters beside each other are one.
        fuse_unknown: bool,
        /// A split that is in the vocabulary is one token whatever the merges.
        ignore_merges: bool,
        /// What ends a word, UTF-8.
        suffix: Span,
        /// What characters have before them that do not begin a word, UTF-8.
        prefix: Span,
        /// 256 ids for bytes: of byte-level models what each byte is, of others what stands for
        /// bytes of unknown characters. Words; empty for none.
        bytes: Span,
    },
    /// The likeliest row of tokens (arXiv 1804.10959).
    Unigram {
        /// The logarithm of each entry's probability, `f64`.
        scores: Span,
        /// That of an unknown character, `f64` bits.
        unknown_score: u64,
        /// What stands for unknown ones.
        unknown: Option<u32>,
        /// 256 ids that stand for bytes of unknown characters. Words; empty for none.
        bytes: Span,
    },
}

/// Merges, ascending by both parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergesSpec {
    /// Where the merges of each left part begin, and one more; words.
    pub lefts: Span,
    /// Bytes of an id.
    pub width: u8,
    /// The right parts.
    pub rights: Span,
    /// What they become.
    pub merged: Span,
    /// Their order, where it is not that of what they become; words.
    pub order: Span,
}

/// Added tokens: those found in the text as it is, and those found in the normalized one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedSpec {
    /// Strings to be found in the text.
    pub raw: VocabularySpec,
    /// Strings to be found in the normalized text.
    pub normalized: VocabularySpec,
    /// A word for each added token, ascending: its id in 24 bits above its flags.
    pub flags: Span,
    /// What tokens are decoded to that the model does not have, or has otherwise: by id.
    pub decoded: VocabularySpec,
    /// White space that tokens swallow.
    pub spaces: Span,
    /// Characters of words.
    pub words: Span,
}

/// The token is not part of a text: it may be skipped.
pub const SPECIAL: u32 = 1;
/// The token swallows the white space before it.
pub const LSTRIP: u32 = 2;
/// The token swallows the white space after it.
pub const RSTRIP: u32 = 4;
/// The token is found only between words.
pub const SINGLE_WORD: u32 = 8;

/// What goes around texts.
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
    /// A token.
    Special {
        /// Which.
        id: u32,
        /// Its segment.
        type_id: u8,
    },
}

/// How tokens become text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DecoderSpec {
    /// With spaces between them.
    Spaces,
    /// As they are.
    Fuse,
    /// Bytes, one after the other.
    ByteLevel,
    /// Spaces before all that does not go on with a word.
    WordPiece {
        /// What goes on with a word, UTF-8.
        prefix: Span,
        /// Takes spaces away that do not belong before punctuation.
        cleanup: bool,
    },
    /// A suffix ends words.
    Suffix {
        /// Which, UTF-8.
        suffix: Span,
    },
    /// A character stands for spaces.
    Metaspace {
        /// Which.
        replacement: char,
        /// The first token has none.
        drop_first: bool,
    },
    /// A character stands for spaces, tokens such as `<0x0A>` for bytes, and the text loses spaces
    /// at its beginning.
    ByteFallback {
        /// Which stands for spaces.
        replacement: Option<char>,
        /// How many spaces the text loses.
        strip: u8,
    },
}

/// Which kinds of steps a tokenizer takes. In a constant the compiler knows them, and leaves out
/// the code of all others.
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

    /// Every kind of step.
    #[cfg(feature = "alloc")]
    pub(crate) const ALL: Self = Self(u32::MAX);

    /// What a tokenizer uses.
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

    /// As [`bits`](Self::bits) told them.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// As a number.
    pub const fn bits(self) -> u32 {
        self.0
    }

    #[inline(always)]
    pub(crate) const fn has(self, step: Self) -> bool {
        self.0 & step.0 != 0
    }
}
