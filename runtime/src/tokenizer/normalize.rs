//! What is done to a text before it is split.

use core::ops::Range;

use super::graphemes::Clusters;
use super::pattern::Matcher;
use super::section::{NormalizerStep, Uses};
use super::tables::{CharMap, Classes, Words};
use super::text::{Char, Text};
use crate::format::error::Error;

/// The syllables of Hangul, which are made of letters by a formula (Unicode 15, section 3.12).
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

    /// Two letters, or a syllable and a letter, as one.
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

/// Does one step, of those that the tokenizer uses, to every part of the text that is no token.
pub(crate) fn normalize(section: &[u8], step: &NormalizerStep, uses: Uses, text: &mut Text<'_>) -> Result<(), Error> {
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

fn map_range(map: CharMap<'_>, text: &mut Text<'_>, range: Range<usize>) -> Result<(), Error> {
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

/// Takes characters apart and puts their marks in canonical order.
fn decompose(map: CharMap<'_>, classes: Classes<'_>, text: &mut Text<'_>, range: Range<usize>) -> Result<(), Error> {
    let begun = text.written().len();
    // Where the marks begin whose order is not settled.
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
                sort_marks(classes, text, pending..at)?;
                pending = at;
            }
        }
    }
    let end = text.written().len();
    sort_marks(classes, text, pending..end)?;
    // Marks may have changed places: what has a place of its own in the text gets the next one.
    let mut source = None;
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

/// Sorts written characters by their classes, equal ones as they are.
fn sort_marks(classes: Classes<'_>, text: &mut Text<'_>, range: Range<usize>) -> Result<(), Error> {
    /// Runs that are sorted by insertion.
    const SHORT: usize = 24;
    if range.len() < 2 {
        return Ok(());
    }
    let class = |c: Char| classes.of(c.character());
    if text.written().slice(range.clone()).iter().is_sorted_by_key(class) {
        return Ok(());
    }
    if range.len() <= SHORT {
        for sorted in 1..range.len() {
            for at in (range.start + 1..=range.start + sorted).rev() {
                let written = text.written();
                let (Some(before), Some(after)) = (written.get(at - 1), written.get(at)) else { break };
                if class(before) <= class(after) {
                    break;
                }
                text.rewrite(at - 1, after);
                text.rewrite(at, before);
            }
        }
        return Ok(());
    }
    // There are few classes: gather one after the other behind what is written, and take the characters back in that order.
    let end = range.end;
    let mut next = 0;
    loop {
        let mut following = u8::MAX;
        for at in range.clone() {
            let Some(c) = text.written().get(at) else { break };
            match class(c) {
                found if found == next => text.push(c)?,
                found if found > next => following = following.min(found),
                _ => {}
            }
        }
        if text.written().len() == end + range.len() {
            break;
        }
        next = following;
    }
    for place in 0..range.len() {
        let sorted = text.written().get(end + place).unwrap_or_default();
        text.rewrite(range.start + place, sorted);
    }
    text.shorten(end);
    Ok(())
}

/// Puts characters and their marks together.
fn compose(classes: Classes<'_>, pairs: Words<'_>, text: &mut Text<'_>, range: Range<usize>) -> Result<(), Error> {
    let begun = text.written().len();
    // Where the last starter was written, and the class of the last mark after it.
    let (mut starter, mut last) = (None, None);
    for index in range.clone() {
        let Some(c) = text.get(index) else { break };
        // Until all is composed, `end` counts the places in the text that a character stands for.
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

fn replace(matcher: &Matcher<'_>, content: &str, text: &mut Text<'_>, range: Range<usize>) -> Result<(), Error> {
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

/// What SentencePiece precompiled: a trie of what is replaced, over strings to put in place.
struct Charsmap<'m> {
    trie: Words<'m>,
    strings: &'m [u8],
}

impl<'m> Charsmap<'m> {
    /// Clusters shorter than this are looked for as a whole.
    const SHORT_CLUSTER: usize = 6;

    fn normalize(&self, classes: Classes<'_>, text: &mut Text<'_>, range: Range<usize>) -> Result<(), Error> {
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

    /// What is put in place of the shortest beginning of some characters that the trie knows.
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

    /// Writes a string in place of `places` characters. Each of it stands for one of them, and the last for those that are left; those
    /// that nothing was written for go to what was written before them.
    fn put(string: &str, places: u32, begun: usize, text: &mut Text<'_>) -> Result<(), Error> {
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
