//! Holds a text while it is tokenized: its characters, their byte offsets, and its splits.

use core::ops::Range;

use super::pause::Pause;
use crate::error::{Buffer, RunError};

/// Marks the id of an added token.
const TOKEN: u32 = 1 << 31;
/// Marks the first character of a split.
const SPLIT: u32 = 1 << 30;

/// Marks a character without a source character of its own: the second or a later one of a
/// replacement.
const INSERTED: u32 = 1 << 29;

/// The error for full scratch memory. [`Tokenizer::encode`](super::Tokenizer::encode) fills in the
/// sizes.
pub(crate) const OUT_OF_SCRATCH: RunError = RunError::BufferTooSmall { buffer: Buffer::Scratch, needed: 0, given: 0 };

/// A character or an added token, and its byte offsets in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Char {
    value: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// A [`Char`] in scratch memory.
type Cell = [u32; 3];

/// Words of a [`Cell`].
const WORDS: usize = 3;

impl From<Cell> for Char {
    fn from([value, start, end]: Cell) -> Self {
        Self { value, start, end }
    }
}

impl From<Char> for Cell {
    fn from(c: Char) -> Self {
        [c.value, c.start, c.end]
    }
}

/// A slice of characters in scratch memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chars<'a>(&'a [Cell]);

impl<'a> Chars<'a> {
    /// The characters stored in `memory`.
    pub(crate) fn of(memory: &'a [u32]) -> Self {
        Self(memory.as_chunks().0)
    }

    pub(crate) fn len(self) -> usize {
        self.0.len()
    }

    pub(crate) fn get(self, index: usize) -> Option<Char> {
        #[cfg(test)]
        super::work::count();
        self.0.get(index).copied().map(Char::from)
    }

    /// The characters in a range; none if the range is out of bounds.
    pub(crate) fn slice(self, range: Range<usize>) -> Self {
        Self(self.0.get(range).unwrap_or(&[]))
    }

    /// The characters from `start` on.
    pub(crate) fn from(self, start: usize) -> Self {
        Self(self.0.get(start..).unwrap_or(&[]))
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Char> + Clone + 'a {
        self.0.iter().copied().map(Char::from)
    }

    /// The number of bytes of the characters' UTF-8.
    pub(crate) fn len_utf8(self) -> usize {
        self.iter().map(Char::len_utf8).sum()
    }

    /// The first split, and the characters after it.
    pub(crate) fn first_split(self) -> (Self, Self) {
        let len = 1 + self.from(1).iter().position(Char::begins_split).unwrap_or(self.len().saturating_sub(1));
        (self.slice(0..len.min(self.len())), self.from(len))
    }
}

impl Char {
    pub(crate) const fn new(character: u32, start: u32, end: u32) -> Self {
        Self { value: character, start, end }
    }

    pub(crate) const fn token(id: u32, start: u32, end: u32) -> Self {
        Self { value: TOKEN | SPLIT | id, start, end }
    }

    /// Another character with the offsets of this one.
    pub(crate) const fn with(self, character: u32) -> Self {
        Self { value: character, ..self }
    }

    /// The character with other offsets.
    pub(crate) const fn spanning(self, start: u32, end: u32) -> Self {
        Self { start, end, ..self }
    }

    /// The id, if this is an added token.
    pub(crate) const fn as_token(self) -> Option<u32> {
        if self.value & TOKEN != 0 { Some(self.value & !(TOKEN | SPLIT)) } else { None }
    }

    pub(crate) const fn character(self) -> u32 {
        self.value & !(SPLIT | INSERTED)
    }

    pub(crate) const fn is_inserted(self) -> bool {
        self.value & INSERTED != 0
    }

    pub(crate) const fn inserted(self, inserted: bool) -> Self {
        Self { value: if inserted { self.value | INSERTED } else { self.value & !INSERTED }, ..self }
    }

    pub(crate) const fn begins_split(self) -> bool {
        self.value & SPLIT != 0
    }

    pub(crate) const fn splitting(self, split: bool) -> Self {
        let value = if split { self.value | SPLIT } else { self.value & !SPLIT };
        Self { value, ..self }
    }

    /// The number of bytes of the character's UTF-8.
    pub(crate) const fn len_utf8(self) -> usize {
        match self.character() {
            0..0x80 => 1,
            0x80..0x800 => 2,
            0x800..0x10000 => 3,
            _ => 4,
        }
    }

    /// The character's UTF-8, padded with zeros.
    pub(crate) const fn utf8(self) -> [u8; 4] {
        let c = self.character();
        match self.len_utf8() {
            1 => [c as u8, 0, 0, 0],
            2 => [0xc0 | (c >> 6) as u8, tail_of(c, 0), 0, 0],
            3 => [0xe0 | (c >> 12) as u8, tail_of(c, 6), tail_of(c, 0), 0],
            _ => [0xf0 | (c >> 18) as u8, tail_of(c, 12), tail_of(c, 6), tail_of(c, 0)],
        }
    }
}

const fn tail_of(character: u32, shift: u32) -> u8 {
    0x80 | (character >> shift & 0x3f) as u8
}

/// A step applied to a split. A trait object, so that [`Text::each_split`] is compiled once.
type Step<'s, 'a> = &'s mut dyn FnMut(&mut Text<'a>, Range<usize>) -> Result<(), RunError>;

/// Two buffers of characters: every step reads one and writes the other.
pub(crate) struct Text<'a> {
    from: &'a mut [Cell],
    to: &'a mut [Cell],
    len: usize,
    written: usize,
    /// Whether `from` is the second half of the memory.
    swapped: bool,
    pause: Pause<'a>,
}

impl<'a> Text<'a> {
    /// An empty text in scratch memory.
    pub(crate) fn new(memory: &'a mut [u32], pause: Pause<'a>) -> Self {
        let (cells, _) = memory.as_chunks_mut();
        let half = cells.len() / 2;
        let (from, to) = cells.split_at_mut_checked(half).unwrap_or((&mut [], &mut []));
        Self { from, to, len: 0, written: 0, swapped: false, pause }
    }

    /// Loads the characters of a string, as one split.
    pub(crate) fn begin(&mut self, string: &str) -> Result<(), RunError> {
        for (at, c) in string.char_indices() {
            self.push(Char::new(c.into(), at as u32, (at + c.len_utf8()) as u32).splitting(at == 0))?;
        }
        self.turn();
        Ok(())
    }

    /// The characters that the current step reads.
    pub(crate) fn chars(&self) -> Chars<'_> {
        Chars(self.from.get(..self.len).unwrap_or(&[]))
    }

    /// The characters that the current step has written.
    pub(crate) fn written(&self) -> Chars<'_> {
        Chars(self.to.get(..self.written).unwrap_or(&[]))
    }

    /// Adds `places` to the number of source characters of the last written character, if one was
    /// written from `begun` on. Its `end` holds that number.
    pub(crate) fn add_places(&mut self, begun: usize, places: u32) {
        if let Some(cell) = self.to.get_mut(begun..self.written).and_then(<[Cell]>::last_mut) {
            let c = Char::from(*cell);
            *cell = Char { end: c.end + places, ..c }.into();
        }
    }

    /// Assigns offsets to the characters written from `begun` on. Each takes the next `end`
    /// characters of `sources`, and has the offsets of the first of them; a character that takes
    /// none has the offsets of the previous one.
    pub(crate) fn place(&mut self, begun: usize, sources: Range<usize>) {
        let mut last = None;
        let mut sources = sources;
        for at in begun..self.written {
            let Some(c) = self.written().get(at) else { break };
            let mut first = None;
            for _ in 0..c.end {
                last = sources.by_ref().find_map(|index| self.get(index).filter(|c| !c.is_inserted())).or(last);
                first = first.or(last);
            }
            if let Some(source) = first.or(last) {
                self.rewrite(at, source.with(c.character()));
            }
        }
    }

    /// Replaces a written character.
    pub(crate) fn rewrite(&mut self, index: usize, c: Char) {
        if let Some(cell) = self.to.get_mut(index) {
            *cell = c.into();
        }
    }

    /// Begins a split at the written character `index`.
    fn begin_split(&mut self, index: usize) {
        if let Some(cell) = self.to.get_mut(index..self.written).and_then(<[Cell]>::first_mut) {
            *cell = Char::from(*cell).splitting(true).into();
        }
    }

    pub(crate) fn push(&mut self, c: Char) -> Result<(), RunError> {
        *self.to.get_mut(self.written).ok_or(OUT_OF_SCRATCH)? = c.into();
        self.written += 1;
        self.tick();
        Ok(())
    }

    /// Counts a character for the [`Pause`].
    pub(crate) fn tick(&mut self) {
        self.pause.tick();
    }

    /// Ends a step: the next step reads the characters that this one has written.
    pub(crate) fn turn(&mut self) {
        core::mem::swap(&mut self.from, &mut self.to);
        (self.len, self.written, self.swapped) = (self.written, 0, !self.swapped);
    }

    /// Applies `step` to each split and copies added tokens unchanged.
    pub(crate) fn each_split(&mut self, step: Step<'_, 'a>) -> Result<(), RunError> {
        let mut start = 0;
        while start < self.len {
            let end = self.end_of_split(start);
            match self.chars().get(start) {
                Some(token) if token.as_token().is_some() => self.push(token)?,
                _ => {
                    let written = self.written;
                    step(self, start..end)?;
                    self.begin_split(written);
                }
            }
            start = end;
        }
        self.turn();
        Ok(())
    }

    /// The end of the split that begins at `start`.
    fn end_of_split(&self, start: usize) -> usize {
        let chars = self.chars();
        if chars.get(start).is_some_and(|first| first.as_token().is_some()) {
            return start + 1;
        }
        start + chars.from(start).first_split().0.len()
    }

    /// Appends characters to the split that is being written.
    pub(crate) fn copy(&mut self, range: Range<usize>) -> Result<(), RunError> {
        for index in range {
            if let Some(c) = self.chars().get(index) {
                self.push(c.with(c.character()))?;
            }
        }
        Ok(())
    }

    /// Appends characters as a new split.
    pub(crate) fn copy_split(&mut self, range: Range<usize>) -> Result<(), RunError> {
        let begun = self.written;
        self.copy(range)?;
        self.begin_split(begun);
        Ok(())
    }

    pub(crate) fn get(&self, index: usize) -> Option<Char> {
        self.chars().get(index)
    }
}

/// The number of characters after the last step, and the half of the memory that holds them.
pub(crate) struct Settled {
    len: usize,
    second: bool,
}

impl Text<'_> {
    pub(crate) fn settle(self) -> Settled {
        Settled { len: self.len, second: self.swapped }
    }
}

impl Settled {
    /// Moves the characters to the front of the memory, and splits off the rest.
    pub(crate) fn split(self, memory: &mut [u32]) -> (Chars<'_>, &mut [u32]) {
        let half = memory.len() / WORDS / 2 * WORDS;
        let words = self.len * WORDS;
        if let (true, Some((front, back))) = (self.second, memory.split_at_mut_checked(half)) {
            front.iter_mut().zip(back).take(words).for_each(|(to, from)| *to = *from);
        }
        let (chars, rest) = memory.split_at_mut_checked(words).unwrap_or((&mut [], &mut []));
        (Chars::of(chars), rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_have_their_utf8() {
        for c in ['a', 'é', '▁', '😀', '\u{10ffff}', '\u{7ff}', '\u{800}', '\u{ffff}'] {
            let char = Char::new(c.into(), 0, 0);
            let mut buffer = [0; 4];
            assert_eq!(&char.utf8()[..char.len_utf8()], c.encode_utf8(&mut buffer).as_bytes());
        }
    }

    #[test]
    fn a_step_rewrites_each_split_and_keeps_tokens() {
        let mut memory = [0; 60];
        let mut nothing = || ();
        let mut text = Text::new(&mut memory, Pause::new(&mut nothing));
        for c in [
            Char::new(97, 0, 1).splitting(true),
            Char::new(98, 1, 2),
            Char::token(7, 2, 4),
            Char::new(99, 4, 5).splitting(true),
        ] {
            text.push(c).expect("room");
        }
        text.turn();
        let mut seen = heapless::Vec::<_, 4>::new();
        text.each_split(&mut |text, range| {
            seen.push(range.clone()).expect("room");
            text.push(Char::new(32, 9, 9))?;
            text.copy(range)
        })
        .expect("room");
        assert_eq!(seen, [0..2, 3..4]);
        let values: heapless::Vec<(u32, bool), 8> =
            text.chars().iter().map(|c| (c.as_token().unwrap_or(c.character()), c.begins_split())).collect();
        assert_eq!(values, [(32, true), (97, false), (98, false), (7, true), (32, true), (99, false)]);
        assert!(matches!(
            text.each_split(&mut |text, range| (0..9).try_for_each(|_| text.copy(range.clone()))),
            Err(RunError::BufferTooSmall { .. })
        ));
    }
}
