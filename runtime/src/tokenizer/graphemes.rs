//! Finds extended grapheme clusters (Unicode Standard Annex 29), the characters that a reader sees.

use super::tables::Classes;
use super::text::Chars;

/// The property Grapheme_Cluster_Break of a character. The discriminants are part of the format:
/// the low four bits of a class. The high four bits have the property Indic_Conjunct_Break.
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

/// `Indic_Conjunct_Break=Consonant`, in the high four bits of a class.
pub const CONSONANT: u8 = 1 << 4;
/// `Indic_Conjunct_Break=Extend`, in the high four bits of a class.
pub const CONJUNCT_EXTEND: u8 = 2 << 4;
/// `Indic_Conjunct_Break=Linker`, in the high four bits of a class.
pub const CONJUNCT_LINKER: u8 = 3 << 4;

/// Segments text by the classes of its characters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clusters<'m> {
    classes: Classes<'m>,
}

impl<'m> Clusters<'m> {
    pub(crate) fn new(classes: Classes<'m>) -> Self {
        Self { classes }
    }

    /// The number of characters in the first cluster.
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

/// The context that the break rules need of the cluster so far.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Regional indicators at its end.
    indicators: usize,
    /// Whether it ends with a pictograph and its extenders.
    pictographic: bool,
    /// Whether it ends with a consonant and its extenders and linkers.
    consonant: bool,
    /// Whether a linker follows that consonant.
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

    /// Whether there is a boundary between the classes `before`, the last one seen, and `after`.
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
