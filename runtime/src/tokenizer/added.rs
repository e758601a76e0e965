//! Extracts added tokens from a text, before it is normalized and split.

use core::ops::Range;

use super::section::{AddedSpec, LSTRIP, RSTRIP, SINGLE_WORD, SPECIAL};
use super::tables::{Classes, Words};
use super::text::{Char, Chars, Text};
use super::vocabulary::{Vocabulary, VocabularySpec};
use crate::error::RunError;

/// The longest added token, in bytes.
pub const MAX_ADDED: usize = 255;

/// The added tokens of a tokenizer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Added<'m> {
    raw: Finder<'m>,
    normalized: Finder<'m>,
    pub(crate) decoded: Vocabulary<'m>,
    flags: Words<'m>,
    spaces: Classes<'m>,
    words: Classes<'m>,
}

/// A set of strings, and a bit set of their first bytes that rejects most positions at once.
#[derive(Clone, Copy, Debug, Default)]
struct Finder<'m> {
    strings: Vocabulary<'m>,
    first: [u32; 8],
}

impl<'m> Finder<'m> {
    /// Reads the strings from a section and collects their first bytes. `None` if the tables are
    /// invalid or a string is empty, which would match everywhere.
    #[inline(never)]
    fn read(&mut self, section: &'m [u8], spec: &VocabularySpec) -> Option<()> {
        self.strings = Vocabulary::new(section, spec).filter(Vocabulary::check)?;
        for rank in 0..self.strings.len() {
            let &byte = self.strings.string(rank).next().and_then(<[u8]>::first)?;
            self.first.iter_mut().skip(usize::from(byte >> 5)).take(1).for_each(|word| *word |= 1_u32 << (byte & 31));
        }
        Some(())
    }

    /// The longest string that `chars` begins with: its id and its length in characters.
    fn find(&self, chars: Chars<'_>) -> Option<(u32, usize)> {
        let [byte, ..] = chars.get(0)?.utf8();
        if self.first.get(usize::from(byte >> 5))? >> (byte & 31) & 1 == 0 {
            return None;
        }
        let mut bytes = [0; MAX_ADDED];
        let mut filled = 0;
        for c in chars.iter() {
            let utf8 = c.utf8();
            let Some(to) = bytes.get_mut(filled..filled + c.len_utf8()) else { break };
            to.iter_mut().zip(utf8).for_each(|(to, from)| *to = from);
            filled += c.len_utf8();
        }
        let (rank, len) = self.strings.longest_prefix(bytes.get(..filled)?)?;
        let mut left = len;
        let count = chars.iter().take_while(|c| {
            let within = left > 0;
            left = left.saturating_sub(c.len_utf8());
            within
        });
        Some((self.strings.id(rank), count.count()))
    }
}

impl<'m> Added<'m> {
    /// Restores the tokens of an exported tokenizer, with the sets that [`first`](Self::first)
    /// returned. `None` if a table is out of bounds.
    pub(crate) const fn new(section: &'m [u8], spec: &AddedSpec, first: [[u32; 8]; 2]) -> Option<Self> {
        let (Some(raw), Some(normalized), Some(decoded)) = (
            Vocabulary::new(section, &spec.raw),
            Vocabulary::new(section, &spec.normalized),
            Vocabulary::new(section, &spec.decoded),
        ) else {
            return None;
        };
        let (Some(flags), Some(spaces), Some(words)) =
            (spec.flags.of(section), spec.spaces.of(section), spec.words.of(section))
        else {
            return None;
        };
        Some(Self {
            raw: Finder { strings: raw, first: first[0] },
            normalized: Finder { strings: normalized, first: first[1] },
            decoded,
            flags: Words::new(flags),
            spaces: Classes::new(spaces),
            words: Classes::new(words),
        })
    }

    /// Reads the tokens of a section into `self` and checks their tables. `None` if one is invalid.
    #[inline(never)]
    pub(crate) fn read(&mut self, section: &'m [u8], spec: &AddedSpec) -> Option<()> {
        self.raw.read(section, &spec.raw)?;
        self.normalized.read(section, &spec.normalized)?;
        self.decoded = Vocabulary::new(section, &spec.decoded).filter(Vocabulary::check)?;
        self.flags = Words::new(spec.flags.of(section)?);
        self.spaces = Classes::new(spec.spaces.of(section)?);
        self.words = Classes::new(spec.words.of(section)?);
        Some(())
    }

    /// The bit sets of first bytes: of tokens matched in the raw text, and in the normalized text.
    #[cfg(feature = "alloc")]
    pub(crate) const fn first(&self) -> [[u32; 8]; 2] {
        [self.raw.first, self.normalized.first]
    }

    fn flags(&self, id: u32) -> u32 {
        let index = self.flags.partition(|word| word >> 8 < id);
        let word = self.flags.get(index);
        if index < self.flags.len() && word >> 8 == id { word & 0xff } else { 0 }
    }

    /// Whether a token is special, that is, decoding may skip it.
    pub(crate) fn is_special(&self, id: u32) -> bool {
        self.flags(id) & SPECIAL != 0
    }

    /// Extracts the tokens that are matched before normalization.
    pub(crate) fn extract_raw(&self, text: &mut Text<'_>) -> Result<(), RunError> {
        text.each_split(&mut |text, range| self.extract(&self.raw, text, range))
    }

    /// Extracts the tokens that are matched after normalization.
    pub(crate) fn extract_normalized(&self, text: &mut Text<'_>) -> Result<(), RunError> {
        text.each_split(&mut |text, range| self.extract(&self.normalized, text, range))
    }

    fn extract(&self, finder: &Finder<'_>, text: &mut Text<'_>, range: Range<usize>) -> Result<(), RunError> {
        if finder.strings.len() == 0 {
            return text.copy(range);
        }
        let space = |text: &Text<'_>, at: usize| text.get(at).is_some_and(|c| self.spaces.has(c.character()));
        let word = |text: &Text<'_>, at: usize| text.get(at).is_some_and(|c| self.words.has(c.character()));
        let (mut at, mut copied) = (range.start, range.start);
        while at < range.end {
            let Some((id, len)) = finder.find(text.chars().slice(at..range.end)) else {
                at += 1;
                continue;
            };
            let flags = self.flags(id);
            let (mut start, mut end) = (at, at + len);
            at = end;
            let inside = (start > range.start && word(text, start - 1)) || (end < range.end && word(text, end));
            if flags & SINGLE_WORD != 0 && inside {
                continue;
            }
            while flags & LSTRIP != 0 && start > copied && space(text, start - 1) {
                start -= 1;
            }
            // The previous token already stripped the white space up to `copied`: continue there.
            end = if flags & RSTRIP != 0 { end.max(copied) } else { end };
            while flags & RSTRIP != 0 && end < range.end && space(text, end) {
                end += 1;
            }
            if copied < start {
                text.copy_split(copied..start)?;
            }
            if let (Some(first), Some(last)) = (text.get(start), text.get(end - 1)) {
                text.push(Char::token(id, first.start, last.end))?;
            }
            // Stripped spaces are dropped, but the search continues right after the string.
            copied = end;
        }
        if copied < range.end { text.copy_split(copied..range.end) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::super::pause::Pause;
    use super::super::section::AddedSpec;
    use super::super::tables::{ASCII, Span};
    use super::super::vocabulary::VocabularySpec;
    use super::super::work;
    use super::*;

    fn table(section: &mut Vec<u8>, bytes: &[u8]) -> Span {
        let span = Span { start: section.len() as u32, len: bytes.len() as u32 };
        section.extend_from_slice(bytes);
        span
    }

    /// A section with added tokens of ids 0, 1 and so on, which strip the spaces on their right.
    fn added(strings: &[&str]) -> (Vec<u8>, AddedSpec) {
        let mut section = Vec::new();
        let data: Vec<u8> = strings.iter().flat_map(|s| [&[s.len() as u8], s.as_bytes()].concat()).collect();
        let ids: Vec<u8> = (0..strings.len() as u16).flat_map(u16::to_le_bytes).collect();
        let flags: Vec<u8> = (0..strings.len() as u32).flat_map(|id| (id << 8 | RSTRIP).to_le_bytes()).collect();
        let spaces: Vec<u8> = (0..ASCII as u8).map(|c| u8::from(c == b' ')).collect();
        let raw = VocabularySpec {
            entries: strings.len() as u32,
            blocks: table(&mut section, &[0; 4]),
            data: table(&mut section, &data),
            width: 2,
            ids: table(&mut section, &ids),
            ..VocabularySpec::default()
        };
        let none = VocabularySpec::default();
        let (flags, spaces) = (table(&mut section, &flags), table(&mut section, &spaces));
        (section, AddedSpec { raw, normalized: none, flags, decoded: none, spaces, words: Span::default() })
    }

    #[test]
    fn a_token_that_is_the_empty_string_is_not_as_it_should_be() {
        for (strings, accepted) in [(&["<x>", "<y>"][..], true), (&["", "<x>"], false), (&["<x>", ""], false)] {
            let (section, spec) = added(strings);
            let found = Added::default().read(&section, &spec);
            assert_eq!(found.is_some(), accepted, "{strings:?}");
        }
    }

    #[test]
    fn the_work_for_swallowed_spaces_grows_as_the_text_does() {
        let (section, spec) = added(&[" "]);
        let mut added = Added::default();
        added.read(&section, &spec).expect("they are whole");
        let work = |len: u32| {
            let mut memory = std::vec![0; 6 * len as usize];
            let mut nothing = || ();
            let mut text = Text::new(&mut memory, Pause::new(&mut nothing));
            (0..len).for_each(|at| text.push(Char::new(' '.into(), at, at + 1).splitting(at == 0)).expect("room"));
            text.turn();
            let work = work::during(|| added.extract_raw(&mut text).expect("room"));
            assert!(text.chars().iter().enumerate().all(|(at, c)| (c.start, c.end) == (at as u32, len)));
            work
        };
        let (once, often) = (work(50), work(3200));
        assert!(once >= 50 && often < 2 * 64 * once, "{once} steps for 50 spaces, {often} for 3,200");
    }
}
