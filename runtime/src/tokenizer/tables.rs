//! Reads tables of the blob: numbers, classes of characters and character maps.
//!
//! The bytes are not trusted: a malformed table gives wrong answers, never a panic.

use serde::{Deserialize, Serialize};

use crate::format::spec::at_least_one;

/// A range of bytes of the section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The offset of the first byte.
    pub start: u32,
    /// The length in bytes.
    pub len: u32,
}

impl Span {
    /// The bytes, or `None` if the span is out of bounds.
    pub(crate) const fn of(self, section: &[u8]) -> Option<&[u8]> {
        let Some((_, from)) = section.split_at_checked(self.start as usize) else { return None };
        let Some((bytes, _)) = from.split_at_checked(self.len as usize) else { return None };
        Some(bytes)
    }
}

/// The characters that are looked up directly at the head of a table; all others are searched.
pub const ASCII: usize = 128;

/// A table of little-endian words.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Words<'m>(&'m [[u8; 4]]);

impl<'m> Words<'m> {
    pub(crate) const fn new(bytes: &'m [u8]) -> Self {
        Self(bytes.as_chunks().0)
    }

    pub(crate) const fn len(self) -> usize {
        self.0.len()
    }

    /// The word at `index`; `u32::MAX` beyond the end.
    #[inline]
    pub(crate) fn get(self, index: usize) -> u32 {
        self.0.get(index).map_or(u32::MAX, |word| u32::from_le_bytes(*word))
    }

    /// The index of the first word for which `before` is false (`partition_point`).
    #[inline]
    pub(crate) fn partition(self, before: impl Fn(u32) -> bool) -> usize {
        self.0.partition_point(|word| before(u32::from_le_bytes(*word)))
    }
}

/// A table of little-endian numbers of one to four bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Numbers<'m> {
    bytes: &'m [u8],
    width: usize,
}

impl<'m> Numbers<'m> {
    pub(crate) const fn new(bytes: &'m [u8], width: u8) -> Self {
        let width = if width < 1 { 1 } else { width };
        Self { bytes, width: if width > 4 { 4 } else { width as usize } }
    }

    pub(crate) const fn len(self) -> usize {
        self.bytes.len() / at_least_one(self.width)
    }

    /// The number at `index`; `u32::MAX` beyond the end.
    #[inline]
    pub(crate) fn get(self, index: usize) -> u32 {
        // An index read from a blob may be so large that its product with the width wraps.
        let start = index.saturating_mul(self.width);
        let number = self.bytes.get(start..).and_then(|bytes| bytes.get(..self.width));
        number.map_or(u32::MAX, |number| number.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte)))
    }

    /// The first index in `low..high` for whose number `before` is false.
    #[inline]
    pub(crate) fn partition(self, mut low: usize, mut high: usize, before: impl Fn(u32) -> bool) -> usize {
        while low < high {
            let middle = low + (high - low) / 2;
            if before(self.get(middle)) { low = middle + 1 } else { high = middle }
        }
        low
    }
}

/// A class for each character: a byte for each ASCII character, then ascending words of
/// `first character << 8 | class`, each valid up to the next word's character.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Classes<'m> {
    ascii: &'m [u8],
    words: Words<'m>,
}

impl<'m> Classes<'m> {
    pub(crate) const fn new(bytes: &'m [u8]) -> Self {
        let Some((ascii, words)) = bytes.split_at_checked(ASCII) else {
            return Self { ascii: &[], words: Words::new(&[]) };
        };
        Self { ascii, words: Words::new(words) }
    }

    #[inline]
    pub(crate) fn of(self, character: u32) -> u8 {
        #[cfg(test)]
        super::work::count();
        if let Some(&class) = self.ascii.get(character as usize) {
            return class;
        }
        self.of_others(character)
    }

    /// The class of a character beyond ASCII. Not inlined, because it has many callers.
    #[inline(never)]
    fn of_others(self, character: u32) -> u8 {
        match self.words.partition(|word| word >> 8 <= character).checked_sub(1) {
            Some(index) => self.words.get(index) as u8,
            None => 0,
        }
    }

    pub(crate) fn has(self, character: u32) -> bool {
        self.of(character) != 0
    }
}

/// A map from characters to sequences: a byte for each ASCII character, 1 if it changes; then
/// ascending pairs of words, `first character << 11 | (number of characters - 1)` and
/// `kind << 29 | operand`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CharMap<'m> {
    ascii: &'m [u8],
    entries: &'m [[u8; 8]],
    /// Sequences, one after the other: a byte with the length, and three bytes per character.
    sequences: &'m [u8],
}

/// The mapping of an entry's characters. The discriminants are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// Adds `operand - 2^28` to each character.
    Shift = 0,
    /// Adds `operand - 2^28` to the first character, the third and so on.
    Alternate = 1,
    /// Maps all characters to the sequence at offset `operand`.
    Sequence = 2,
    /// Puts a space before and after each character.
    Pad = 3,
}

impl<'m> CharMap<'m> {
    pub(crate) fn new(entries: &'m [u8], sequences: &'m [u8]) -> Self {
        let (ascii, entries) = entries.split_at_checked(ASCII).unwrap_or((&[], &[]));
        Self { ascii, entries: entries.as_chunks().0, sequences }
    }

    /// Passes the characters that replace `character` to `each`, and returns whether it changes.
    #[inline]
    pub(crate) fn apply(self, character: u32, mut each: impl FnMut(u32)) -> bool {
        self.ascii.get(character as usize) != Some(&0) && self.look_up(character, &mut each)
    }

    #[inline(never)]
    fn look_up(self, character: u32, each: &mut dyn FnMut(u32)) -> bool {
        const SPACE: u32 = ' ' as u32;
        let words = |entry: &[u8; 8]| {
            let entry = u64::from_le_bytes(*entry);
            (entry as u32, (entry >> 32) as u32)
        };
        let after = self.entries.partition_point(|entry| words(entry).0 >> 11 <= character);
        let Some(entry) = after.checked_sub(1).and_then(|index| self.entries.get(index)) else { return false };
        let (head, what) = words(entry);
        let place = character - (head >> 11);
        if place > head & 0x7ff {
            return false;
        }
        let operand = what & 0x1fff_ffff;
        match what >> 29 {
            0 => each(character.wrapping_add(operand).wrapping_sub(1 << 28)),
            1 if place.is_multiple_of(2) => each(character.wrapping_add(operand).wrapping_sub(1 << 28)),
            2 => {
                let sequence = self.sequences.get(operand as usize..).unwrap_or(&[]);
                let (count, characters) = sequence.split_first().unwrap_or((&0, &[]));
                let characters = Numbers::new(characters, 3);
                (0..usize::from(*count)).for_each(|index| each(characters.get(index)));
            }
            3 => [SPACE, character, SPACE].into_iter().for_each(each),
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_index_wraps_around_to_a_number() {
        for width in 1..=4 {
            let numbers = Numbers::new(&[7; 64], width);
            for index in
                [16, 64, u32::MAX as usize, 0x8000_0001, 0x5555_5556, 0x4000_0001, usize::MAX, usize::MAX / 2 + 1]
            {
                let expected = if index < 64 / usize::from(width) { numbers.get(0) } else { u32::MAX };
                assert_eq!(numbers.get(index), expected, "index {index} of width {width}");
            }
        }
    }

    #[test]
    fn classes_hold_up_to_the_next_one() {
        let words: [u32; 4] = [5 << 8 | 1, 9 << 8, 20 << 8 | 7, 0x110000 << 8];
        let words = words.map(|word| word + (200 << 8));
        let mut bytes = heapless::Vec::<u8, 144>::from_array([0; ASCII]);
        bytes[97] = 3;
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        let classes = Classes::new(&bytes);
        assert_eq!([0, 97, 204, 205, 208, 209, 219, 220, 0x10ffff].map(|c| classes.of(c)), [0, 3, 0, 1, 1, 0, 0, 7, 7]);
        assert_eq!(Classes::default().of(3), 0);
    }

    #[test]
    fn characters_become_what_their_entry_says() {
        let entry = |first: u32, last: u32, kind: MapKind, operand: u32| {
            [first << 11 | (last - first), (kind as u32) << 29 | operand]
        };
        let entries = [
            entry(65, 90, MapKind::Shift, (1 << 28) + 32),
            entry(256, 259, MapKind::Alternate, (1 << 28) + 1),
            entry(300, 300, MapKind::Sequence, 0),
            entry(301, 302, MapKind::Sequence, 7),
            entry(400, 401, MapKind::Pad, 0),
        ];
        let mut bytes = heapless::Vec::<u8, 192>::from_array(core::array::from_fn::<u8, ASCII, _>(|c| {
            u8::from((65..=90).contains(&c))
        }));
        bytes.extend(entries.iter().flatten().flat_map(|word| word.to_le_bytes()));
        let map = CharMap::new(&bytes, &[2, 97, 0, 0, 1, 3, 0, 0]);
        let become_ = |character| {
            let mut found = heapless::Vec::<u32, 4>::new();
            let changed = map.apply(character, |c| found.push(c).expect("room"));
            (changed, found)
        };
        assert_eq!(become_(66), (true, heapless::Vec::from_array([98])));
        assert_eq!(become_(258), (true, heapless::Vec::from_array([259])));
        assert!(!become_(257).0);
        assert_eq!(become_(300), (true, heapless::Vec::from_array([97, 769])));
        assert_eq!(become_(302), (true, heapless::Vec::new()));
        assert_eq!(become_(401), (true, heapless::Vec::from_array([32, 401, 32])));
        assert_eq!([64, 91, 303, 500].map(|c| become_(c).0), [false; 4]);
    }
}
