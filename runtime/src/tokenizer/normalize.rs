//! Normalizes a text before it is split.

use core::ops::Range;

use super::graphemes::Clusters;
use super::pattern::Matcher;
use super::section::{NormalizerStep, Uses};
use super::tables::{CharMap, Classes, Words};
use super::text::{Char, Text};
use crate::error::RunError;

/// Hangul syllables, which compose from letters (jamo) by a formula (Unicode 15, section 3.12).
mod hangul {
    pub(super) const SYLLABLES: u32 = 0xac00;
    pub(super) const LEADING: u32 = 0x1100;
    pub(super) const VOWELS: u32 = 0x1161;
    pub(super) const TRAILING: u32 = 0x11a7;
    pub(super) const LEADING_COUNT: u32 = 19;
    pub(super) const VOWEL_COUNT: u32 = 21;
    pub(super) const TRAILING_COUNT: u32 = 28;
    pub(super) const COUNT: u32 = LEADING_COUNT * VOWEL_COUNT * TRAILING_COUNT;

    /// The letters of a syllable.
    pub(super) fn decompose(character: u32) -> Option<impl Iterator<Item = u32>> {
        let index = character.checked_sub(SYLLABLES).filter(|&index| index < COUNT)?;
        let (pair, trailing) = (index / TRAILING_COUNT, index % TRAILING_COUNT);
        let letters = [LEADING + pair / VOWEL_COUNT, VOWELS + pair % VOWEL_COUNT, TRAILING + trailing];
        Some(letters.into_iter().take(if trailing == 0 { 2 } else { 3 }))
    }

    /// The syllable composed of two letters, or of a syllable and a letter.
    pub(super) fn compose(first: u32, second: u32) -> Option<u32> {
        let place = |character: u32, from: u32, count: u32| character.checked_sub(from).filter(|&place| place < count);
        let leading = place(first, LEADING, LEADING_COUNT).zip(place(second, VOWELS, VOWEL_COUNT));
        let trailing = place(first, SYLLABLES, COUNT).filter(|syllable| syllable % TRAILING_COUNT == 0);
        let trailing = trailing.zip(place(second, TRAILING, TRAILING_COUNT).filter(|&place| place > 0));
        leading
            .map(|(leading, vowel)| SYLLABLES + (leading * VOWEL_COUNT + vowel) * TRAILING_COUNT)
            .or_else(|| trailing.map(|(_, place)| first + place))
    }
}

/// Applies one step of the normalizer to everything but added tokens.
pub(crate) fn normalize(
    section: &[u8],
    step: &NormalizerStep,
    uses: Uses,
    text: &mut Text<'_>,
) -> Result<(), RunError> {
    let bytes = |span: super::tables::Span| span.of(section).unwrap_or(&[]);
    match *step {
        NormalizerStep::Map { entries, sequences } if uses.has(Uses::MAP) => {
            let map = CharMap::new(bytes(entries), bytes(sequences));
            text.each_split(&mut |text, range| map_range(map, text, range))
        }
        NormalizerStep::Decompose { entries, sequences, classes } if uses.has(Uses::DECOMPOSE) => {
            let (map, classes) = (CharMap::new(bytes(entries), bytes(sequences)), Classes::new(bytes(classes)));
            text.each_split(&mut |text, range| decompose(map, classes, text, range))
        }
        NormalizerStep::Compose { classes, pairs } if uses.has(Uses::COMPOSE) => {
            let (classes, pairs) = (Classes::new(bytes(classes)), Words::new(bytes(pairs)));
            text.each_split(&mut |text, range| compose(classes, pairs, text, range))
        }
        NormalizerStep::Charsmap { trie, strings, graphemes } if uses.has(Uses::CHARSMAP) => {
            let charsmap = Charsmap { trie: Words::new(bytes(trie)), strings: bytes(strings) };
            let classes = Classes::new(bytes(graphemes));
            text.each_split(&mut |text, range| charsmap.normalize(classes, text, range))
        }
        NormalizerStep::Replace { pattern, content } if uses.has(Uses::REPLACE) => {
            let matcher = Matcher::new(section, &pattern).unwrap_or_default();
            let content = core::str::from_utf8(bytes(content)).unwrap_or("");
            text.each_split(&mut |text, range| replace(&matcher, content, text, range))
        }
        NormalizerStep::Strip { left, right, spaces } if uses.has(Uses::STRIP) => {
            let spaces = Classes::new(bytes(spaces));
            text.each_split(&mut |text, mut range| {
                let is_space = |text: &Text<'_>, at: usize| text.get(at).is_some_and(|c| spaces.has(c.character()));
                while left && !range.is_empty() && is_space(text, range.start) {
                    range.start += 1;
                }
                while right && !range.is_empty() && is_space(text, range.end - 1) {
                    range.end -= 1;
                }
                text.copy(range)
            })
        }
        NormalizerStep::Prepend { content } if uses.has(Uses::PREPEND) => {
            let content = core::str::from_utf8(bytes(content)).unwrap_or("");
            text.each_split(&mut |text, range| {
                if let Some(first) = text.get(range.start) {
                    content.chars().try_for_each(|c| text.push(first.with(c.into())))?;
                }
                text.copy(range)
            })
        }
        _ => Ok(()),
    }
}

fn map_range(map: CharMap<'_>, text: &mut Text<'_>, range: Range<usize>) -> Result<(), RunError> {
    for index in range {
        let Some(c) = text.get(index) else { break };
        let mut pushed = Ok(());
        let changed = map.apply(c.character(), |to| pushed = pushed.and_then(|()| text.push(c.with(to))));
        pushed?;
        if !changed {
            text.push(c.with(c.character()))?;
        }
    }
    Ok(())
}

/// Decomposes characters and puts their combining marks in canonical order.
fn decompose(map: CharMap<'_>, classes: Classes<'_>, text: &mut Text<'_>, range: Range<usize>) -> Result<(), RunError> {
    let begun = text.written().len();
    // The start of the marks that are not sorted yet.
    let mut pending = begun;
    for index in range.clone() {
        let Some(c) = text.get(index) else { break };
        let before = text.written().len();
        let mut pushed = Ok(());
        let mut push = |letter: u32| {
            let inserted = text.written().len() > before;
            pushed = pushed.and_then(|()| text.push(c.with(letter).inserted(inserted)));
        };
        match hangul::decompose(c.character()) {
            Some(letters) => letters.for_each(&mut push),
            None if map.apply(c.character(), &mut push) => {}
            None => push(c.character()),
        }
        pushed?;
        for at in before..text.written().len() {
            let class = text.written().get(at).map_or(0, |c| classes.of(c.character()));
            if class == 0 {
                sort_marks(classes, text, pending..at);
                pending = at;
            }
        }
    }
    let end = text.written().len();
    sort_marks(classes, text, pending..end);
    // Sorting moved marks: assign the source offsets again, in order, to characters that were not
    // inserted.
    let mut source = text.get(range.start).map(|first| first.spanning(first.start, first.start));
    let mut sources = range;
    for at in begun..end {
        let Some(c) = text.written().get(at) else { break };
        if !c.is_inserted() {
            source = sources.next().and_then(|index| text.get(index)).or(source);
        }
        if let Some(source) = source {
            text.rewrite(at, source.with(c.character()).inserted(c.is_inserted()));
        }
    }
    Ok(())
}

/// Sorts the written characters of `range` by combining class, stably.
///
/// A counting sort in place: for each class it computes the destination of its characters, then
/// moves every character once. It is linear in the length of the run, because there are at most 256
/// classes. Destination and class are kept in `start` and `end`, which the caller must assign
/// again.
fn sort_marks(classes: Classes<'_>, text: &mut Text<'_>, range: Range<usize>) {
    let mut class_before = 0;
    let mut is_sorted = true;
    for at in range.clone() {
        let Some(c) = text.written().get(at) else { break };
        let class = classes.of(c.character());
        is_sorted &= class_before <= class;
        class_before = class;
    }
    if is_sorted {
        return;
    }
    for at in range.clone() {
        let Some(c) = text.written().get(at) else { break };
        text.rewrite(at, c.spanning(c.start, classes.of(c.character()).into()));
    }
    let mut to = range.start;
    let mut next = Some(0);
    while let Some(class) = next.take() {
        for at in range.clone() {
            let Some(c) = text.written().get(at) else { break };
            if c.end == class {
                text.rewrite(at, c.spanning(to as u32, c.end));
                to += 1;
            } else if c.end > class {
                next = Some(next.map_or(c.end, |next: u32| next.min(c.end)));
            }
        }
    }
    for at in range {
        // Each iteration moves one character to its destination.
        while let Some(c) = text.written().get(at).filter(|c| c.start as usize != at) {
            let Some(other) = text.written().get(c.start as usize) else { break };
            text.rewrite(c.start as usize, c);
            text.rewrite(at, other);
        }
    }
}

/// Composes characters with their combining marks.
fn compose(classes: Classes<'_>, pairs: Words<'_>, text: &mut Text<'_>, range: Range<usize>) -> Result<(), RunError> {
    let begun = text.written().len();
    // The index of the last starter, and the class of the last mark after it.
    let (mut starter, mut last) = (None, None);
    for index in range.clone() {
        let Some(c) = text.get(index) else { break };
        // During composition, `end` counts the source characters of a character.
        let places = u32::from(!c.is_inserted());
        let class = classes.of(c.character());
        let blocked = last.is_some_and(|last| last >= class);
        let first = starter.filter(|_| !blocked).and_then(|at| Some((at, text.written().get(at)?)));
        let composed = first.and_then(|(at, first)| Some((at, first, pair(pairs, first.character(), c.character())?)));
        if let Some((at, first, composed)) = composed {
            text.rewrite(at, Char::new(composed, 0, first.end + places));
            continue;
        }
        if class == 0 {
            (starter, last) = (Some(text.written().len()), None);
        } else if starter.is_some() {
            last = Some(class);
        }
        text.push(Char::new(c.character(), 0, places))?;
    }
    text.place(begun, range);
    Ok(())
}

fn pair(pairs: Words<'_>, first: u32, second: u32) -> Option<u32> {
    if let Some(syllable) = hangul::compose(first, second) {
        return Some(syllable);
    }
    let count = pairs.len() / 3;
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        let here = (pairs.get(3 * middle), pairs.get(3 * middle + 1));
        if here < (first, second) { low = middle + 1 } else { high = middle }
    }
    let found = low < count && (pairs.get(3 * low), pairs.get(3 * low + 1)) == (first, second);
    found.then(|| pairs.get(3 * low + 2))
}

fn replace(matcher: &Matcher<'_>, content: &str, text: &mut Text<'_>, range: Range<usize>) -> Result<(), RunError> {
    let mut at = range.start;
    while at < range.end {
        let found = matcher.matches(text.chars().slice(at..range.end)).filter(|&len| len > 0);
        match (found, found.and_then(|len| text.get(at + len - 1))) {
            (Some(len), Some(last)) => {
                content.chars().try_for_each(|c| text.push(last.with(c.into())))?;
                at += len;
            }
            _ => {
                text.copy(at..at + 1)?;
                at += 1;
            }
        }
    }
    Ok(())
}

/// SentencePiece's `precompiled_charsmap`: a double-array trie of strings and their replacements.
struct Charsmap<'m> {
    trie: Words<'m>,
    strings: &'m [u8],
}

impl<'m> Charsmap<'m> {
    /// Clusters shorter than this many bytes are looked up as a whole.
    const SHORT_CLUSTER: usize = 6;

    fn normalize(&self, classes: Classes<'_>, text: &mut Text<'_>, range: Range<usize>) -> Result<(), RunError> {
        let begun = text.written().len();
        let mut at = range.start;
        while at < range.end {
            let len = Clusters::new(classes).len(text.chars().slice(at..range.end)).max(1);
            let cluster = at..at + len;
            at = cluster.end;
            let bytes = text.chars().slice(cluster.clone()).len_utf8();
            let whole = if bytes < Self::SHORT_CLUSTER { self.find(text, cluster.clone()) } else { None };
            if let Some(found) = whole {
                Self::put(found, len as u32, begun, text)?;
                continue;
            }
            for index in cluster {
                match (self.find(text, index..index + 1), text.get(index)) {
                    (Some(found), _) => Self::put(found, 1, begun, text)?,
                    (None, Some(c)) => text.push(Char::new(c.character(), 0, 1))?,
                    (None, None) => {}
                }
            }
        }
        text.place(begun, range);
        Ok(())
    }

    /// The replacement of the shortest prefix of `range` that is in the trie.
    fn find(&self, text: &Text<'_>, range: Range<usize>) -> Option<&'m str> {
        let unit = |at: u32| self.trie.get(at as usize);
        let offset = |unit: u32| (unit >> 10) << ((unit & 1 << 9) >> 6);
        let mut node = offset(unit(0));
        for c in text.chars().slice(range).iter() {
            for &byte in c.utf8().get(..c.len_utf8())? {
                node ^= u32::from(byte);
                let found = unit(node);
                if byte == 0 || found & (1 << 31 | 0xff) != u32::from(byte) {
                    return None;
                }
                node ^= offset(found);
                if found >> 8 & 1 == 1 {
                    let string = self.strings.get((unit(node) & 0x7fff_ffff) as usize..)?;
                    let len = string.iter().position(|&byte| byte == 0).unwrap_or(string.len());
                    return core::str::from_utf8(string.get(..len)?).ok();
                }
            }
        }
        None
    }

    /// Replaces `places` source characters by a string. Each character of the string takes one
    /// source character, and the last one takes the rest. If the string is empty, the previously
    /// written character takes them.
    fn put(string: &str, places: u32, begun: usize, text: &mut Text<'_>) -> Result<(), RunError> {
        let mut left = places;
        for c in string.chars() {
            let place = left.min(1);
            text.push(Char::new(c.into(), 0, place))?;
            left -= place;
        }
        text.add_places(begun, left);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::super::pause::Pause;
    use super::super::tables::ASCII;
    use super::super::work;
    use super::*;

    /// Combining marks and their classes; all other characters have class 0.
    const MARKS: [(u32, u8); 6] = [(0x300, 230), (0x315, 232), (0x321, 202), (0x323, 220), (0x334, 1), (0x345, 240)];

    fn class(character: u32) -> u8 {
        MARKS.iter().find(|(mark, _)| *mark == character).map_or(0, |(_, class)| *class)
    }

    /// The decomposition of characters that have none, and the work that it took.
    fn decomposed(characters: &[u32]) -> (Vec<u32>, usize) {
        let mut table = std::vec![0; ASCII];
        for (mark, class) in MARKS {
            table.extend((mark << 8 | u32::from(class)).to_le_bytes());
            table.extend(((mark + 1) << 8).to_le_bytes());
        }
        // Exactly enough memory for the text in each half.
        let mut memory = std::vec![0; 6 * characters.len()];
        let mut nothing = || ();
        let mut text = Text::new(&mut memory, Pause::new(&mut nothing));
        for (at, &c) in characters.iter().enumerate() {
            text.push(Char::new(c, at as u32, at as u32 + 1).splitting(at == 0)).expect("room");
        }
        text.turn();
        let map = CharMap::new(&[0; ASCII], &[]);
        let work = work::during(|| {
            text.each_split(&mut |text, range| decompose(map, Classes::new(&table), text, range)).expect("room");
        });
        let places = text.chars().iter().enumerate();
        assert!(places.into_iter().all(|(at, c)| (c.start, c.end) == (at as u32, at as u32 + 1)));
        (text.chars().iter().map(Char::character).collect(), work)
    }

    /// A text of letters with runs of up to `longest` marks.
    fn hard_text(seed: u64, len: usize, longest: u64) -> Vec<u32> {
        let mut state = seed;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut text = Vec::new();
        while text.len() < len {
            text.extend((0..random(longest + 1)).map(|_| MARKS[random(6) as usize].0));
            text.extend((0..random(3)).map(|_| 0x61));
        }
        text.truncate(len);
        text
    }

    #[test]
    fn marks_come_in_the_order_of_their_classes_whatever_their_number() {
        for seed in 0..2_000 {
            let text = hard_text(seed, (seed % 260) as usize, [2, 30, 200][seed as usize % 3]);
            let mut expected = text.clone();
            expected.chunk_by_mut(|_, &next| class(next) != 0).for_each(|run| run.sort_by_key(|&c| class(c)));
            assert_eq!(decomposed(&text).0, expected, "seed {seed}");
        }
    }

    #[test]
    fn the_work_for_marks_grows_as_the_text_does() {
        let run: Vec<u32> = (0..64).map(|at| MARKS[at % MARKS.len()].0).collect();
        let (_, once) = decomposed(&run);
        let (_, often) = decomposed(&run.repeat(64));
        assert!(once >= 64 && often < 2 * 64 * once, "{once} steps for 64 marks, {often} for 4,096");
    }
}
