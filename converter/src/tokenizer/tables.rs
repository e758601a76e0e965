//! Writes the tables of a section, which `kinglet::tokenizer::tables` reads.

use std::collections::HashMap;
use std::sync::OnceLock;

use kinglet::tokenizer::tables::{ASCII, MapKind, Span};
use kinglet::tokenizer::vocabulary::{BLOCK, VocabularySpec};

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

/// A table that depends on Unicode only. It is made once, because that takes a test of every
/// character.
pub(super) type Fixed = OnceLock<Vec<u8>>;

/// A map from characters to their replacements that depends on Unicode only: entries and sequences.
pub(super) type FixedMap = OnceLock<(Vec<u8>, Vec<u8>)>;

pub(super) fn bytes_of(words: impl IntoIterator<Item = u32>) -> Vec<u8> {
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// The table of a class for each character: the classes of ASCII, and the characters at which the
/// class changes.
fn classes(ascii: impl Iterator<Item = u8>, changes: Vec<(char, u8)>) -> Vec<u8> {
    let changes = changes.into_iter().map(|(c, class)| u32::from(c) << 8 | u32::from(class));
    ascii.chain(bytes_of(changes)).collect()
}

/// A map from characters to their replacements, as entries and sequences.
fn map(become_: impl Fn(char) -> Option<Vec<char>>) -> (Vec<u8>, Vec<u8>) {
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
    (table, sequences.bytes)
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
        self.add(&bytes_of(words))
    }

    /// A set of characters, as ranges in order.
    pub(super) fn set(&mut self, ranges: &[(char, char)]) -> Span {
        let mut changes: Vec<(char, u8)> = Vec::new();
        for &(first, last) in ranges {
            if changes.last().is_some_and(|&(end, _)| end == first) {
                changes.pop();
            } else {
                changes.push((first, 1));
            }
            changes.extend((last..=char::MAX).nth(1).map(|next| (next, 0)));
        }
        let holds = |c: char| ranges.iter().any(|&(first, last)| (first..=last).contains(&c));
        let ascii = characters().take(ASCII).map(|c| u8::from(holds(c)));
        self.add(&classes(ascii, changes))
    }

    /// Adds a table of a class for each character, 0 for most.
    pub(super) fn fixed(&mut self, table: &Fixed, class: impl Fn(char) -> u8) -> Span {
        let made = table.get_or_init(|| {
            let mut last = 0;
            let changes = characters().map(|c| (c, class(c)));
            let changes = changes.filter(|&(_, class)| core::mem::replace(&mut last, class) != class).collect();
            classes(characters().take(ASCII).map(&class), changes)
        });
        self.add(made)
    }

    /// Adds a map from characters to their replacements, as entries and sequences.
    pub(super) fn fixed_map(&mut self, table: &FixedMap, become_: impl Fn(char) -> Option<Vec<char>>) -> (Span, Span) {
        let (entries, sequences) = table.get_or_init(|| map(become_));
        (self.add(entries), self.add(sequences))
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
