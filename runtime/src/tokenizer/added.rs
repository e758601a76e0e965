//! Tokens that are found in a text before anything else is done to it.

use core::ops::Range;

use super::section::{AddedSpec, LSTRIP, RSTRIP, SINGLE_WORD, SPECIAL};
use super::tables::{Classes, Words};
use super::text::{Char, Chars, Text};
use super::vocabulary::Vocabulary;
use crate::format::error::Error;

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

/// Strings to be found, and which bytes they may begin with.
#[derive(Clone, Copy, Debug, Default)]
struct Finder<'m> {
    strings: Vocabulary<'m>,
    first: [u32; 8],
}

impl Finder<'_> {
    /// Finds out which bytes the strings begin with.
    fn look(&mut self) {
        for rank in 0..self.strings.len() {
            let byte = self.strings.string(rank).next().and_then(<[u8]>::first).copied().unwrap_or(0);
            self.first.iter_mut().skip(usize::from(byte >> 5)).take(1).for_each(|word| *word |= 1_u32 << (byte & 31));
        }
    }

    /// The longest string at the beginning of some characters: its id and its length in characters.
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
    /// With what [`first`](Self::first) said; `None` when a table is not where it should be.
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

    /// The same with its tables looked through; `None` when one is not as it should be.
    pub(crate) fn checked(mut self) -> Option<Self> {
        let whole = [&self.raw.strings, &self.normalized.strings, &self.decoded].into_iter().all(Vocabulary::check);
        self.raw.look();
        self.normalized.look();
        whole.then_some(self)
    }

    /// Which bytes the tokens begin with, those in the text as it is and those in the normalized one.
    #[cfg(feature = "alloc")]
    pub(crate) const fn first(&self) -> [[u32; 8]; 2] {
        [self.raw.first, self.normalized.first]
    }

    fn flags(&self, id: u32) -> u32 {
        let index = self.flags.partition(|word| word >> 8 < id);
        let word = self.flags.get(index);
        if index < self.flags.len() && word >> 8 == id { word & 0xff } else { 0 }
    }

    /// Whether a token is not part of a text.
    pub(crate) fn is_special(&self, id: u32) -> bool {
        self.flags(id) & SPECIAL != 0
    }

    /// Finds tokens in the text as it is.
    pub(crate) fn extract_raw(&self, text: &mut Text<'_>) -> Result<(), Error> {
        text.each_split(&mut |text, range| self.extract(&self.raw, text, range))
    }

    /// Finds tokens in the normalized text.
    pub(crate) fn extract_normalized(&self, text: &mut Text<'_>) -> Result<(), Error> {
        text.each_split(&mut |text, range| self.extract(&self.normalized, text, range))
    }

    fn extract(&self, finder: &Finder<'_>, text: &mut Text<'_>, range: Range<usize>) -> Result<(), Error> {
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
            while flags & RSTRIP != 0 && end < range.end && space(text, end) {
                end += 1;
            }
            if copied < start {
                text.copy_split(copied..start)?;
            }
            if let (Some(first), Some(last)) = (text.get(start), text.get(end - 1)) {
                text.push(Char::token(id, first.start, last.end))?;
            }
            // What it swallowed is gone, but the search goes on after the string itself.
            copied = end;
        }
        if copied < range.end { text.copy_split(copied..range.end) } else { Ok(()) }
    }
}
