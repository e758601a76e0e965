//! Matches the patterns that texts are split at, which the converter compiles from the tokenizers'
//! regular expressions.
//!
//! A pattern is a list of alternatives, of which the first match wins; an alternative is a sequence
//! of items, each a class of characters with a greedy repetition count. The matches are those of a
//! backtracking engine, but all threads of an alternative advance together, a character at a time
//! (Pike's simulation): a match takes at most [`MAX_STATES`] steps per alternative and character,
//! whatever the pattern and the text.

use core::ops::Range;

use serde::{Deserialize, Serialize};

use super::tables::{Classes, Span, Words};
use super::text::{Char, Chars};

/// Words of an item: the start and the length of its class's [`Span`], and its [`ItemKind`].
pub const ITEM_WORDS: usize = 3;
/// The most items in an alternative.
pub const MAX_ITEMS: usize = 16;
/// The most [states](ItemKind::states) that the items of an alternative have together.
pub const MAX_STATES: usize = 64;

/// The tables of a pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern {
    /// Items of all alternatives, one alternative after the other.
    pub items: Span,
    /// A byte for each alternative: its number of items.
    pub alternatives: Span,
}

/// What an item matches, given its class of characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// A greedy repetition of characters of the class.
    Take {
        /// The fewest characters.
        min: u8,
        /// The most characters; 255 for any number.
        max: u8,
        /// Whether the repetition never backtracks.
        possessive: bool,
    },
    /// A negative lookahead: the next character, if there is one, is not in the class.
    NotAhead,
}

impl ItemKind {
    /// The encoding in the section.
    pub const fn to_word(self) -> u32 {
        match self {
            Self::Take { min, max, possessive } => (possessive as u32) << 16 | (max as u32) << 8 | min as u32,
            Self::NotAhead => 1 << 17,
        }
    }

    /// The number of states of the item: counts of taken characters that the simulation
    /// distinguishes.
    pub const fn states(self) -> usize {
        match self {
            Self::NotAhead => 1,
            Self::Take { min, max: u8::MAX, .. } => min as usize + 1,
            Self::Take { max, .. } => max as usize + 1,
        }
    }

    const fn from_word(word: u32) -> Self {
        if word & 1 << 17 != 0 {
            return Self::NotAhead;
        }
        Self::Take { min: word as u8, max: (word >> 8) as u8, possessive: word & 1 << 16 != 0 }
    }
}

/// A view of a pattern in its section.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Matcher<'m> {
    section: &'m [u8],
    items: Words<'m>,
    alternatives: &'m [u8],
}

impl<'m> Matcher<'m> {
    /// Checks a pattern's tables. `None` if one is out of bounds or too large.
    pub(crate) fn new(section: &'m [u8], pattern: &Pattern) -> Option<Self> {
        let items = Words::new(pattern.items.of(section)?);
        let alternatives = pattern.alternatives.of(section)?;
        let matcher = Self { section, items, alternatives };
        let mut count = 0;
        for &items in alternatives {
            let row = count..count + usize::from(items);
            let states: usize = row.clone().map(|item| matcher.kind(item).states()).sum();
            let known = row.clone().all(|item| matcher.class(item).is_some());
            if row.len() > MAX_ITEMS || states > MAX_STATES || !known {
                return None;
            }
            count = row.end;
        }
        (items.len() == count * ITEM_WORDS).then_some(matcher)
    }

    fn kind(&self, item: usize) -> ItemKind {
        ItemKind::from_word(self.items.get(item * ITEM_WORDS + 2))
    }

    fn class(&self, item: usize) -> Option<Classes<'m>> {
        let span = Span { start: self.items.get(item * ITEM_WORDS), len: self.items.get(item * ITEM_WORDS + 1) };
        span.of(self.section).map(Classes::new)
    }

    /// The length of the match at the start of `chars`, which may be 0; `None` without a match.
    pub(crate) fn matches(&self, chars: Chars<'_>) -> Option<usize> {
        let mut first = 0;
        let mut threads = [Threads::default(), Threads::default()];
        self.alternatives.iter().find_map(|&count| {
            let items = first..first + usize::from(count);
            first = items.end;
            self.follow(items, chars, &mut threads)
        })
    }

    /// The length of the match of an alternative at the start of `chars`. `threads` is working
    /// memory.
    fn follow(&self, items: Range<usize>, chars: Chars<'_>, threads: &mut [Threads; 2]) -> Option<usize> {
        let [mut threads, mut next] = threads.each_mut();
        (threads.len, next.len) = (0, 0);
        threads.push(Thread { item: 0, taken: 0 });
        let mut end = None;
        let mut at = 0;
        loop {
            let c = chars.get(at).map(Char::character);
            // Items entered at this character: a second thread that enters one would only repeat
            // the first.
            let mut entered = 0_u32;
            // Threads are in the order in which a backtracking engine tries them.
            'threads: for mut thread in threads.iter() {
                loop {
                    let item = items.start + usize::from(thread.item);
                    if item >= items.end {
                        // A match of this thread beats all matches of later threads.
                        end = Some(at);
                        break 'threads;
                    }
                    if thread.taken == 0 {
                        let bit = 1_u32.wrapping_shl(thread.item.into());
                        if entered & bit != 0 {
                            break;
                        }
                        entered |= bit;
                    }
                    let is = c.is_some_and(|c| self.class(item).unwrap_or_default().has(c));
                    match self.kind(item) {
                        ItemKind::NotAhead if is => break,
                        ItemKind::NotAhead => {}
                        ItemKind::Take { min, max, possessive } => {
                            let takes = is && (max == u8::MAX || thread.taken < max);
                            if takes {
                                // In an unbounded item, counts beyond `min` are equivalent.
                                let most = if max == u8::MAX { min } else { max };
                                next.push(Thread { taken: thread.taken.saturating_add(1).min(most), ..thread });
                            }
                            if thread.taken < min || (possessive && takes) {
                                break;
                            }
                        }
                    }
                    thread = Thread { item: thread.item + 1, taken: 0 };
                }
            }
            at += 1;
            match next.only() {
                None if next.len == 0 => return end,
                // Only the last item is left, unbounded: consume all characters of its class.
                Some(Thread { item, taken }) if items.start + usize::from(item) + 1 == items.end => {
                    let item = items.end - 1;
                    if let ItemKind::Take { min, max: u8::MAX, .. } = self.kind(item)
                        && taken >= min
                    {
                        let classes = self.class(item).unwrap_or_default();
                        let more = chars.from(at).iter().take_while(|c| classes.has(c.character())).count();
                        return Some(at + more);
                    }
                }
                _ => {}
            }
            core::mem::swap(&mut threads, &mut next);
            next.len = 0;
        }
    }
}

/// A state of the simulation: one way to match an alternative up to the current character.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Thread {
    /// The index of the current item in its alternative.
    item: u8,
    /// Characters that the item has taken.
    taken: u8,
}

/// Distinct threads, in the order in which a backtracking engine would try them.
struct Threads {
    slots: [Thread; MAX_STATES],
    len: usize,
}

impl Default for Threads {
    fn default() -> Self {
        Self { slots: [Thread::default(); MAX_STATES], len: 0 }
    }
}

impl Threads {
    fn iter(&self) -> impl Iterator<Item = Thread> + '_ {
        self.slots.iter().take(self.len).copied()
    }

    fn only(&self) -> Option<Thread> {
        self.iter().next().filter(|_| self.len == 1)
    }

    /// Adds a thread unless the list contains it.
    fn push(&mut self, thread: Thread) {
        if self.iter().any(|other| other == thread) {
            return;
        }
        if let Some(slot) = self.slots.get_mut(self.len) {
            *slot = thread;
            self.len += 1;
        }
    }
}

/// The handling of matches when a text is split (`SplitDelimiterBehavior`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Behavior {
    /// Matches are removed.
    Removed,
    /// Each match is a split.
    Isolated,
    /// A match ends the split before it.
    MergedWithPrevious,
    /// A match begins the split after it.
    MergedWithNext,
    /// Adjacent matches form one split.
    Contiguous,
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::super::tables::ASCII;
    use super::super::work;
    use super::*;

    /// A section with the classes `[a]`, `[b]` and `[ab]`, and a pattern over them. Each item is
    /// the index of its class and its kind.
    fn pattern(rows: &[Vec<(usize, ItemKind)>]) -> (Vec<u8>, Pattern) {
        let mut section: Vec<u8> = Vec::new();
        for class in ["a", "b", "ab"] {
            section.extend((0..ASCII as u8).map(|c| u8::from(class.contains(char::from(c)))));
        }
        let items = Span { start: section.len() as u32, len: (4 * ITEM_WORDS * rows.concat().len()) as u32 };
        for (class, kind) in rows.concat() {
            let words = [(class * ASCII) as u32, ASCII as u32, kind.to_word()];
            section.extend(words.into_iter().flat_map(u32::to_le_bytes));
        }
        let alternatives = Span { start: section.len() as u32, len: rows.len() as u32 };
        section.extend(rows.iter().map(|row| row.len() as u8));
        (section, Pattern { items, alternatives })
    }

    fn cells(text: &str) -> Vec<u32> {
        text.chars().flat_map(|c| [c.into(), 0, 0]).collect()
    }

    /// A reference implementation: a backtracking engine.
    fn backtrack(row: &[(usize, ItemKind)], text: &str) -> Option<usize> {
        let Some(((class, kind), rest)) = row.split_first() else { return Some(0) };
        let is = |c: char| ["a", "b", "ab"][*class].contains(c);
        match *kind {
            ItemKind::NotAhead => backtrack(rest, text).filter(|_| !text.starts_with(is)),
            ItemKind::Take { min, max, possessive } => {
                let most = if max == u8::MAX { usize::MAX } else { max.into() };
                let taken = text.chars().take(most).take_while(|&c| is(c)).count();
                let least = if possessive { taken.max(min.into()) } else { min.into() };
                (least..=taken).rev().find_map(|taken| Some(taken + backtrack(rest, &text[taken..])?))
            }
        }
    }

    #[test]
    fn matches_are_those_of_a_backtracking_engine() {
        let mut state = 3_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut matched = 0;
        for _ in 0..20_000 {
            let mut row = || -> Vec<(usize, ItemKind)> {
                let mut items = Vec::new();
                for _ in 0..1 + random(5) {
                    let min = random(3) as u8;
                    let max = [u8::MAX, min + random(3) as u8][random(2) as usize];
                    let take = ItemKind::Take { min, max, possessive: random(5) == 0 };
                    let kind = if random(8) == 0 { ItemKind::NotAhead } else { take };
                    items.push((random(3) as usize, kind));
                }
                items
            };
            let rows: Vec<_> = [row(), row()].into_iter().collect();
            let text: std::string::String = (0..random(12)).map(|_| ['a', 'b', 'a', 'c'][random(4) as usize]).collect();
            let (section, pattern) = pattern(&rows);
            let cells = cells(&text);
            let chars = Chars::of(&cells);
            let found = Matcher::new(&section, &pattern).expect("a pattern").matches(chars);
            assert_eq!(found, rows.iter().find_map(|row| backtrack(row, &text)), "{rows:?} on {text:?}");
            matched += usize::from(found.is_some_and(|len| len > 0));
        }
        assert!(matched > 4_000, "only {matched} matched anything");
    }

    #[test]
    fn no_pattern_does_more_than_its_states_for_each_character() {
        let any = ItemKind::Take { min: 0, max: u8::MAX, possessive: false };
        let some = ItemKind::Take { min: 0, max: 2, possessive: false };
        let once = ItemKind::Take { min: 1, max: 1, possessive: false };
        for kind in [any, some] {
            let mut row = std::vec![(2, kind); MAX_ITEMS - 1];
            row.push((1, once));
            let (section, pattern) = pattern(&[row]);
            let matcher = Matcher::new(&section, &pattern).expect("a pattern");
            for len in [10, 100, 10_000] {
                let cells = cells(&"a".repeat(len));
                let chars = Chars::of(&cells);
                let work = work::during(|| assert_eq!(matcher.matches(chars), None));
                assert!(work <= (MAX_STATES + 1) * (len + 1), "{work} steps for {len} characters");
            }
        }
    }

    #[test]
    fn a_pattern_with_more_states_than_can_be_followed_is_no_pattern() {
        let counted = |max| ItemKind::Take { min: 1, max, possessive: false };
        for (kinds, accepted) in [
            (std::vec![counted(63)], true),
            (std::vec![counted(64)], false),
            (std::vec![counted(31), counted(31)], true),
            (std::vec![counted(31), counted(32)], false),
            (std::vec![counted(1); MAX_ITEMS + 1], false),
        ] {
            let row = kinds.into_iter().map(|kind| (0, kind)).collect();
            let (section, pattern) = pattern(&[row]);
            assert_eq!(Matcher::new(&section, &pattern).is_some(), accepted, "{pattern:?}");
        }
    }
}
