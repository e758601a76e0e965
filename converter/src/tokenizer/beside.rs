//! Applies the files beside `tokenizer.json` to it.
//!
//! `transformers` rebuilds most classes from the vocabulary of `tokenizer.json` and the keys of
//! `tokenizer_config.json`. A key that contradicts the file therefore counts, and a note says so.

use anyhow::Result;
use serde_json::{Value, json};

use super::classes::{Class, Frame, Normalizer, Prefix, Split, Vocabulary};
use super::description::parts;
use super::frame::post_processor;
use super::listed::Added;
use super::model::kind;
use super::settings::{Files, Settings, Token};
use crate::checkpoint::sentence::CONFIG_FILES;

/// Applies the keys that a class reads to a `tokenizer.json`. Without a class only the added tokens
/// are applied.
///
/// # Errors
/// When a key has a value of the wrong type, or a file contradicts itself; the message names it.
pub(super) fn apply(
    description: &mut Value,
    class: Option<&Class>,
    settings: &Settings,
    notes: &mut Vec<String>,
) -> Result<()> {
    let class = class.filter(|class| !matches!(class.vocabulary, Vocabulary::AsFile | Vocabulary::Own));
    let built = class.filter(|class| builds(class, &description["model"]));
    let added = added(description, class, settings);
    let list = added.json();
    if added.changed {
        description["added_tokens"] = list;
        notes.push(
            "tokenizer_config.json and the files beside it change the tokens that tokenizer.json adds".to_owned(),
        );
    }
    if let Some(class) = built {
        normalizer(description, class, settings, notes)?;
        split(description, class, settings, notes)?;
        frame(description, class, settings, &added.tokens, notes)?;
    } else if let Some(class) = class {
        notes.push(format!("tokenizer.json is not what a {} builds; it is read as it is", class.names[0]));
    }
    if settings.flag("add_bos_token", false)? || settings.flag("add_eos_token", false)? {
        ends(description, settings, &added.tokens, notes)?;
    }
    Ok(())
}

/// Whether a class builds a model of this type.
fn builds(class: &Class, model: &Value) -> bool {
    let kind = kind(model);
    match class.vocabulary {
        Vocabulary::Words => kind == "WordPiece",
        Vocabulary::Bytes | Vocabulary::Suffixes | Vocabulary::PiecePairs => kind == "BPE",
        Vocabulary::Pieces(..) => kind == "Unigram",
        Vocabulary::AsFile | Vocabulary::Own => false,
    }
}

/// The steps of a normalizer or pre-tokenizer.
fn steps(value: &Value, list: &str) -> Vec<Value> {
    parts(value, list).into_iter().cloned().collect()
}

fn is(part: &Value, kind: &str) -> bool {
    part["type"] == kind
}

fn normalizer(description: &mut Value, class: &Class, settings: &Settings, notes: &mut Vec<String>) -> Result<()> {
    let mut list = steps(&description["normalizer"], "normalizers");
    let before = list.clone();
    let has = |list: &[Value], kind: &str| list.iter().position(|part| is(part, kind));
    let lower = |list: &mut Vec<Value>, wanted: bool, at: usize| match (has(list, "Lowercase"), wanted) {
        (None, true) => list.insert(at, json!({ "type": "Lowercase" })),
        (Some(at), false) => drop(list.remove(at)),
        _ => {}
    };
    let rules = |list: &[Value]| has(list, "Precompiled").unwrap_or(list.len());
    match class.normalizer {
        Normalizer::Bert => {
            let wanted = class.normalizer.describe(settings, None)?;
            match has(&list, "BertNormalizer") {
                Some(at) => {
                    let part = &mut list[at];
                    let flag = |value: &Value, key: &str| value[key].as_bool().unwrap_or(true);
                    let strips =
                        |value: &Value| value["strip_accents"].as_bool().unwrap_or_else(|| flag(value, "lowercase"));
                    let same =
                        ["lowercase", "handle_chinese_chars"].iter().all(|key| flag(part, key) == flag(&wanted, key));
                    if !same || strips(part) != strips(&wanted) {
                        for key in ["lowercase", "handle_chinese_chars", "strip_accents"] {
                            part[key] = wanted[key].clone();
                        }
                    }
                }
                None => list = vec![wanted],
            }
        }
        Normalizer::Quotes => {
            let at = rules(&list);
            lower(&mut list, settings.flag("do_lower_case", true)?, at);
            let strips = has(&list, "StripAccents").is_some();
            if settings.has("keep_accents") && settings.flag("keep_accents", false)? == strips {
                list.retain(|part| !is(part, "NFKD") && !is(part, "StripAccents"));
                if !strips {
                    let at = has(&list, "Lowercase").unwrap_or_else(|| rules(&list));
                    list.insert(at, json!({ "type": "StripAccents" }));
                    list.insert(at, json!({ "type": "NFKD" }));
                }
            }
        }
        Normalizer::QuotesAndAccents => {
            let at = rules(&list);
            lower(&mut list, settings.flag("do_lower_case", false)?, at);
        }
        Normalizer::Spaces => lower(&mut list, settings.flag("do_lower_case", false)?, 0),
        _ => {}
    }
    if list != before {
        note(notes, class, "normalizer");
        description["normalizer"] = json!({ "type": "Sequence", "normalizers": list });
    }
    Ok(())
}

fn split(description: &mut Value, class: &Class, settings: &Settings, notes: &mut Vec<String>) -> Result<()> {
    let mut list = steps(&description["pre_tokenizer"], "pretokenizers");
    let before = list.clone();
    let asked = settings.has("add_prefix_space");
    match class.split {
        Split::ByteLevel | Split::Qwen => {
            let prefix = settings.flag("add_prefix_space", false)?;
            for part in list.iter_mut().filter(|part| is(part, "ByteLevel")) {
                if part["add_prefix_space"].as_bool().unwrap_or(true) != prefix {
                    part["add_prefix_space"] = prefix.into();
                }
            }
        }
        Split::Words(Prefix::Asked) | Split::Marks(Prefix::Asked) | Split::Punctuation => {
            let (wanted, _) = class.split.describe(settings, false)?;
            if let Some(wanted) = parts(&wanted, "pretokenizers").into_iter().find(|part| is(part, "Metaspace"))
                && asked
            {
                let scheme = |part: &Value| match part["prepend_scheme"].as_str() {
                    _ if part["add_prefix_space"] == false => "never".to_owned(),
                    scheme => scheme.unwrap_or("always").to_owned(),
                };
                for part in list.iter_mut().filter(|part| is(part, "Metaspace")) {
                    if scheme(part) != scheme(wanted) {
                        *part = wanted.clone();
                        description["decoder"] = wanted.clone();
                    }
                }
            }
            let splits = list.iter().any(|part| is(part, "Punctuation"));
            if class.split == Split::Punctuation
                && settings.has("split_by_punct")
                && settings.flag("split_by_punct", false)? != splits
            {
                list.retain(|part| !is(part, "Punctuation"));
                if !splits {
                    list.insert(0, json!({ "type": "Punctuation", "behavior": "Isolated" }));
                }
            }
        }
        // A byte-level file is read unchanged, whatever its class.
        Split::Llama if (asked || settings.has("legacy")) && !list.iter().any(|part| is(part, "ByteLevel")) => {
            let (wanted, decoder) = class.split.describe(settings, false)?;
            let prefixed = steps(&description["normalizer"], "normalizers").iter().any(|part| is(part, "Prepend"));
            if list != [wanted.clone()] || prefixed {
                (list, description["decoder"]) = (vec![wanted], decoder);
                description["normalizer"] = Value::Null;
            }
        }
        _ => {}
    }
    if list != before {
        note(notes, class, "pre_tokenizer");
        description["pre_tokenizer"] = json!({ "type": "Sequence", "pretokenizers": list });
    }
    Ok(())
}

/// Applies the frame of the class, which most classes use whatever the file says.
fn frame(
    description: &mut Value,
    class: &Class,
    settings: &Settings,
    added: &Added,
    notes: &mut Vec<String>,
) -> Result<()> {
    let neox = class.names[0] == "GPTNeoXTokenizer";
    let wanted = match class.frame {
        Frame::Ends if neox => json!({ "type": "Sequence", "processors": [] }),
        Frame::Ends | Frame::EndsIfSaid => return Ok(()),
        frame => match frame.describe(class.tokens, settings, &|name| added.id(name)) {
            Ok(wanted) => wanted,
            // The file does not have the tokens of the class, so its own frame stays.
            Err(_) => return Ok(()),
        },
    };
    let frames = |value: &Value| {
        let description = json!({ "post_processor": value });
        let (single, pair, _) = post_processor(&description)?;
        Ok::<_, anyhow::Error>((single, pair))
    };
    if frames(&description["post_processor"])? != frames(&wanted)? {
        note(notes, class, "post_processor");
        description["post_processor"] = wanted;
    }
    Ok(())
}

/// Notes the keys `add_bos_token` and `add_eos_token` if they contradict the file: `transformers`
/// ignores them beside `tokenizer.json`.
fn ends(description: &Value, settings: &Settings, added: &Added, notes: &mut Vec<String>) -> Result<()> {
    let (single, ..) = post_processor(description)?;
    for (flag, key) in [("add_bos_token", "bos_token"), ("add_eos_token", "eos_token")] {
        let id = settings.name(key, None).and_then(|name| added.id(name));
        let around = single.iter().any(|piece| match piece {
            kinglet::tokenizer::section::Piece::Special { id: other, .. } => id == Some(u64::from(*other)),
            _ => false,
        });
        if settings.flag(flag, false)? && !around {
            notes.push(format!(
                "tokenizer_config.json says `{flag}`, and tokenizer.json puts no such token around a text: transformers goes by the latter"
            ));
        }
    }
    Ok(())
}

fn note(notes: &mut Vec<String>, class: &Class, part: &str) {
    notes.push(format!(
        "the `{part}` of tokenizer.json is not what tokenizer_config.json asks of a {}: the latter counts, as in transformers",
        class.names[0]
    ));
}

struct Changed {
    tokens: Added,
    changed: bool,
}

impl Changed {
    fn json(&self) -> Value {
        self.tokens.json()
    }
}

/// The added tokens after the keys are applied.
fn added(description: &Value, class: Option<&Class>, settings: &Settings) -> Changed {
    let list = description["added_tokens"].as_array().map_or(&[][..], Vec::as_slice);
    let read = |token: &Value| Some((token["id"].as_u64()?, Token::described(token, false)?));
    let given: Vec<(u64, Token)> = list.iter().filter_map(read).collect();
    let listed = |content: &str| settings.added.values().any(|token| token.content == content);
    let model = &description["model"];
    // Classes that rebuild the tokenizer know only the listed tokens, if there is a list.
    let mut kept = given.clone();
    if settings.lists_added && class.is_some() {
        kept.retain(|(_, token)| listed(&token.content));
    }
    let stays = |content: &str| given.iter().any(|(_, token)| token.content == content);
    let mut special =
        settings.named(class.map_or(&[], |class| class.tokens), class.is_some_and(|class| class.mask_strips));
    special.extend(settings.extra_tokens().unwrap_or_else(|| settings.mapped_tokens()));
    let vocabulary = Added::new(model, &given, [], []);
    let said = |token: &Token| settings.says(&token.content);
    // A default of the class that the vocabulary lacks would get an id without a row in the model.
    special.retain(|token| vocabulary.id(&token.content).is_some() || said(token));
    for token in &mut special {
        if let Some((id, own)) = given.iter().find(|(_, own)| own.content == token.content) {
            *token = own.clone();
            if !kept.iter().any(|(other, _)| other == id) {
                kept.push((*id, own.clone()));
            }
        }
    }
    kept.sort_by_key(|(id, _)| *id);
    let others = settings.added.iter().filter(|(_, token)| settings.lists_added || !stays(&token.content));
    let others = others.map(|(id, token)| (Some(*id), token.clone()));
    let tokens = Added::new(model, &kept, others, special);
    let changed = !tokens.equals(&given);
    Changed { tokens, changed }
}

/// Applies `do_lower_case` of sentence-transformers, which comes before all other steps.
///
/// # Errors
/// When its file is not JSON.
pub(super) fn sentence_transformers(description: &mut Value, files: &Files, notes: &mut Vec<String>) -> Result<()> {
    let Some(name) = CONFIG_FILES.into_iter().find(|name| files.has(name)) else { return Ok(()) };
    let lowers = files.json(name)?["do_lower_case"] == true;
    let mut list = steps(&description["normalizer"], "normalizers");
    let lowered =
        list.iter().any(|part| is(part, "Lowercase") || is(part, "BertNormalizer") && part["lowercase"] != false);
    if lowers && !lowered {
        list.insert(0, json!({ "type": "Lowercase" }));
        description["normalizer"] = json!({ "type": "Sequence", "normalizers": list });
        notes.push(format!("{name} says `do_lower_case`: texts are lower-cased"));
    }
    Ok(())
}
