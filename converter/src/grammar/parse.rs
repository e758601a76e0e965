//! Parses the rules of a grammar to a tree.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

/// A part of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Bytes.
    Text(Vec<u8>),
    /// A byte of a range.
    Bytes(u8, u8),
    /// Parts, one after the other.
    Sequence(Vec<Part>),
    /// One of several parts.
    Choice(Vec<Part>),
    /// A part, any number of times.
    Repeat(Box<Part>),
}

impl Part {
    fn nothing() -> Self {
        Self::Text(Vec::new())
    }
}

/// The most parts of a grammar, once every name is replaced by its rule.
const MAX_PARTS: usize = 100_000;

/// Parses rules, and returns the tree of the first.
pub(super) fn parse(rules: &str) -> Result<Part> {
    let mut lines = BTreeMap::new();
    let mut first = None;
    for (number, line) in rules.lines().enumerate() {
        let place = || format!("line {}", number + 1);
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let (name, rule) = line
            .split_once(':')
            .with_context(|| format!("{} is not a rule\nwrite a name, a colon, and an expression", place()))?;
        let name = name.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        ensure!(
            name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(plain),
            "{}: \"{name}\" is not the name of a rule\nuse letters, digits, underscores and dashes, and begin with a letter",
            place()
        );
        let last = lines.insert(name, (number + 1, rule));
        ensure!(last.is_none(), "{}: there are two rules called {name}\njoin them with a bar: |", place());
        first.get_or_insert(name);
    }
    let first = first.context("there are no rules\nwrite one, such as `root: yes | no`")?;
    let mut reader = Rules { lines, open: Vec::new(), line: 0, parts: 0 };
    let part = reader.rule(first);
    part.with_context(|| format!("line {}", reader.line))
}

struct Rules<'r> {
    lines: BTreeMap<&'r str, (usize, &'r str)>,
    /// The rules that are being parsed, each referred to by the one before it.
    open: Vec<String>,
    /// The number of the line that is being parsed.
    line: usize,
    parts: usize,
}

impl Rules<'_> {
    fn rule(&mut self, name: &str) -> Result<Part> {
        let &(line, text) =
            self.lines.get(name).with_context(|| format!("there is no rule called {name}\nwrite one: `{name}: …`"))?;
        if let Some(at) = self.open.iter().position(|open| open == name) {
            let circle = self.open[at..].join(", ");
            bail!("rules refer to each other in a cycle: {circle}\nrepeat a part with * or + instead");
        }
        self.open.push(name.to_owned());
        let characters: Vec<char> = trimmed(text).chars().collect();
        let mut rest = &characters[..];
        let outer = core::mem::replace(&mut self.line, line);
        let part = self.choice(&mut rest, None)?;
        self.line = outer;
        self.open.pop();
        Ok(part)
    }

    /// Parses alternatives up to the closing character, which is consumed, or to the end of the
    /// rule.
    fn choice(&mut self, rest: &mut &[char], close: Option<char>) -> Result<Part> {
        let mut choices = Vec::new();
        let mut sequence = Vec::new();
        let mut text = String::new();
        // Escaped spaces stay; other spaces beside a bar are dropped.
        let mut kept = 0;
        loop {
            let Some((&c, after)) = rest.split_first() else {
                ensure!(
                    close.is_none(),
                    "a bracket is not closed\nwrite the closing one, or \\ before the opening one"
                );
                break;
            };
            *rest = after;
            let part = match c {
                c if Some(c) == close => break,
                '|' => {
                    text.truncate(text.trim_end_matches(' ').len().max(kept));
                    self.flush(&mut sequence, &mut text)?;
                    choices.push(Part::Sequence(core::mem::take(&mut sequence)));
                    while let Some((' ', after)) = rest.split_first() {
                        *rest = after;
                    }
                    kept = 0;
                    continue;
                }
                ')' | ']' | '}' => bail!("\"{c}\" closes nothing\nwrite \\{c} for the character itself"),
                '*' | '+' => bail!(
                    "\"{c}\" follows no part\nwrite it after a name or a bracket, or \\{c} for the character itself"
                ),
                '\\' => {
                    let Some((&c, after)) = rest.split_first() else {
                        bail!("the rule ends with a backslash\nwrite \\\\ for the character itself")
                    };
                    *rest = after;
                    text.push(if c == 'n' { '\n' } else { c });
                    kept = text.len();
                    continue;
                }
                '(' => self.choice(rest, Some(')'))?,
                '[' => Part::Choice(vec![self.choice(rest, Some(']'))?, Part::nothing()]),
                '{' => self.slot(rest)?,
                c => {
                    text.push(c);
                    continue;
                }
            };
            self.flush(&mut sequence, &mut text)?;
            kept = 0;
            let part = match rest.split_first() {
                Some(('*', after)) => {
                    *rest = after;
                    Part::Repeat(Box::new(part))
                }
                Some(('+', after)) => {
                    *rest = after;
                    Part::Sequence(vec![part.clone(), Part::Repeat(Box::new(part))])
                }
                _ => part,
            };
            self.add(&mut sequence, part)?;
        }
        self.flush(&mut sequence, &mut text)?;
        choices.push(Part::Sequence(sequence));
        Ok(if choices.len() == 1 { choices.remove(0) } else { Part::Choice(choices) })
    }

    /// Parses a name or a range, up to its closing brace.
    fn slot(&mut self, rest: &mut &[char]) -> Result<Part> {
        let end = rest.iter().position(|&c| c == '}');
        let end = end.context("a brace is not closed\nwrite the closing one, or \\{ for the character itself")?;
        let inside: String = rest[..end].iter().collect();
        *rest = &rest[end + 1..];
        let Some((from, to)) = inside.split_once("..") else { return self.rule(inside.trim()) };
        if let (Ok(from), Ok(to)) = (from.parse::<i64>(), to.parse::<i64>()) {
            ensure!(from <= to, "{{{inside}}} has no numbers\nwrite the lower one first");
            return numbers(from, to);
        }
        let one = |text: &str| {
            let mut characters = text.chars();
            characters.next().filter(|_| characters.next().is_none())
        };
        match (one(from), one(to)) {
            (Some(from), Some(to)) if from <= to => characters(from, to),
            _ => bail!("{{{inside}}} is not a range\nwrite two whole numbers or two characters, the lower one first"),
        }
    }

    fn flush(&mut self, sequence: &mut Vec<Part>, text: &mut String) -> Result<()> {
        if !text.is_empty() {
            self.add(sequence, Part::Text(core::mem::take(text).into_bytes()))?;
        }
        Ok(())
    }

    fn add(&mut self, sequence: &mut Vec<Part>, part: Part) -> Result<()> {
        self.parts += size(&part);
        ensure!(self.parts <= MAX_PARTS, "the rules have more than {MAX_PARTS} parts\nwrite fewer or shorter ones");
        sequence.push(part);
        Ok(())
    }
}

/// A rule without spaces at its ends, except escaped ones.
fn trimmed(text: &str) -> &str {
    let text = text.trim_start_matches(' ');
    let end = text.trim_end_matches([' ', '\r']);
    let slashes = end.len() - end.trim_end_matches('\\').len();
    if slashes % 2 == 1 { &text[..(end.len() + 1).min(text.len())] } else { end }
}

fn size(part: &Part) -> usize {
    match part {
        Part::Text(_) | Part::Bytes(..) => 1,
        Part::Sequence(parts) | Part::Choice(parts) => 1 + parts.iter().map(size).sum::<usize>(),
        Part::Repeat(part) => 1 + size(part),
    }
}

/// The characters in `from..=to`.
fn characters(from: char, to: char) -> Result<Part> {
    if to.is_ascii() {
        return Ok(Part::Bytes(from as u8, to as u8));
    }
    let few = u32::from(to) - u32::from(from) <= 4096;
    ensure!(few, "a range of characters beyond ASCII may have 4,096 of them\nwrite several shorter ones");
    Ok(Part::Choice((from..=to).map(|c| Part::Text(c.to_string().into_bytes())).collect()))
}

/// The decimal numbers in `from..=to`.
fn numbers(from: i64, to: i64) -> Result<Part> {
    let most = i64::MAX.unsigned_abs();
    ensure!(from.unsigned_abs() <= most, "a number is too large\nwrite one of at most eighteen digits");
    let mut choices = Vec::new();
    if from < 0 {
        let least = if to < 0 { to.unsigned_abs() } else { 1 };
        let below = naturals(least, from.unsigned_abs());
        choices.push(Part::Sequence(vec![Part::Text(b"-".to_vec()), below]));
    }
    if to >= 0 {
        choices.push(naturals(from.max(0).unsigned_abs(), to.unsigned_abs()));
    }
    Ok(Part::Choice(choices))
}

/// The decimal numbers in `from..=to`, without signs.
fn naturals(from: u64, to: u64) -> Part {
    let (first, last) = (from.to_string(), to.to_string());
    let mut choices = Vec::new();
    for digits in first.len()..=last.len() {
        let low = if digits == first.len() { first.clone() } else { format!("1{}", "0".repeat(digits - 1)) };
        let high = if digits == last.len() { last.clone() } else { "9".repeat(digits) };
        choices.push(digits_between(low.as_bytes(), high.as_bytes()));
    }
    Part::Choice(choices)
}

/// The strings of digits from `low` to `high`, which have one length.
fn digits_between(low: &[u8], high: &[u8]) -> Part {
    let (Some((&a, low_rest)), Some((&b, high_rest))) = (low.split_first(), high.split_first()) else {
        return Part::nothing();
    };
    let (least, most) = (vec![b'0'; low_rest.len()], vec![b'9'; low_rest.len()]);
    if low_rest == least && high_rest == most {
        let rest = low_rest.iter().map(|_| Part::Bytes(b'0', b'9'));
        return Part::Sequence([Part::Bytes(a, b)].into_iter().chain(rest).collect());
    }
    let begins = |digit: u8, rest: Part| Part::Sequence(vec![Part::Bytes(digit, digit), rest]);
    if a == b {
        return begins(a, digits_between(low_rest, high_rest));
    }
    let mut choices = vec![begins(a, digits_between(low_rest, &most)), begins(b, digits_between(&least, high_rest))];
    if a + 1 < b {
        let between = vec![Part::Bytes(a + 1, b - 1), digits_between(&least, &most)];
        choices.push(Part::Sequence(between));
    }
    Part::Choice(choices)
}
