//! Describes the parts of a class in the format of `tokenizer.json`, with the keys of
//! `tokenizer_config.json` that each part reads.

use anyhow::Result;
use serde_json::{Value, json};

use super::classes::{Frame, Normalizer, Prefix, Split};
use super::settings::Settings;
use super::words::{bytes_decoder, metaspace, replace, spaces};
use crate::refuse;

const QWEN: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

impl Normalizer {
    /// The normalizer in the format of `tokenizer.json`. `rules` are those of a SentencePiece file.
    pub(super) fn describe(self, settings: &Settings, rules: Option<Value>) -> Result<Value> {
        let kind = |kind: &str| json!({ "type": kind });
        let literal = |text: &str, content: &str| replace(json!({ "String": text }), content);
        let lower =
            |default: bool| Ok::<_, anyhow::Error>(settings.flag("do_lower_case", default)?.then(|| kind("Lowercase")));
        let accents = |keep: bool| (!keep).then(|| [kind("NFKD"), kind("StripAccents")]).into_iter().flatten();
        let quotes = [literal("``", "\""), literal("''", "\"")];
        let steps: Vec<Value> = match self {
            Self::None => return Ok(Value::Null),
            Self::Bert => {
                return Ok(json!({
                    "type": "BertNormalizer", "clean_text": true, "lowercase": settings.flag("do_lower_case", true)?,
                    "handle_chinese_chars": settings.flag("tokenize_chinese_chars", true)?,
                    "strip_accents": settings.optional_flag("strip_accents")?,
                }));
            }
            Self::Lower => {
                return Ok(json!({
                    "type": "BertNormalizer", "clean_text": true, "lowercase": true, "handle_chinese_chars": true, "strip_accents": null,
                }));
            }
            Self::Nfc => vec![kind("NFC")],
            Self::Quotes => {
                let keep = settings.flag("keep_accents", false)?;
                quotes.into_iter().chain(accents(keep)).chain(lower(true)?).chain(rules).collect()
            }
            Self::QuotesAndAccents => {
                quotes.into_iter().chain(accents(false)).chain(lower(false)?).chain(rules).collect()
            }
            Self::Spaces => {
                let white = replace(json!({ "Regex": r"\s{2,}|[\n\r\t]" }), " ");
                let strip = json!({ "type": "Strip", "strip_left": false, "strip_right": true });
                lower(false)?.into_iter().chain([white, kind("NFC"), strip]).collect()
            }
            Self::File => rules.into_iter().collect(),
            Self::FileAndSpaces => rules.into_iter().chain([spaces(" ")]).collect(),
            Self::FileOrLines => {
                vec![rules.unwrap_or_else(|| literal("\n", " ")), spaces(" ")]
            }
            Self::Runs => vec![spaces("▁")],
            Self::Marks => vec![literal(" ", "▁")],
        };
        Ok(json!({ "type": "Sequence", "normalizers": steps }))
    }
}

impl Split {
    /// The pre-tokenizer and its decoder.
    pub(super) fn describe(self, settings: &Settings, suffix: bool) -> Result<(Value, Value)> {
        let prefix = settings.optional_flag("add_prefix_space")?;
        let scheme = |asked: Prefix| if asked == Prefix::Asked && prefix == Some(false) { "never" } else { "always" };
        let sequence = |parts: Vec<Value>| json!({ "type": "Sequence", "pretokenizers": parts });
        let level = |regex: bool| json!({ "type": "ByteLevel", "add_prefix_space": prefix.unwrap_or(false), "trim_offsets": true, "use_regex": regex });
        Ok(match self {
            Self::Bert => {
                let decoder = if suffix {
                    json!({ "type": "BPEDecoder", "suffix": "</w>" })
                } else {
                    json!({ "type": "WordPiece", "prefix": "##", "cleanup": true })
                };
                (json!({ "type": "BertPreTokenizer" }), decoder)
            }
            Self::ByteLevel => (level(true), level(true)),
            Self::Qwen => {
                let split =
                    json!({ "type": "Split", "pattern": { "Regex": QWEN }, "behavior": "Isolated", "invert": false });
                (sequence(vec![split, level(false)]), level(false))
            }
            Self::Words(asked) => {
                let marks = metaspace(scheme(asked), true);
                (sequence(vec![json!({ "type": "WhitespaceSplit" }), marks.clone()]), marks)
            }
            Self::Marks(asked) => {
                let marks = metaspace(scheme(asked), true);
                (marks.clone(), marks)
            }
            Self::Punctuation => {
                let marks = metaspace(if prefix == Some(false) { "first" } else { "always" }, true);
                let punctuation = json!({ "type": "Punctuation", "behavior": "Isolated" });
                let punctuation = settings.flag("split_by_punct", false)?.then_some(punctuation);
                (sequence(punctuation.into_iter().chain([marks.clone()]).collect()), marks)
            }
            Self::Llama => {
                let prefixed = prefix.unwrap_or(true);
                let scheme = match (prefixed, settings.flag("legacy", false)?) {
                    (false, _) => "never",
                    (true, true) => "always",
                    (true, false) => "first",
                };
                (metaspace(scheme, false), bytes_decoder(prefixed))
            }
            Self::Gemma => {
                let split = json!({ "type": "Split", "pattern": { "String": " " }, "behavior": "MergedWithPrevious", "invert": false });
                (split, bytes_decoder(false))
            }
        })
    }
}

impl Frame {
    /// The post-processor in the format of `tokenizer.json`. `tokens` are the default special
    /// tokens by name, and `id` looks up vocabulary and added tokens.
    pub(super) fn describe(
        self,
        tokens: &[(&str, &str)],
        settings: &Settings,
        id: &dyn Fn(&str) -> Option<u64>,
    ) -> Result<Value> {
        let name = |key: &str| -> Result<&str> {
            if key == "src_lang" {
                return Ok(settings.text("src_lang").unwrap_or("en_XX"));
            }
            let default = tokens.iter().find(|(token, _)| *token == key).map(|(_, content)| *content);
            settings
                .name(key, default)
                .ok_or_else(|| refuse(format_args!("the tokenizer has no `{key}`"), "name it in tokenizer_config.json"))
        };
        let known = |key: &str| -> Result<(&str, u64)> {
            let content = name(key)?;
            let found = id(content).ok_or_else(|| {
                refuse(
                    format_args!("`{key}` is {content:?}, which the vocabulary does not have"),
                    "take the tokenizer's files from one checkpoint",
                )
            })?;
            Ok((content, found))
        };
        match self {
            Self::Roberta | Self::RobertaWords => {
                let (sep, sep_id) = known("sep_token")?;
                let (cls, cls_id) = known("cls_token")?;
                let words = self == Self::RobertaWords;
                Ok(json!({
                    "type": "RobertaProcessing", "sep": [sep, sep_id], "cls": [cls, cls_id],
                    "trim_offsets": words || settings.flag("trim_offsets", true)?,
                    "add_prefix_space": !words && settings.flag("add_prefix_space", false)?,
                }))
            }
            Self::EndsIfSaid if !settings.has("add_bos_token") && !settings.has("add_eos_token") => Ok(Value::Null),
            Self::Ends | Self::EndsIfSaid => {
                let said = |key: &str, token: &str| {
                    Ok::<_, anyhow::Error>(if settings.flag(key, false)? { name(token).ok() } else { None })
                };
                let bos = said("add_bos_token", "bos_token")?.map(|_| "bos");
                let eos = said("add_eos_token", "eos_token")?.map(|_| "eos");
                let around = |text: &str, segment: &str| -> Vec<String> {
                    [bos, Some(text), eos].into_iter().flatten().map(|piece| format!("{piece}{segment}")).collect()
                };
                let single = around("A", "").join(" ");
                template(&single, &format!("{single} {}", around("B", "1").join(" ")), &known)
            }
            Self::Template(single, pair) => template(single, pair, &known),
        }
    }
}

/// A template from the names of tokens.
fn template<'n>(single: &str, pair: &str, known: &dyn Fn(&str) -> Result<(&'n str, u64)>) -> Result<Value> {
    let mut tokens = serde_json::Map::new();
    let mut pieces = |line: &str| -> Result<Vec<Value>> {
        let mut pieces = Vec::new();
        for piece in line.split(' ') {
            let word = piece.trim_end_matches(|c: char| c.is_ascii_digit());
            let segment: u8 = piece[word.len()..].parse().unwrap_or(0);
            if matches!(word, "A" | "B") {
                pieces.push(json!({ "Sequence": { "id": word, "type_id": segment } }));
                continue;
            }
            let key = if word == "src_lang" { word.to_owned() } else { format!("{word}_token") };
            let (content, id) = known(&key)?;
            pieces.push(json!({ "SpecialToken": { "id": content, "type_id": segment } }));
            tokens.insert(content.to_owned(), json!({ "id": content, "ids": [id], "tokens": [content] }));
        }
        Ok(pieces)
    };
    let (single, pair) = (pieces(single)?, pieces(pair)?);
    Ok(json!({ "type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens }))
}
