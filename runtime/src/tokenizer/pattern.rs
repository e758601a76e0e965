//! Patterns that texts are split at, as the converter compiles them from the families' regular expressions.
//!
//! A pattern is a list of alternatives, the first of which that matches counts; an alternative is a row of items, each a class
//! of characters so many times, as often as possible. Matching goes back over what an item took only where the next one fails,
//! as a backtracking engine does, and these patterns take each character a bounded number of times.

use serde::{Deserialize, Serialize};

use super::tables::{Classes, Span, Words};
use super::text::{Char, Chars};

/// Words of an item: where its class begins, the class's length, and what the item does.
pub const ITEM_WORDS: usize = 3;
/// The most items in an alternative.
pub const MAX_ITEMS: usize = 16;

/// Where a pattern's tables are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern {
    /// Items of all alternatives, one alternative after the other.
    pub items: Span,
    /// A byte for each alternative: how many items it has.
    pub alternatives: Span,
}

/// What an item does with its class of characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// Takes characters of the class, as many as it can.
    Take {
        /// At least so many.
        min: u8,
        /// At most so many; 255 for any number.
        max: u8,
        /// Gives none of them back.
        possessive: bool,
    },
    /// Takes nothing: the next character, if there is one, is not of the class.
    NotAhead,
}

impl ItemKind {
    /// As it stands in the section.
    pub const fn to_word(self) -> u32 {
        match self {
            Self::Take { min, max, possessive } => (possessive as u32) << 16 | (max as u32) << 8 | min as u32,
            Self::NotAhead => 1 << 17,
        }
    }

    const fn from_word(word: u32) -> Self {
        if word & 1 << 17 != 0 {
            return Self::NotAhead;
        }
        Self::Take { min: word as u8, max: (word >> 8) as u8, possessive: word & 1 << 16 != 0 }
    }
}

/// A view of a pattern.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Matcher<'m> {
    section: &'m [u8],
    items: Words<'m>,
    alternatives: &'m [u8],
}

impl<'m> Matcher<'m> {
    /// `None` when a table is not in the section.
    pub(crate) fn new(section: &'m [u8], pattern: &Pattern) -> Option<Self> {
        let items = Words::new(pattern.items.of(section)?);
        let alternatives = pattern.alternatives.of(section)?;
        let matcher = Self { section, items, alternatives };
        let count: usize = alternatives.iter().map(|&count| usize::from(count)).sum();
        let known = (0..count).all(|index| matcher.class(index).is_some());
        let short = alternatives.iter().all(|&count| usize::from(count) <= MAX_ITEMS);
        (known && short && items.len() == count * ITEM_WORDS).then_some(matcher)
    }

    fn class(&self, item: usize) -> Option<Classes<'m>> {
        let span = Span { start: self.items.get(item * ITEM_WORDS), len: self.items.get(item * ITEM_WORDS + 1) };
        span.of(self.section).map(Classes::new)
    }

    /// The length of the match at the beginning of some characters, which may be none.
    pub(crate) fn matches(&self, chars: Chars<'_>) -> Option<usize> {
        let mut first = 0;
        self.alternatives.iter().find_map(|&count| {
            let items = first..first + usize::from(count);
            first = items.end;
            self.take(items, chars, 0)
        })
    }

    /// Where a row of items ends that begins at `at`.
    fn take(&self, mut items: core::ops::Range<usize>, chars: Chars<'_>, at: usize) -> Option<usize> {
        let Some(item) = items.next() else { return Some(at) };
        let classes = self.class(item).unwrap_or_default();
        let is = |c: Char| classes.has(c.character());
        match ItemKind::from_word(self.items.get(item * ITEM_WORDS + 2)) {
            ItemKind::NotAhead if chars.get(at).is_some_and(is) => None,
            ItemKind::NotAhead => self.take(items, chars, at),
            ItemKind::Take { min, max, possessive } => {
                let most = if max == u8::MAX { usize::MAX } else { max.into() };
                let taken = chars.from(at).iter().take(most).take_while(|&c| is(c)).count();
                let least = if possessive { taken.max(min.into()) } else { min.into() };
                (least..=taken).rev().find_map(|taken| self.take(items.clone(), chars, at + taken))
            }
        }
    }
}

/// What becomes of the places where a text is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Behavior {
    /// They are gone.
    Removed,
    /// Each is a split of its own.
    Isolated,
    /// They go with what is before them.
    MergedWithPrevious,
    /// They go with what is after them.
    MergedWithNext,
    /// Neighbours stay together.
    Contiguous,
}
