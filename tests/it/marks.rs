//! Compares texts with combining marks, in all positions and numbers, with the `tokenizers` crate.

use kinglet::tokenizer::{EncodeOptions, Token};

use crate::tokenizer::{compare, each};

/// Marks of many canonical combining classes: 0, 1, 7, 8, 9, 10, 84, 103, 129, 130, 202, 214, 216,
/// 218, 220, 222, 224, 226, 228, 230, 232, 233, 234, 240. Some of them decompose into two.
const MARKS: [char; 32] = [
    '\u{301}',
    '\u{323}',
    '\u{300}',
    '\u{308}',
    '\u{327}',
    '\u{328}',
    '\u{315}',
    '\u{345}',
    '\u{334}',
    '\u{338}',
    '\u{31b}',
    '\u{344}',
    '\u{35c}',
    '\u{361}',
    '\u{5b0}',
    '\u{5bf}',
    '\u{64b}',
    '\u{c55}',
    '\u{e38}',
    '\u{f71}',
    '\u{f72}',
    '\u{f73}',
    '\u{f74}',
    '\u{93c}',
    '\u{94d}',
    '\u{3099}',
    '\u{1dce}',
    '\u{302a}',
    '\u{302d}',
    '\u{302e}',
    '\u{1d165}',
    '\u{200d}',
];

/// Characters before, between and after marks: letters, some of them composed, Hangul syllables and
/// letters, spaces.
const LETTERS: [&str; 16] =
    ["a", "e", "é", "ế", "Ǭ", "ΐ", "か", "ガ", "가", "각", "\u{1100}", "\u{1161}\u{11a8}", " ", "ﬁ", "\u{915}", "\n"];

/// A random number generator with a fixed seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    /// A text with `runs` runs of up to `longest` of the first `kinds` marks, and letters between
    /// them and optionally before and after.
    fn text(&mut self, runs: usize, longest: usize, kinds: usize) -> String {
        let mut text = String::new();
        let first = self.below(MARKS.len());
        for run in 0..runs {
            // The first run may be at the beginning of the text, and the last one at its end.
            if run > 0 || self.below(2) == 0 {
                text.extend((0..self.below(4)).map(|_| LETTERS[self.below(LETTERS.len())]));
            }
            text.extend((0..self.below(longest + 1)).map(|_| MARKS[(first + self.below(kinds)) % MARKS.len()]));
        }
        text.extend((0..self.below(2)).map(|_| LETTERS[self.below(LETTERS.len())]));
        text
    }
}

#[test]
fn marks_in_every_place_and_number_become_the_tokens_of_the_crate() {
    each(|name, device, theirs| {
        let mut random = Random(11);
        for round in 0..60 {
            let (runs, longest) = [(1, 200), (4, 6), (3, 30), (12, 2)][round % 4];
            let kinds = [2, 5, MARKS.len()][round % 3];
            compare(name, device, theirs, &random.text(runs, longest, kinds), None);
        }
        // Such texts once caused an endless loop from a certain length on.
        for pairs in [1, 2, 11, 12, 13, 100] {
            let marks = "\u{301}\u{323}".repeat(pairs);
            for text in
                [format!("a{marks}b"), format!("{marks}b"), format!("a{marks}"), format!("각{marks}가{marks} c")]
            {
                compare(name, device, theirs, &text, Some("é\u{323}"));
            }
        }
    });
}

#[test]
fn marks_need_no_more_memory_than_a_tokenizer_says() {
    each(|name, device, _| {
        let mut random = Random(5);
        for round in 0..60 {
            let text = random.text(1 + round % 3, 200, 2 + round);
            let mut scratch = vec![0; device.scratch_words(text.len())];
            let mut tokens = vec![Token::default(); 16 + 4 * text.len()];
            let found = device.encode(&text, None, &EncodeOptions::default(), &mut scratch, &mut tokens);
            assert!(found.is_ok(), "{name}: {found:?} for {text:?}");
        }
    });
}
