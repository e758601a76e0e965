//! Splits a text before it goes to the model (pre-tokenization).

use core::ops::Range;

use super::pattern::{Behavior, Matcher};
use super::section::{Prepend, SplitStep, Uses};
use super::text::{Char, Text};
use crate::error::RunError;

/// Applies one step of the pre-tokenizer to everything but added tokens.
pub(crate) fn split(section: &[u8], step: &SplitStep, uses: Uses, text: &mut Text<'_>) -> Result<(), RunError> {
    match *step {
        SplitStep::Split { pattern, behavior, invert } if uses.has(Uses::SPLIT) => {
            let matcher = Matcher::new(section, &pattern).unwrap_or_default();
            text.each_split(&mut |text, range| split_at(&matcher, behavior, invert, text, range))
        }
        SplitStep::PrefixSpace if uses.has(Uses::PREFIX_SPACE) => text.each_split(&mut |text, range| {
            prepend(' ', text, range.start)?;
            text.copy(range)
        }),
        SplitStep::Metaspace { replacement, prepend: scheme, split } if uses.has(Uses::METASPACE) => {
            // If the text is still one split, that split is its beginning even if the normalizer
            // stripped characters before it.
            let whole = !text.chars().from(1).iter().any(Char::begins_split);
            text.each_split(&mut |text, range| {
                let first = text.get(range.start).is_some_and(|c| c.start == 0 || (whole && range.start == 0));
                metaspace(
                    replacement,
                    scheme == Prepend::Always || (scheme == Prepend::First && first),
                    split,
                    text,
                    range,
                )
            })
        }
        _ => Ok(()),
    }
}

/// Writes `character` before the split at `at`, unless the split begins with it.
fn prepend(character: char, text: &mut Text<'_>, at: usize) -> Result<(), RunError> {
    match text.get(at) {
        Some(first) if first.character() != character.into() => text.push(first.with(character.into())),
        _ => Ok(()),
    }
}

fn metaspace(
    replacement: char,
    prefixed: bool,
    split: bool,
    text: &mut Text<'_>,
    range: Range<usize>,
) -> Result<(), RunError> {
    let marked = |c: u32| if c == ' '.into() { replacement.into() } else { c };
    let unmarked = text.get(range.start).filter(|first| marked(first.character()) != replacement.into());
    if let (true, Some(first)) = (prefixed, unmarked) {
        text.push(first.with(replacement.into()))?;
    }
    for index in range {
        let Some(c) = text.get(index) else { break };
        let c = c.with(marked(c.character()));
        text.push(c.splitting(split && c.character() == replacement.into()))?;
    }
    Ok(())
}

fn split_at(
    matcher: &Matcher<'_>,
    behavior: Behavior,
    invert: bool,
    text: &mut Text<'_>,
    range: Range<usize>,
) -> Result<(), RunError> {
    // Whether the previous part was a match; `None` for the first part.
    let mut before = None;
    let mut part = |text: &mut Text<'_>, range: Range<usize>, matched: bool| {
        if range.is_empty() {
            return Ok(());
        }
        let matched = matched != invert;
        let joined = match behavior {
            Behavior::Removed if matched => {
                before = Some(matched);
                return Ok(());
            }
            Behavior::Removed | Behavior::Isolated => false,
            Behavior::Contiguous => before == Some(matched),
            Behavior::MergedWithPrevious => matched && before == Some(false),
            Behavior::MergedWithNext => !matched && before == Some(true),
        };
        before = Some(matched);
        if joined { text.copy(range) } else { text.copy_split(range) }
    };
    let (mut at, mut unmatched) = (range.start, range.start);
    while at < range.end {
        match matcher.matches(text.chars().slice(at..range.end)) {
            Some(len) if len > 0 => {
                part(text, unmatched..at, false)?;
                part(text, at..at + len, true)?;
                at += len;
                unmatched = at;
            }
            _ => {
                text.tick();
                at += 1;
            }
        }
    }
    part(text, unmatched..range.end, false)
}
