//! Tables that depend on Unicode only: sets of characters, decompositions, grapheme clusters.

use std::sync::LazyLock;

use kinglet::tokenizer::graphemes::{Break, CONJUNCT_EXTEND, CONJUNCT_LINKER, CONSONANT};
use kinglet::tokenizer::tables::Span;
use unicode_categories::UnicodeCategories;
use unicode_normalization_alignments::char::{
    canonical_combining_class, compose, decompose_canonical, decompose_compatible,
};
use unicode_segmentation::UnicodeSegmentation;

use super::pattern::ranges;
use super::tables::{Fixed, FixedMap, Tables, bytes_of, characters};

impl Tables {
    /// The map of canonical or compatible decompositions. Hangul syllables are left out, because a
    /// formula decomposes them.
    pub(super) fn decompositions(&mut self, compatible: bool) -> (Span, Span) {
        static TABLES: [FixedMap; 2] = [const { FixedMap::new() }; 2];
        self.fixed_map(&TABLES[usize::from(compatible)], |c| {
            if ('\u{ac00}'..='\u{d7a3}').contains(&c) {
                return None;
            }
            let mut letters = Vec::new();
            if compatible {
                decompose_compatible(c, |letter| letters.push(letter));
            } else {
                decompose_canonical(c, |letter| letters.push(letter));
            }
            (letters != [c]).then_some(letters)
        })
    }

    pub(super) fn combining_classes(&mut self) -> Span {
        static TABLE: Fixed = Fixed::new();
        self.fixed(&TABLE, canonical_combining_class)
    }

    /// The pairs of characters that compose to one character.
    pub(super) fn compositions(&mut self) -> Span {
        static TABLE: Fixed = Fixed::new();
        let made = TABLE.get_or_init(|| {
            let mut pairs = Vec::new();
            for c in characters().filter(|c| !('\u{ac00}'..='\u{d7a3}').contains(c)) {
                let mut letters = Vec::new();
                decompose_canonical(c, |letter| letters.push(letter));
                let Some((&last, rest)) = letters.split_last() else { continue };
                let first = rest.iter().copied().map(Some).reduce(|a, b| compose(a?, b?)).flatten();
                if let Some(first) = first.filter(|&first| compose(first, last) == Some(c)) {
                    pairs.push([first, last, c].map(u32::from));
                }
            }
            pairs.sort_unstable();
            bytes_of(pairs.into_iter().flatten())
        });
        self.add(made)
    }

    /// The class of each character at the boundaries of grapheme clusters.
    pub(super) fn graphemes(&mut self) -> Span {
        static TABLE: Fixed = Fixed::new();
        self.fixed(&TABLE, grapheme_class)
    }

    /// The set of white space.
    pub(super) fn spaces(&mut self) -> Span {
        static TABLE: Fixed = Fixed::new();
        self.fixed(&TABLE, |c| c.is_whitespace().into())
    }

    /// The set of characters that are part of a word.
    pub(super) fn word_characters(&mut self) -> Span {
        static TABLE: Fixed = Fixed::new();
        self.fixed(&TABLE, |c| is_word(c).into())
    }

    /// The set of characters that are neither white space nor part of a word.
    pub(super) fn signs(&mut self) -> Span {
        static TABLE: Fixed = Fixed::new();
        self.fixed(&TABLE, |c| (!is_word(c) && !c.is_whitespace()).into())
    }

    /// The set of punctuation.
    pub(super) fn punctuation(&mut self) -> Span {
        static TABLE: Fixed = Fixed::new();
        self.fixed(&TABLE, |c| (c.is_ascii_punctuation() || c.is_punctuation()).into())
    }

    /// The set of numerals.
    pub(super) fn numerals(&mut self) -> Span {
        static TABLE: Fixed = Fixed::new();
        self.fixed(&TABLE, |c| c.is_numeric().into())
    }
}

/// Whether a character is part of a word to the `regex` crate, which `tokenizers` uses for added
/// tokens and white space.
fn is_word(c: char) -> bool {
    static WORDS: LazyLock<Vec<(char, char)>> = LazyLock::new(|| ranges(r"\w").expect("it is a class"));
    let before = WORDS.partition_point(|&(first, _)| first <= c);
    before.checked_sub(1).and_then(|index| WORDS.get(index)).is_some_and(|&(_, last)| c <= last)
}

/// Whether a mark extends a character, and nothing else forms a cluster with it. This is true of
/// most characters, and takes one test: lines are clusters of their own.
fn is_alone(c: char) -> bool {
    let lines = format!(
        "{c}\u{308}\na{c}\n{c}a\n\u{1f600}\u{200d}{c}\n\u{1f1e6}{c}\n\u{915}\u{94d}{c}\n\
         \u{1100}{c}\n\u{1161}{c}\n\u{11a8}{c}\n{c}\u{1161}\n{c}\u{11a8}\n"
    );
    let (extended, broken) = (1, 10);
    lines.graphemes(true).count() == 2 * extended + 3 * broken
}

/// The class of a character, found by testing where clusters end beside characters of known class.
fn grapheme_class(c: char) -> u8 {
    let joined = |text: &[char]| text.iter().collect::<String>().graphemes(true).count() == 1;
    let after = |before: char| joined(&[before, c]);
    let before = |after: char| joined(&[c, after]);
    const CONSONANT_LETTER: char = '\u{915}';
    const LINKER: char = '\u{94d}';
    if c == '\r' {
        return Break::CarriageReturn as u8;
    }
    if c == '\n' {
        return Break::LineFeed as u8;
    }
    if is_alone(c) {
        return Break::Other as u8;
    }
    // Nothing extends a control character.
    if !before('\u{308}') {
        return Break::Control as u8;
    }
    if c == '\u{200d}' {
        return Break::ZeroWidthJoiner as u8 | CONJUNCT_EXTEND;
    }
    if after('a') {
        // The character may be between a consonant and its linker, or may link two consonants
        // itself.
        let extends = joined(&[CONSONANT_LETTER, LINKER, c, CONSONANT_LETTER]);
        let links = joined(&[CONSONANT_LETTER, c, CONSONANT_LETTER]);
        let mark = !joined(&['\u{1f600}', c, '\u{200d}', '\u{1f600}']);
        let kind = if mark { Break::SpacingMark } else { Break::Extend };
        let conjunct = if links {
            CONJUNCT_LINKER
        } else if extends {
            CONJUNCT_EXTEND
        } else {
            0
        };
        return kind as u8 | conjunct;
    }
    if before('a') {
        return Break::Prepend as u8;
    }
    if joined(&['\u{1f600}', '\u{200d}', c]) {
        return Break::Pictographic as u8;
    }
    if after('\u{1f1e6}') {
        return Break::RegionalIndicator as u8;
    }
    if joined(&[CONSONANT_LETTER, LINKER, c]) {
        return Break::Other as u8 | CONSONANT;
    }
    let (leading, vowel, trailing) = ('\u{1100}', '\u{1161}', '\u{11a8}');
    let kind = match (after(leading), after(vowel), after(trailing), before(vowel), before(trailing)) {
        (true, false, false, true, false) => Break::Leading,
        (true, true, false, true, true) => Break::Vowel,
        (false, true, true, false, true) => Break::Trailing,
        (true, false, false, true, true) => Break::LeadingVowel,
        (true, false, false, false, true) => Break::LeadingVowelTrailing,
        _ => Break::Other,
    };
    kind as u8
}
