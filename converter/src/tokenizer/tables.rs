//! Writes the tables of a section, which `kinglet::tokenizer::tables` reads.

use std::collections::HashMap;

use kinglet::tokenizer::graphemes::{Break, CONJUNCT_EXTEND, CONJUNCT_LINKER, CONSONANT};
use kinglet::tokenizer::tables::{ASCII, MapKind, Span};
use kinglet::tokenizer::vocabulary::{BLOCK, VocabularySpec};
use unicode_normalization_alignments::char::{
    canonical_combining_class, compose, decompose_canonical, decompose_compatible,
};
use unicode_segmentation::UnicodeSegmentation;

/// A section under construction. Equal tables are stored once.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) bytes: Vec<u8>,
    known: HashMap<Vec<u8>, Span>,
}

/// Every character.
pub(super) fn characters() -> impl Iterator<Item = char> {
    '\0'..=char::MAX
}

impl Tables {
    /// Tables that begin at byte `start` of the section.
    pub(super) fn new(start: usize) -> Self {
        Self { bytes: vec![0; start], known: HashMap::new() }
    }

    pub(super) fn add(&mut self, table: &[u8]) -> Span {
        if table.is_empty() {
            return Span::default();
        }
        if let Some(span) = self.known.get(table) {
            return *span;
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        let span = Span { start: self.bytes.len() as u32, len: table.len() as u32 };
        self.bytes.extend_from_slice(table);
        self.known.insert(table.to_vec(), span);
        span
    }

    pub(super) fn words(&mut self, words: impl IntoIterator<Item = u32>) -> Span {
        let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
        self.add(&bytes)
    }

    /// A class for each character; 0 for most.
    pub(super) fn classes(&mut self, class: impl Fn(char) -> u8) -> Span {
        let mut table: Vec<u8> = characters().take(ASCII).map(&class).collect();
        let mut last = 0;
        for c in characters() {
            let class = class(c);
            if class != last {
                table.extend((u32::from(c) << 8 | u32::from(class)).to_le_bytes());
                last = class;
            }
        }
        self.add(&table)
    }

    pub(super) fn set(&mut self, is: impl Fn(char) -> bool) -> Span {
        self.classes(|c| u8::from(is(c)))
    }

    /// A map from characters to their replacements, as entries and sequences.
    pub(super) fn map(&mut self, become_: impl Fn(char) -> Option<Vec<char>>) -> (Span, Span) {
        let mut entries: Vec<Entry> = Vec::new();
        let mut sequences = Sequences::default();
        for c in characters() {
            let Some(to) = become_(c) else { continue };
            let (kind, operand) = match to[..] {
                [one] => (MapKind::Shift, (1_u32 << 28).wrapping_add_signed(one as i32 - c as i32)),
                [' ', middle, ' '] if middle == c => (MapKind::Pad, 0),
                _ => (MapKind::Sequence, sequences.place(&to)),
            };
            let place = u32::from(c);
            match entries.last_mut() {
                Some(entry) if entry.takes(place, kind, operand) => entry.last = place,
                Some(entry) if entry.alternates_to(place, kind, operand) => {
                    (entry.kind, entry.last) = (MapKind::Alternate, place);
                }
                _ => entries.push(Entry { first: place, last: place, kind, operand }),
            }
        }
        let mut table: Vec<u8> = characters().take(ASCII).map(|c| u8::from(become_(c).is_some())).collect();
        for entry in entries {
            table.extend((entry.first << 11 | (entry.last - entry.first)).to_le_bytes());
            table.extend(((entry.kind as u32) << 29 | entry.operand).to_le_bytes());
        }
        (self.add(&table), self.add(&sequences.bytes))
    }

    /// The map of canonical or compatible decompositions. Hangul syllables are left out, because a
    /// formula decomposes them.
    pub(super) fn decompositions(&mut self, compatible: bool) -> (Span, Span) {
        self.map(|c| {
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
        self.classes(canonical_combining_class)
    }

    /// The pairs of characters that compose to one character.
    pub(super) fn compositions(&mut self) -> Span {
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
        self.words(pairs.into_iter().flatten())
    }

    /// The class of each character at the boundaries of grapheme clusters.
    pub(super) fn graphemes(&mut self) -> Span {
        self.classes(grapheme_class)
    }

    /// Strings with their ids, in the order of the strings. `ranks` adds a map from ids to strings,
    /// and `prefixes` one from each string to its longest prefix.
    pub(super) fn vocabulary(
        &mut self,
        mut strings: Vec<(Vec<u8>, u32)>,
        ranks: bool,
        prefixes: bool,
    ) -> VocabularySpec {
        strings.sort();
        let largest = strings.iter().map(|(_, id)| *id).max().unwrap_or(0).max(strings.len() as u32);
        let width: u8 = if largest < 0xffff { 2 } else { 3 };
        let narrow = |number: u32| number.to_le_bytes().into_iter().take(width.into());
        let (mut blocks, mut data) = (Vec::new(), Vec::new());
        let mut previous: &[u8] = &[];
        for (rank, (string, _)) in strings.iter().enumerate() {
            if rank % BLOCK == 0 {
                blocks.push(data.len() as u32);
                previous = &[];
            }
            let shared = previous.iter().zip(string).take_while(|(a, b)| a == b).count();
            let own = &string[shared..];
            data.push((shared.min(15) << 4 | own.len().min(15)) as u8);
            for count in [shared, own.len()].into_iter().filter(|&count| count >= 15) {
                data.extend((count as u16).to_le_bytes());
            }
            data.extend_from_slice(own);
            previous = string;
        }
        let back = if ranks {
            let mut back = vec![u32::MAX; strings.iter().map(|(_, id)| *id as usize + 1).max().unwrap_or(0)];
            strings.iter().enumerate().for_each(|(rank, (_, id))| back[*id as usize] = rank as u32);
            back
        } else {
            Vec::new()
        };
        let parents = if prefixes { parents(&strings) } else { Vec::new() };
        VocabularySpec {
            entries: strings.len() as u32,
            blocks: self.words(blocks),
            data: self.add(&data),
            width,
            ids: self.add(&strings.iter().flat_map(|(_, id)| narrow(*id)).collect::<Vec<u8>>()),
            ranks: self.add(&back.into_iter().flat_map(narrow).collect::<Vec<u8>>()),
            prefixes: self.words(parents),
        }
    }
}

/// For each string the rank of its longest proper prefix in the list, in the upper 24 bits, and its
/// length in the lower 8.
fn parents(strings: &[(Vec<u8>, u32)]) -> Vec<u32> {
    let mut open: Vec<usize> = Vec::new();
    let mut words = Vec::with_capacity(strings.len());
    for (rank, (string, _)) in strings.iter().enumerate() {
        while open
            .last()
            .is_some_and(|&other| strings[other].0.len() == string.len() || !string.starts_with(&strings[other].0))
        {
            open.pop();
        }
        let parent = open.last().map_or(0x00ff_ffff, |&other| other as u32);
        words.push(parent << 8 | string.len() as u32);
        open.push(rank);
    }
    words
}

/// A run of characters that are mapped by one rule.
struct Entry {
    first: u32,
    last: u32,
    kind: MapKind,
    operand: u32,
}

impl Entry {
    /// The most characters of an entry.
    const MOST: u32 = 2048;

    fn takes(&self, place: u32, kind: MapKind, operand: u32) -> bool {
        let step = if self.kind == MapKind::Alternate { 2 } else { 1 };
        let alike = self.kind == kind || (self.kind == MapKind::Alternate && kind == MapKind::Shift);
        alike && self.operand == operand && place == self.last + step && place - self.first < Self::MOST
    }

    /// Whether the entry can become one in which every second character is shifted.
    fn alternates_to(&self, place: u32, kind: MapKind, operand: u32) -> bool {
        let one = self.kind == MapKind::Shift && self.first == self.last;
        one && kind == MapKind::Shift && self.operand == operand && place == self.last + 2
    }
}

/// Sequences of characters, each stored once.
#[derive(Default)]
struct Sequences {
    bytes: Vec<u8>,
    known: HashMap<Vec<char>, u32>,
}

impl Sequences {
    fn place(&mut self, sequence: &[char]) -> u32 {
        if let Some(place) = self.known.get(sequence) {
            return *place;
        }
        let place = self.bytes.len() as u32;
        self.bytes.push(sequence.len() as u8);
        self.bytes.extend(sequence.iter().flat_map(|c| u32::from(*c).to_le_bytes().into_iter().take(3)));
        self.known.insert(sequence.to_vec(), place);
        place
    }
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
