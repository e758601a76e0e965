//! Compiles the regular expressions that tokenizers split texts with to rows of items, and refuses
//! other expressions.

use anyhow::{Result, anyhow, bail};
use kinglet::tokenizer::pattern::{ItemKind, MAX_ITEMS, MAX_STATES, Pattern};
use kinglet::tokenizer::tables::Span;
use regex_syntax::hir::{Class, HirKind};
use serde_json::Value;

use super::description::{malformed, unsupported};
use super::tables::Tables;
use crate::refuse;

/// A class of characters, as a regular expression, and how it is matched.
#[derive(Clone, Debug, PartialEq)]
struct Item {
    class: String,
    kind: ItemKind,
}

const ONCE: ItemKind = ItemKind::Take { min: 1, max: 1, possessive: false };

impl Tables {
    /// Compiles a string or an expression. Also returns the least number of characters that it
    /// matches.
    pub(super) fn any_pattern(&mut self, value: &Value) -> Result<(Pattern, usize)> {
        match (value["String"].as_str(), value["Regex"].as_str()) {
            (Some(string), _) if string.chars().count() > MAX_ITEMS => Err(unsupported("pattern", value)),
            (Some(string), _) => Ok((self.literal(string), string.chars().count())),
            (_, Some(expression)) => Ok((self.pattern(expression)?, 1)),
            _ => Err(malformed("pattern")),
        }
    }

    /// A pattern that matches a string.
    pub(super) fn literal(&mut self, text: &str) -> Pattern {
        let items: Vec<(u32, u32, u32)> = text
            .chars()
            .map(|wanted| {
                let class = self.set(&[(wanted, wanted)]);
                (class.start, class.len, ONCE.to_word())
            })
            .collect();
        let alternatives = self.add(&[items.len() as u8]);
        Pattern { items: self.words(items.into_iter().flat_map(|(start, len, kind)| [start, len, kind])), alternatives }
    }

    /// A pattern that matches one character of a set.
    pub(super) fn one_of(&mut self, set: fn(&mut Self) -> Span) -> Pattern {
        let class = set(self);
        let alternatives = self.add(&[1]);
        Pattern { items: self.words([class.start, class.len, ONCE.to_word()]), alternatives }
    }

    /// `\w+|[^\w\s]+`, as the `regex` crate reads it: `tokenizers` uses that engine here.
    pub(super) fn words_and_signs(&mut self) -> Pattern {
        let many = ItemKind::Take { min: 1, max: u8::MAX, possessive: false }.to_word();
        let classes = [self.word_characters(), self.signs()];
        Pattern {
            items: self.words(classes.into_iter().flat_map(|class| [class.start, class.len, many])),
            alternatives: self.add(&[1, 1]),
        }
    }

    /// Compiles a regular expression.
    ///
    /// # Errors
    /// When it has a part that the device cannot match; the message names it.
    pub(super) fn pattern(&mut self, expression: &str) -> Result<Pattern> {
        let unsupported = |error: anyhow::Error| {
            refuse(
                format_args!(
                    "tokenizer.json splits by the expression {expression:?}, which is not implemented: {error}"
                ),
                "only classes of characters with counts, alternatives and (?!X) are implemented",
            )
        };
        let mut parser = Parser { rest: expression, fold: false };
        let alternatives = parser.alternatives().map_err(unsupported)?;
        if !parser.rest.is_empty() {
            return Err(unsupported(anyhow!("unbalanced parentheses")));
        }
        let mut counts = Vec::new();
        let mut words = Vec::new();
        for alternative in &alternatives {
            if alternative.is_empty() || alternative.len() > MAX_ITEMS {
                return Err(unsupported(anyhow!("an alternative of {} items", alternative.len())));
            }
            let states: usize = alternative.iter().map(|item| item.kind.states()).sum();
            if states > MAX_STATES {
                return Err(unsupported(anyhow!(
                    "counts up to {states} in an alternative, and {MAX_STATES} is the most"
                )));
            }
            counts.push(alternative.len() as u8);
            for item in alternative {
                let class = self.set(&members(&item.class).map_err(unsupported)?);
                words.extend([class.start, class.len, item.kind.to_word()]);
            }
        }
        Ok(Pattern { items: self.words(words), alternatives: self.add(&counts) })
    }
}

/// The ranges of a class, as Oniguruma reads it, with which `tokenizers` splits texts.
///
/// Both engines read Unicode 16, and a test compares them. Classes that they read differently are
/// refused or spelt out.
fn members(class: &str) -> Result<Vec<(char, char)>> {
    // Oniguruma reads `[:` as a class of Unicode, and the parser used here as one of ASCII; `--`
    // and `~~` are operations on sets in this parser only.
    if let Some(other) = ["[:", "--", "~~"].into_iter().find(|other| class.contains(other)) {
        bail!("{other} in the class {class}");
    }
    if class.starts_with("(?i:") && class.contains('\\') {
        bail!("a property without regard to case, {class}");
    }
    // Outside of brackets Oniguruma looks up Latin-1 characters in a table of its own.
    let of_latin_1 = if class.contains('[') { "" } else { "²³¹¼½¾" };
    let word = format!(r"\p{{Alphabetic}}\p{{M}}\p{{Nd}}\p{{Pc}}{of_latin_1}");
    let class = class.replace(r"\w", &format!("[{word}]")).replace(r"\W", &format!("[^{word}]"));
    ranges(&class)
}

/// The ranges of a class, as the `regex` crate reads it, in order.
pub(super) fn ranges(class: &str) -> Result<Vec<(char, char)>> {
    let parsed = regex_syntax::parse(class).map_err(|_| anyhow!("the class {class}"))?;
    let found: Vec<char> = match parsed.kind() {
        HirKind::Class(Class::Unicode(set)) => {
            return Ok(set.iter().map(|range| (range.start(), range.end())).collect());
        }
        HirKind::Literal(literal) => core::str::from_utf8(&literal.0)?.chars().collect(),
        _ => Vec::new(),
    };
    if found.len() != 1 {
        bail!("{class} is not one character");
    }
    Ok(found.into_iter().map(|c| (c, c)).collect())
}

/// A parser, with the rest of its expression.
struct Parser<'e> {
    rest: &'e str,
    /// Inside `(?i:...)`.
    fold: bool,
}

impl<'e> Parser<'e> {
    fn take(&mut self, len: usize) -> &'e str {
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    fn skip(&mut self, start: &str) -> bool {
        let found = self.rest.strip_prefix(start);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    /// Parses alternatives up to the end, or to the closing parenthesis.
    fn alternatives(&mut self) -> Result<Vec<Vec<Item>>> {
        let mut all = Vec::new();
        loop {
            // A group multiplies the rows.
            let mut rows = vec![Vec::new()];
            while !self.rest.is_empty() && !self.rest.starts_with(['|', ')']) {
                let tails = self.part()?;
                let varies = |row: &Vec<Item>| row.iter().any(|item| item.kind != ONCE);
                if tails.len() > 1 && rows.iter().any(varies) {
                    bail!("a group after a count");
                }
                let join =
                    |row: &Vec<Item>| tails.iter().map(|tail| [row.clone(), tail.clone()].concat()).collect::<Vec<_>>();
                rows = rows.iter().flat_map(join).collect();
            }
            all.append(&mut rows);
            if !self.skip("|") {
                return Ok(all);
            }
        }
    }

    /// Parses a class with its count, a group, or a negative lookahead.
    fn part(&mut self) -> Result<Vec<Vec<Item>>> {
        if self.skip("(?!") {
            let class = self.class()?;
            if !self.skip(")") {
                bail!("(?! of more than one character");
            }
            return Ok(vec![vec![Item { class, kind: ItemKind::NotAhead }]]);
        }
        let outside = self.fold;
        let group = if self.skip("(?i:") {
            self.fold = true;
            true
        } else {
            self.skip("(?:") || (!self.rest.starts_with("(?") && self.skip("("))
        };
        if group {
            let inside = self.alternatives()?;
            self.fold = outside;
            if !self.skip(")") {
                bail!("unbalanced parentheses");
            }
            if self.rest.starts_with(['?', '*', '+', '{']) {
                bail!("a count after a group");
            }
            return Ok(inside);
        }
        let class = self.class()?;
        let kind = self.count()?;
        Ok(vec![vec![Item { class, kind }]])
    }

    /// Parses one character or class, and returns its expression.
    fn class(&mut self) -> Result<String> {
        let first = self.rest.chars().next().ok_or_else(|| anyhow!("it ends too early"))?;
        let class = match first {
            '[' => {
                let mut escaped = false;
                let mut depth = 0;
                let end = self.rest.char_indices().find(|(_, c)| {
                    let here = escaped;
                    escaped = !here && *c == '\\';
                    depth += if here { 0 } else { i32::from(*c == '[') - i32::from(*c == ']') };
                    depth == 0
                });
                let (end, _) = end.ok_or_else(|| anyhow!("a class without its end"))?;
                self.take(end + 1).to_owned()
            }
            '\\' => {
                let property = self.rest.starts_with("\\p{") || self.rest.starts_with("\\P{");
                let len = if property {
                    self.rest.find('}').map(|end| end + 1)
                } else {
                    self.rest.chars().nth(1).map(|c| 1 + c.len_utf8())
                };
                let len = len.ok_or_else(|| anyhow!("an escape without its end"))?;
                let escape = self.take(len);
                if escape.len() == 2
                    && escape.ends_with(|c: char| c.is_ascii_alphanumeric() && !"sSdDwWrntfv".contains(c))
                {
                    bail!("the escape {escape}");
                }
                escape.to_owned()
            }
            '(' | ')' | '?' | '*' | '+' | '{' | '^' | '$' | '|' => bail!("{first:?} in this place"),
            _ => self.take(first.len_utf8()).to_owned(),
        };
        Ok(if self.fold { format!("(?i:{class})") } else { class })
    }

    fn count(&mut self) -> Result<ItemKind> {
        let (min, max) = if self.skip("?") {
            (0, 1)
        } else if self.skip("*") {
            (0, u8::MAX)
        } else if self.skip("+") {
            (1, u8::MAX)
        } else if self.rest.starts_with('{') {
            let end = self.rest.find('}').ok_or_else(|| anyhow!("a count without its end"))?;
            let counts = self.take(end + 1).trim_matches(['{', '}']);
            let number = |text: &str| text.parse::<u8>().map_err(|_| anyhow!("the count {counts}"));
            match counts.split_once(',') {
                None => (number(counts)?, number(counts)?),
                Some((min, "")) => (number(min)?, u8::MAX),
                Some((min, max)) => (number(min)?, number(max)?),
            }
        } else {
            return Ok(ONCE);
        };
        if self.rest.starts_with('?') {
            bail!("a lazy count");
        }
        Ok(ItemKind::Take { min, max, possessive: self.skip("+") })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tables::characters;
    use super::*;

    fn rows(expression: &str) -> Result<Vec<Vec<Item>>> {
        Parser { rest: expression, fold: false }.alternatives()
    }

    #[test]
    fn groups_are_multiplied_out() {
        let rows = rows(r"'(?i:[sdmt]|ll)|\p{N}{1,3}|\s+(?!\S)").unwrap();
        let show = |row: &Vec<Item>| row.iter().map(|item| item.class.clone()).collect::<Vec<_>>().join(" ");
        assert_eq!(rows.iter().map(show).collect::<Vec<_>>(), ["' (?i:[sdmt])", "' (?i:l) (?i:l)", r"\p{N}", r"\s \S"]);
        assert_eq!(rows[2][0].kind, ItemKind::Take { min: 1, max: 3, possessive: false });
        assert_eq!(rows[3][1].kind, ItemKind::NotAhead);
    }

    #[test]
    fn what_cannot_be_matched_is_refused() {
        for expression in ["(ab)+", "a*?", r"\b", "^a", "(?=a)", "(a", "a+(b|c)"] {
            assert!(
                rows(expression).is_err() || !rows(expression).unwrap().is_empty() && expression == "(a",
                "{expression}"
            );
        }
        assert!(Tables::default().pattern("(a").is_err());
    }

    /// The characters of a class.
    fn ours(class: &str) -> Vec<char> {
        members(class).expect("a class").into_iter().flat_map(|(first, last)| first..=last).collect()
    }

    /// The characters of a class, found by Oniguruma itself.
    fn theirs(class: &str) -> Vec<char> {
        let all: String = characters().collect();
        let regex = tokenizers::utils::SysRegex::new(class).expect("it is an expression");
        regex.find_iter(&all).map(|(start, end)| all[start..end].parse().expect("one character")).collect()
    }

    #[test]
    fn classes_have_the_characters_that_oniguruma_finds() {
        const CATEGORIES: &str = "L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp C Cc Cf Co \
             Han Hiragana Katakana Hangul Latin Greek Cyrillic Arabic Hebrew Thai Devanagari Alphabetic Uppercase White_Space";
        let properties =
            CATEGORIES.split_whitespace().flat_map(|name| [format!(r"\p{{{name}}}"), format!(r"\P{{{name}}}")]);
        let classes = [
            r"\s",
            r"\S",
            r"\d",
            r"\D",
            r"\w",
            r"\W",
            r"\v",
            r"\t",
            ".",
            "a",
            " ",
            "[^a-c]",
            r"[^\r\n\p{L}\p{N}]",
            r"[^\s\p{L}\p{N}]",
            r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]",
            r"[\w-]",
            r"[^\w\s]",
            "(?i:s)",
            "(?i:k)",
            "(?i:é)",
            "(?i:[sdmt])",
            r"[!-/:-~]",
            r"[\p{L}&&[^a-z]]",
        ];
        for class in classes.into_iter().map(str::to_owned).chain(properties) {
            let (ours, theirs) = (ours(&class), theirs(&class));
            let differ = ours.iter().filter(|c| !theirs.contains(c)).chain(theirs.iter().filter(|c| !ours.contains(c)));
            assert!(ours == theirs, "{class}: {:?}", differ.take(9).collect::<Vec<_>>());
        }
        for class in [r"(?i:\p{Lu})", "[[:alpha:]]", "[a--b]", "[a~~b]", r"\p{Klingon}", "ab"] {
            assert!(members(class).is_err(), "{class}");
        }
    }

    #[test]
    fn folded_letters_have_their_relatives() {
        assert_eq!(ours("(?i:s)"), ['S', 's', '\u{17f}']);
        assert!(ours(r"\p{L}").len() > 100_000);
    }
}
