//! Converts the normalizer to steps with tables.

use anyhow::Result;
use kinglet::tokenizer::section::NormalizerStep;
use unicode_categories::UnicodeCategories;
use unicode_normalization_alignments::char::is_combining_mark;

use super::builder::Builder;
use super::description::{few, flag, malformed, parts, text, unsupported};
use super::sentence_piece::SPACES_AT_ENDS;
use super::tables::{FixedMap, Tables};

impl Builder<'_> {
    pub(super) fn normalizer(&mut self) -> Result<Vec<NormalizerStep>> {
        let mut steps = Vec::new();
        for part in few(parts(&self.description["normalizer"], "normalizers"), 16, "normalizers")? {
            let tables = &mut self.tables;
            match part["type"].as_str().unwrap_or_default() {
                "BertNormalizer" => {
                    let clean = flag(part, "clean_text", true);
                    let pad = flag(part, "handle_chinese_chars", true);
                    let lower = flag(part, "lowercase", true);
                    let strip = part["strip_accents"].as_bool().unwrap_or(lower);
                    if clean || pad {
                        steps.push(tables.cleaned(clean, pad));
                    }
                    if strip {
                        self.expansion.at_least(2, 2);
                        steps.push(tables.decompose(false));
                    }
                    if strip || lower {
                        steps.push(tables.lowered(strip, lower));
                    }
                }
                "NFD" => {
                    self.expansion.at_least(2, 3);
                    steps.push(tables.decompose(false));
                }
                "NFKD" => {
                    self.expansion.at_least(6, 11);
                    steps.push(tables.decompose(true));
                }
                kind @ ("NFC" | "NFKC") => {
                    let compatible = kind == "NFKC";
                    self.expansion.at_least(if compatible { 6 } else { 2 }, if compatible { 11 } else { 3 });
                    steps.push(tables.decompose(compatible));
                    let (classes, pairs) = (tables.combining_classes(), tables.compositions());
                    steps.push(NormalizerStep::Compose { classes, pairs });
                }
                "Lowercase" => {
                    self.expansion.at_least(2, 2);
                    steps.push(tables.lowered(false, true));
                }
                "StripAccents" => {
                    steps.push(tables.stripped());
                }
                "Strip" => steps.push(NormalizerStep::Strip {
                    left: flag(part, "strip_left", true),
                    right: flag(part, "strip_right", true),
                    spaces: tables.spaces(),
                }),
                "Prepend" => steps.push(NormalizerStep::Prepend {
                    content: tables.add(text(part, "prepend", "normalizer")?.as_bytes()),
                }),
                "Replace" if part["pattern"]["Regex"] == SPACES_AT_ENDS && part["content"] == "" => {
                    steps.push(NormalizerStep::Strip { left: true, right: true, spaces: tables.set(&[(' ', ' ')]) });
                }
                "Replace" => {
                    let content = text(part, "content", "normalizer")?;
                    let (pattern, least) = tables.any_pattern(&part["pattern"])?;
                    let growth = |to: usize| to.div_ceil(least.max(1)).max(1);
                    self.expansion.times(growth(content.chars().count()), growth(content.len()))?;
                    steps.push(NormalizerStep::Replace { pattern, content: tables.add(content.as_bytes()) });
                }
                "Precompiled" => {
                    self.expansion.at_least(6, 11);
                    if let Some(step) = self.charsmap(text(part, "precompiled_charsmap", "normalizer")?)? {
                        steps.push(step);
                    }
                }
                _ => return Err(unsupported("normalizer", part)),
            }
        }
        Ok(steps)
    }

    /// Converts SentencePiece's rules, which are the length of a double array, the array, and the
    /// replacements.
    fn charsmap(&mut self, encoded: &str) -> Result<Option<NormalizerStep>> {
        use base64::Engine as _;
        let place = "normalizer.precompiled_charsmap";
        let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).map_err(|_| malformed(place))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let (len, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| malformed(place))?;
        let (trie, strings) =
            rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or_else(|| malformed(place))?;
        core::str::from_utf8(strings).map_err(|_| malformed(place))?;
        Ok(Some(NormalizerStep::Charsmap {
            trie: self.tables.add(trie),
            strings: self.tables.add(strings),
            graphemes: self.tables.graphemes(),
        }))
    }
}

impl Tables {
    fn decompose(&mut self, compatible: bool) -> NormalizerStep {
        let (entries, sequences) = self.decompositions(compatible);
        NormalizerStep::Decompose { entries, sequences, classes: self.combining_classes() }
    }

    /// BERT's cleaning of control characters and white space, and spaces around Chinese characters.
    fn cleaned(&mut self, clean: bool, pad: bool) -> NormalizerStep {
        static TABLES: [FixedMap; 4] = [const { FixedMap::new() }; 4];
        self.mapped(&TABLES[usize::from(clean) + 2 * usize::from(pad)], |c| bert_clean(c, clean, pad))
    }

    /// Lower case, and the removal of marks that take no space.
    fn lowered(&mut self, strip: bool, lower: bool) -> NormalizerStep {
        static TABLES: [FixedMap; 4] = [const { FixedMap::new() }; 4];
        self.mapped(&TABLES[usize::from(strip) + 2 * usize::from(lower)], |c| match c {
            c if strip && c.is_mark_nonspacing() => Some(Vec::new()),
            c if lower => changed(c, c.to_lowercase()),
            _ => None,
        })
    }

    /// The removal of marks of every kind.
    fn stripped(&mut self) -> NormalizerStep {
        static TABLE: FixedMap = FixedMap::new();
        self.mapped(&TABLE, |c| is_combining_mark(c).then(Vec::new))
    }

    fn mapped(&mut self, table: &FixedMap, become_: impl Fn(char) -> Option<Vec<char>>) -> NormalizerStep {
        let (entries, sequences) = self.fixed_map(table, become_);
        NormalizerStep::Map { entries, sequences }
    }
}

/// The replacement of a character; `None` if it is the character itself.
fn changed(c: char, to: impl Iterator<Item = char>) -> Option<Vec<char>> {
    let to: Vec<char> = to.collect();
    (to != [c]).then_some(to)
}

/// The replacement of a character in BERT's cleaning.
fn bert_clean(c: char, clean: bool, pad: bool) -> Option<Vec<char>> {
    let space = matches!(c, '\t' | '\n' | '\r') || c.is_whitespace();
    let control = !matches!(c, '\t' | '\n' | '\r') && c.is_other();
    if clean && (c == '\0' || c == '\u{fffd}' || control) {
        return Some(Vec::new());
    }
    if clean && space {
        return changed(c, core::iter::once(' '));
    }
    let chinese = matches!(c,
        '\u{4e00}'..='\u{9fff}' | '\u{3400}'..='\u{4dbf}' | '\u{20000}'..='\u{2a6df}' | '\u{2a700}'..='\u{2b73f}'
        | '\u{2b740}'..='\u{2b81f}' | '\u{2b920}'..='\u{2ceaf}' | '\u{f900}'..='\u{faff}' | '\u{2f800}'..='\u{2fa1f}');
    (pad && chinese).then(|| vec![' ', c, ' '])
}
