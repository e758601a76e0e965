//! Tokenizers: from a Hugging Face folder to the section that the runtime reads.
//!
//! What `tokenizer.json` says is turned into data, part by part; what the device cannot do is refused by name. Tables of Unicode
//! are made with the very crates that `tokenizers` uses, whose versions differ from part to part.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use kinglet::format::checksum::checksum;
use kinglet::tokenizer::pattern::{Behavior, MAX_ITEMS, Pattern};
use kinglet::tokenizer::section::{DecoderSpec, Header, MAGIC, NormalizerStep, PRELUDE, Prepend, SplitStep, VERSION};
use kinglet::tokenizer::vocabulary::MAX_ID;
use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};
use kinglet::{Buffer, RunError};
use serde_json::Value;
use unicode_categories::UnicodeCategories;

use crate::refuse;

mod added;
mod beside;
mod classes;
mod describe;
mod folder;
mod frame;
mod model;
mod pattern;
mod sentence_piece;
mod settings;
mod tables;

use frame::{marked, post_processor};
use sentence_piece::SPACES_AT_ENDS;
use tables::Tables;

/// The tokenizer of a folder as a section of a blob; `None` when the folder has none.
///
/// # Errors
/// When its files are not what they should be, or ask for what the device cannot do; the message names it.
pub fn build(folder: &Path) -> Result<Option<Vec<u8>>> {
    Ok(build_noted(folder)?.map(|(section, _)| section))
}

/// The tokenizer of a folder, in the words of `tokenizer.json`, whatever files it comes in; `None` when the folder has none.
///
/// # Errors
/// When the files are not what they should be, or are those of a class that is not read; the message names it.
pub fn describe(folder: &Path) -> Result<Option<Value>> {
    Ok(folder::read(folder)?.map(|description| description.value))
}

/// The id of a special token, such as `mask_token`, as the folder's files or the class of its tokenizer name it; `None` where there is
/// no tokenizer that is read, or no such token.
///
/// # Errors
/// When a file beside the vocabulary is not what it should be.
pub(crate) fn special_token(folder: &Path, key: &str) -> Result<Option<u32>> {
    Ok(folder::special_token(folder, key)?.and_then(|id| u32::try_from(id).ok()))
}

/// As [`build`], with a line for each decision that a user may want to know.
///
/// # Errors
/// As [`build`].
pub fn build_noted(folder: &Path) -> Result<Option<(Vec<u8>, Vec<String>)>> {
    let Some(description) = folder::read(folder)? else { return Ok(None) };
    let section = section(&description.value);
    let section = section.with_context(|| format!("reading the tokenizer of {}", folder.display()))?;
    Ok(Some((section, description.notes)))
}

/// A tokenizer described as `tokenizer.json` does it, as a section of a blob.
///
/// # Errors
/// As [`build`].
pub fn section(description: &Value) -> Result<Vec<u8>> {
    let description = &marked(description);
    let mut builder = Builder { tables: Tables::new(PRELUDE), description, expansion: Expansion::default() };
    let header = builder.header()?;
    let mut bytes = builder.tables.bytes;
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let header = postcard::to_allocvec(&header)?;
    bytes.extend_from_slice(&header);
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
    bytes[8..12].copy_from_slice(&(header.len() as u32).to_le_bytes());
    let sum = checksum(&bytes[PRELUDE..]);
    bytes[12..16].copy_from_slice(&sum.to_le_bytes());
    Tokenizer::from_bytes(&bytes)
        .map_err(|error| anyhow!("{error}: this is a mistake in Kinglet, please report it"))?;
    Ok(bytes)
}

/// How a text may grow: characters, and bytes, for each byte of it.
#[derive(Clone, Copy, Debug)]
struct Expansion {
    chars: u16,
    bytes: u16,
}

impl Default for Expansion {
    fn default() -> Self {
        Self { chars: 1, bytes: 1 }
    }
}

impl Expansion {
    fn at_least(&mut self, chars: u16, bytes: u16) {
        (self.chars, self.bytes) = (self.chars.max(chars), self.bytes.max(bytes));
    }

    /// What is left of a text may grow once more.
    fn times(&mut self, chars: usize, bytes: usize) -> Result<()> {
        let product = |a: u16, b: usize| u16::try_from(usize::from(a) * b).ok().filter(|&product| product <= 512);
        match (product(self.chars, chars), product(self.bytes, bytes)) {
            (Some(chars), Some(bytes)) => (self.chars, self.bytes) = (chars, bytes),
            _ => bail!("the tokenizer may make a text more than 512 times as long\nleave it out with --no-tokenizer"),
        }
        Ok(())
    }
}

struct Builder<'d> {
    tables: Tables,
    description: &'d Value,
    expansion: Expansion,
}

fn unsupported(what: &str, value: &Value) -> anyhow::Error {
    let shown = value.to_string();
    let shown: String = shown.chars().take(200).collect();
    refuse(
        format_args!("tokenizer.json has the {what} {shown}, which is not implemented"),
        "leave the tokenizer out with --no-tokenizer, and work with ids",
    )
}

fn malformed(place: &str) -> anyhow::Error {
    refuse(
        format_args!("tokenizer.json is not what it should be at `{place}`"),
        "take it from the checkpoint's page again",
    )
}

/// What is wrong with a tokenizer's description, named.
fn contradictory(what: impl core::fmt::Display) -> anyhow::Error {
    refuse(
        format_args!("tokenizer.json {what}"),
        "take it from the checkpoint's page again, or leave the tokenizer out with --no-tokenizer",
    )
}

/// Refuses ids that two tokens share, and ids that would make tables much longer than the tokens are: they are indexed by id.
/// `others` is how many tokens there are besides.
fn check_ids<'t>(tokens: impl Iterator<Item = (&'t str, u32)>, others: usize) -> Result<()> {
    let mut by_id: Vec<(u32, &str)> = tokens.map(|(token, id)| (id, token)).collect();
    by_id.sort_unstable();
    if let Some(pair) = by_id.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(contradictory(format_args!(
            "gives the id {} to {:?} and to {:?}",
            pair[0].0, pair[0].1, pair[1].1
        )));
    }
    let limit = MAX_ID.min((by_id.len() + others).saturating_add(MAX_HOLES) as u32);
    match by_id.last() {
        Some((id, token)) if *id > limit => {
            let count = by_id.len() + others;
            Err(contradictory(format_args!(
                "gives {token:?} the id {id}, and has {count} tokens: at most {limit} is supported"
            )))
        }
        _ => Ok(()),
    }
}

/// Ids that no token has, at most, below the largest.
const MAX_HOLES: usize = 1 << 20;

fn text<'v>(value: &'v Value, key: &str, place: &str) -> Result<&'v str> {
    value[key].as_str().ok_or_else(|| malformed(&format!("{place}.{key}")))
}

fn flag(value: &Value, key: &str, default: bool) -> bool {
    value[key].as_bool().unwrap_or(default)
}

fn character(value: &Value, key: &str, default: char) -> Result<char> {
    let Some(text) = value[key].as_str() else { return Ok(default) };
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => Ok(c),
        _ => Err(malformed(key)),
    }
}

/// The parts of a sequence, or the one part that there is.
fn parts<'v>(value: &'v Value, list: &str) -> Vec<&'v Value> {
    match (value, value["type"].as_str()) {
        (Value::Null, _) => Vec::new(),
        (_, Some("Sequence")) => {
            value[list].as_array().into_iter().flatten().flat_map(|part| parts(part, list)).collect()
        }
        _ => vec![value],
    }
}

/// Refuses more parts than the device takes, before tables are made of them.
fn few<T>(list: Vec<T>, most: usize, what: &str) -> Result<Vec<T>> {
    if list.len() > most {
        bail!("the tokenizer has {} {what}, and the device takes {most}\nleave it out with --no-tokenizer", list.len());
    }
    Ok(list)
}

/// The heap vectors of the device, filled.
fn bounded<T, const N: usize>(list: Vec<T>, what: &str) -> Result<heapless::Vec<T, N, u8>> {
    let mut bounded = heapless::Vec::new();
    for item in few(list, N, what)? {
        let _ = bounded.push(item);
    }
    Ok(bounded)
}

impl Builder<'_> {
    fn header(&mut self) -> Result<Header> {
        let description = self.description;
        let byte_level =
            parts(&description["pre_tokenizer"], "pretokenizers").iter().any(|part| part["type"] == "ByteLevel")
                || parts(&description["decoder"], "decoders").iter().any(|part| part["type"] == "ByteLevel");
        let normalizer = self.normalizer()?;
        let pre_tokenizer = self.pre_tokenizer()?;
        let strings = model::vocabulary(&description["model"])?;
        let normalize = |text: &str| kinglet::tokenizer::normalized(&self.tables.bytes, &normalizer, text);
        let added = added::collect(description, &strings, &normalize)?;
        check_ids(strings.iter().map(|(string, id)| (string.as_str(), *id)), added.len())?;
        check_ids(added.iter().map(|token| (token.content.as_str(), token.id)), strings.len())?;
        let (model, vocabulary, per_byte) = self.model(&strings, byte_level)?;
        let added = self.added(&added, byte_level);
        let (single, pair, trim_offsets) = post_processor(description)?;
        let Expansion { chars, bytes } = self.expansion;
        Ok(Header {
            normalizer: bounded(normalizer, "normalizers")?,
            pre_tokenizer: bounded(pre_tokenizer, "pre-tokenizers")?,
            model,
            vocabulary,
            byte_level,
            added,
            single: bounded(single, "special tokens")?,
            pair: bounded(pair, "special tokens")?,
            trim_offsets,
            decoder: self.decoder()?,
            words_per_byte: (6 * chars).max(3 * chars + per_byte * bytes),
        })
    }

    fn normalizer(&mut self) -> Result<Vec<NormalizerStep>> {
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
                        let (entries, sequences) = tables.map(|c| bert_clean(c, clean, pad));
                        steps.push(NormalizerStep::Map { entries, sequences });
                    }
                    if strip {
                        self.expansion.at_least(2, 2);
                        steps.push(tables.decompose(false));
                    }
                    if strip || lower {
                        let (entries, sequences) = tables.map(|c| match c {
                            c if strip && c.is_mark_nonspacing() => Some(Vec::new()),
                            c if lower => changed(c, c.to_lowercase()),
                            _ => None,
                        });
                        steps.push(NormalizerStep::Map { entries, sequences });
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
                    let (entries, sequences) = tables.map(|c| changed(c, c.to_lowercase()));
                    steps.push(NormalizerStep::Map { entries, sequences });
                }
                "StripAccents" => {
                    let is_mark = unicode_normalization_alignments::char::is_combining_mark;
                    let (entries, sequences) = tables.map(|c| is_mark(c).then(Vec::new));
                    steps.push(NormalizerStep::Map { entries, sequences });
                }
                "Strip" => steps.push(NormalizerStep::Strip {
                    left: flag(part, "strip_left", true),
                    right: flag(part, "strip_right", true),
                    spaces: tables.set(char::is_whitespace),
                }),
                "Prepend" => steps.push(NormalizerStep::Prepend {
                    content: tables.add(text(part, "prepend", "normalizer")?.as_bytes()),
                }),
                "Replace" if part["pattern"]["Regex"] == SPACES_AT_ENDS && part["content"] == "" => {
                    steps.push(NormalizerStep::Strip { left: true, right: true, spaces: tables.set(|c| c == ' ') });
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

    /// SentencePiece's own rules: the length of a double array, the array, and what is put in place.
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

    fn pre_tokenizer(&mut self) -> Result<Vec<SplitStep>> {
        let mut steps = Vec::new();
        let tables = &mut self.tables;
        let split = |pattern, behavior| SplitStep::Split { pattern, behavior, invert: false };
        let punctuation = |c: char| c.is_ascii_punctuation() || c.is_punctuation();
        for part in few(parts(&self.description["pre_tokenizer"], "pretokenizers"), 8, "pre-tokenizers")? {
            // Where a text is split at any character, what is put before each split may double it.
            let scattered = steps
                .iter()
                .any(|step| matches!(step, SplitStep::Split { behavior, .. } if *behavior != Behavior::Removed));
            match part["type"].as_str().unwrap_or_default() {
                "BertPreTokenizer" => {
                    steps.push(split(tables.one_of(char::is_whitespace), Behavior::Removed));
                    steps.push(split(tables.one_of(punctuation), Behavior::Isolated));
                }
                "WhitespaceSplit" => steps.push(split(tables.one_of(char::is_whitespace), Behavior::Removed)),
                "Whitespace" => {
                    let pattern = tables.words_and_signs();
                    steps.push(SplitStep::Split { pattern, behavior: Behavior::Removed, invert: true });
                }
                "Punctuation" => {
                    steps.push(split(tables.one_of(punctuation), behavior(part, Behavior::Isolated)?));
                }
                "Digits" => {
                    let behavior =
                        if flag(part, "individual_digits", false) { Behavior::Isolated } else { Behavior::Contiguous };
                    steps.push(split(tables.one_of(char::is_numeric), behavior));
                }
                "CharDelimiterSplit" => {
                    let delimiter = character(part, "delimiter", ' ')?;
                    steps.push(split(tables.one_of(|c| c == delimiter), Behavior::Removed));
                }
                "Split" => steps.push(SplitStep::Split {
                    pattern: tables.any_pattern(&part["pattern"])?.0,
                    behavior: behavior(part, Behavior::Isolated)?,
                    invert: flag(part, "invert", false),
                }),
                "ByteLevel" => {
                    if flag(part, "add_prefix_space", true) {
                        self.expansion.times(1 + usize::from(scattered), 1 + usize::from(scattered))?;
                        steps.push(SplitStep::PrefixSpace);
                    }
                    if flag(part, "use_regex", true) {
                        let pattern = tables.pattern(BYTE_LEVEL)?;
                        steps.push(split(pattern, Behavior::Isolated));
                    }
                }
                "Metaspace" => {
                    let never = part["add_prefix_space"] == false;
                    let prepend = match part["prepend_scheme"].as_str() {
                        _ if never => Prepend::Never,
                        None | Some("always") => Prepend::Always,
                        Some("first") => Prepend::First,
                        Some("never") => Prepend::Never,
                        Some(_) => return Err(unsupported("pre-tokenizer", part)),
                    };
                    self.expansion.at_least(1, 3);
                    if scattered && prepend != Prepend::Never {
                        self.expansion.times(2, 2)?;
                    }
                    steps.push(SplitStep::Metaspace {
                        replacement: character(part, "replacement", '▁')?,
                        prepend,
                        split: flag(part, "split", true),
                    });
                }
                _ => return Err(unsupported("pre-tokenizer", part)),
            }
        }
        Ok(steps)
    }

    fn decoder(&mut self) -> Result<DecoderSpec> {
        let description = &self.description["decoder"];
        let parts = parts(description, "decoders");
        let kinds: Vec<&str> = parts.iter().map(|part| part["type"].as_str().unwrap_or_default()).collect();
        let fallback = |replace: Option<&Value>, strip: Option<&Value>| -> Result<DecoderSpec> {
            let replacement = match replace {
                None => None,
                Some(part) if part["content"] == " " => Some(character(&part["pattern"], "String", '▁')?),
                Some(part) => return Err(unsupported("decoder", part)),
            };
            let strip = match strip {
                None => 0,
                Some(part) if part["content"] == " " && part["stop"] == 0 => {
                    part["start"].as_u64().unwrap_or(0).min(255) as u8
                }
                Some(part) => return Err(unsupported("decoder", part)),
            };
            Ok(DecoderSpec::ByteFallback { replacement, strip })
        };
        Ok(match kinds[..] {
            [] => DecoderSpec::Spaces,
            ["Fuse"] => DecoderSpec::Fuse,
            ["ByteLevel"] => DecoderSpec::ByteLevel,
            ["WordPiece"] => DecoderSpec::WordPiece {
                prefix: self.tables.add(parts[0]["prefix"].as_str().unwrap_or("##").as_bytes()),
                cleanup: flag(parts[0], "cleanup", true),
            },
            ["BPEDecoder"] => DecoderSpec::Suffix {
                suffix: self.tables.add(parts[0]["suffix"].as_str().unwrap_or("</w>").as_bytes()),
            },
            ["Metaspace"] => DecoderSpec::Metaspace {
                replacement: character(parts[0], "replacement", '▁')?,
                drop_first: parts[0]["prepend_scheme"] != "never" && parts[0]["add_prefix_space"] != false,
            },
            ["Replace", "ByteFallback", "Fuse", "Strip"] => fallback(Some(parts[0]), Some(parts[3]))?,
            ["Replace", "ByteFallback", "Fuse"] => fallback(Some(parts[0]), None)?,
            ["ByteFallback", "Fuse"] | ["ByteFallback"] => fallback(None, None)?,
            _ => return Err(unsupported("decoder", description)),
        })
    }
}

impl Tables {
    fn decompose(&mut self, compatible: bool) -> NormalizerStep {
        let (entries, sequences) = self.decompositions(compatible);
        NormalizerStep::Decompose { entries, sequences, classes: self.combining_classes() }
    }

    /// A string or an expression, and the least characters that it matches.
    fn any_pattern(&mut self, value: &Value) -> Result<(Pattern, usize)> {
        match (value["String"].as_str(), value["Regex"].as_str()) {
            (Some(string), _) if string.chars().count() > MAX_ITEMS => Err(unsupported("pattern", value)),
            (Some(string), _) => Ok((self.literal(string), string.chars().count())),
            (_, Some(expression)) => Ok((self.pattern(expression)?, 1)),
            _ => Err(malformed("pattern")),
        }
    }
}

/// How the byte-level families split texts, unless they say it themselves.
const BYTE_LEVEL: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// What becomes of a character, where it becomes another.
fn changed(c: char, to: impl Iterator<Item = char>) -> Option<Vec<char>> {
    let to: Vec<char> = to.collect();
    (to != [c]).then_some(to)
}

/// What BERT's cleaning makes of a character.
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

fn behavior(part: &Value, default: Behavior) -> Result<Behavior> {
    Ok(match part["behavior"].as_str() {
        None => default,
        Some("Removed") => Behavior::Removed,
        Some("Isolated") => Behavior::Isolated,
        Some("MergedWithPrevious") => Behavior::MergedWithPrevious,
        Some("MergedWithNext") => Behavior::MergedWithNext,
        Some("Contiguous") => Behavior::Contiguous,
        Some(_) => return Err(unsupported("pre-tokenizer", part)),
    })
}

/// The printable character that stands for a byte in byte-level vocabularies.
pub fn alias(byte: u8) -> char {
    let plain = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if plain(byte) {
        return byte.into();
    }
    let before = (0..byte).filter(|&byte| !plain(byte)).count() as u32;
    char::from_u32(256 + before).unwrap_or_default()
}

/// The bytes that a string of a byte-level vocabulary stands for: those of its characters, or its own where one stands for none.
fn unalias(string: &str) -> Vec<u8> {
    static BYTES: std::sync::LazyLock<std::collections::HashMap<char, u8>> =
        std::sync::LazyLock::new(|| (0..=255).map(|byte| (alias(byte), byte)).collect());
    let bytes: Option<Vec<u8>> = string.chars().map(|c| BYTES.get(&c).copied()).collect();
    bytes.unwrap_or_else(|| string.as_bytes().to_vec())
}

/// The tokens of a text, or of two, in memory that grows with them.
///
/// # Errors
/// When the text has something unknown, and the vocabulary no token for such.
pub fn encode(
    tokenizer: &Tokenizer<'_>,
    text: &str,
    pair: Option<&str>,
    options: &EncodeOptions,
) -> Result<Vec<Token>> {
    let longest = text.len().max(pair.map_or(0, str::len));
    let mut scratch = vec![0; tokenizer.scratch_words(longest)];
    let mut tokens = vec![Token::default(); 32 + longest];
    loop {
        match tokenizer.encode(text, pair, options, &mut scratch, &mut tokens) {
            Ok(count) => {
                tokens.truncate(count);
                return Ok(tokens);
            }
            Err(RunError::BufferTooSmall { buffer: Buffer::Tokens, needed, .. }) => {
                tokens.resize(needed, Token::default())
            }
            Err(RunError::BufferTooSmall { buffer: Buffer::Scratch, needed, .. }) => scratch.resize(needed, 0),
            Err(error) => return Err(anyhow!("{error}\nconvert the checkpoint again, or give token ids with --ids")),
        }
    }
}

/// The text of some tokens.
pub fn decode(tokenizer: &Tokenizer<'_>, ids: &[u32], skip_special_tokens: bool) -> String {
    let mut text = String::new();
    tokenizer.decode(ids, skip_special_tokens, &mut |piece| text.push_str(piece));
    text
}

/// How a token is written in the vocabulary: byte-level ones with the printable characters that stand for bytes.
pub fn spelling(tokenizer: &Tokenizer<'_>, id: u32) -> String {
    let mut bytes = Vec::new();
    tokenizer.pieces(id, &mut |piece| bytes.extend_from_slice(piece));
    match String::from_utf8(bytes) {
        Ok(text) if !tokenizer.header().byte_level || tokenizer.is_added(id) => text,
        text => text.map_or_else(|error| error.into_bytes(), String::into_bytes).into_iter().map(alias).collect(),
    }
}
