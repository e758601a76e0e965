//! Grapheme clusters (Unicode Standard Annex 29, extended clusters): where a text may be cut
//! between what a reader sees as characters.

use super::tables::Classes;
use super::text::Chars;

/// How a character behaves at the edges of clusters. The discriminants are the format's: the low
/// four bits of a class, of which the others say how it behaves in Indic conjuncts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the values of the property Grapheme_Cluster_Break")]
pub enum Break {
    Other = 0,
    CarriageReturn = 1,
    LineFeed = 2,
    Control = 3,
    Extend = 4,
    ZeroWidthJoiner = 5,
    RegionalIndicator = 6,
    Prepend = 7,
    SpacingMark = 8,
    Leading = 9,
    Vowel = 10,
    Trailing = 11,
    LeadingVowel = 12,
    LeadingVowelTrailing = 13,
    Pictographic = 14,
}

/// In the high four bits of a class: what an Indic conjunct is made of.
pub const CONSONANT: u8 = 1 << 4;
/// As [`CONSONANT`].
pub const CONJUNCT_EXTEND: u8 = 2 << 4;
/// As [`CONSONANT`].
pub const CONJUNCT_LINKER: u8 = 3 << 4;

/// Finds clusters by the classes of characters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clusters<'m> {
    classes: Classes<'m>,
}

impl<'m> Clusters<'m> {
    pub(crate) fn new(classes: Classes<'m>) -> Self {
        Self { classes }
    }

    /// Characters of the cluster at the beginning.
    pub(crate) fn len(&self, chars: Chars<'_>) -> usize {
        let Some(first) = chars.get(0) else { return 0 };
        let mut before = self.classes.of(first.character());
        let mut state = State::default();
        state.see(before);
        for (index, c) in chars.from(1).iter().enumerate() {
            let after = self.classes.of(c.character());
            if state.breaks(before, after) {
                return index + 1;
            }
            state.see(after);
            before = after;
        }
        chars.len()
    }
}

/// What was seen of the cluster so far, as far as it matters.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Regional indicators at its end.
    indicators: usize,
    /// It ends with a pictograph and what extends it.
    pictographic: bool,
    /// It ends with a consonant and what extends or links it.
    consonant: bool,
    /// Among which there is a linker.
    linked: bool,
}

impl State {
    fn see(&mut self, class: u8) {
        use Break::{Extend, Pictographic, RegionalIndicator, ZeroWidthJoiner};
        let kind = class & 15;
        self.indicators = if kind == RegionalIndicator as u8 { self.indicators + 1 } else { 0 };
        let extends = kind == Extend as u8 || kind == ZeroWidthJoiner as u8;
        self.pictographic = kind == Pictographic as u8 || (self.pictographic && extends);
        match class & 0xf0 {
            CONSONANT => (self.consonant, self.linked) = (true, false),
            CONJUNCT_EXTEND => {}
            CONJUNCT_LINKER => self.linked = self.consonant,
            _ => (self.consonant, self.linked) = (false, false),
        }
    }

    /// Whether a cluster that was seen up to `before` ends there.
    fn breaks(&self, before: u8, after: u8) -> bool {
        use Break::{
            CarriageReturn, Control, Extend, Leading, LeadingVowel, LeadingVowelTrailing, LineFeed, Pictographic,
            Prepend, RegionalIndicator, SpacingMark, Trailing, Vowel, ZeroWidthJoiner,
        };
        let is = |class: u8, kinds: &[Break]| kinds.iter().any(|&kind| class & 15 == kind as u8);
        let controls = [CarriageReturn, LineFeed, Control];
        if is(before, &[CarriageReturn]) && is(after, &[LineFeed]) {
            return false;
        }
        if is(before, &controls) || is(after, &controls) {
            return true;
        }
        let syllable = (is(before, &[Leading]) && is(after, &[Leading, Vowel, LeadingVowel, LeadingVowelTrailing]))
            || (is(before, &[LeadingVowel, Vowel]) && is(after, &[Vowel, Trailing]))
            || (is(before, &[LeadingVowelTrailing, Trailing]) && is(after, &[Trailing]));
        let attached = is(after, &[Extend, ZeroWidthJoiner, SpacingMark]) || is(before, &[Prepend]);
        let conjunct = after & 0xf0 == CONSONANT && self.linked;
        let emoji = self.pictographic && is(before, &[ZeroWidthJoiner]) && is(after, &[Pictographic]);
        let flag = is(after, &[RegionalIndicator]) && self.indicators % 2 == 1;
        !(syllable || attached || conjunct || emoji || flag)
    }
}
