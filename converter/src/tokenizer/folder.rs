//! Reads a folder's tokenizer, from `tokenizer.json` or from the older files of its class, and
//! describes it in the format of `tokenizer.json`.

use std::path::Path;

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::beside;
use super::classes::{self, Class, Frame, Split, Vocabulary};
use super::listed::Added;
use super::sentence_piece::Model;
use super::settings::{Files, Settings, Token, is_static, transformer};
use crate::refuse;

/// A tokenizer in the format of `tokenizer.json`.
#[derive(Debug)]
pub(super) struct Description {
    pub(super) value: Value,
    /// Decisions that a user may want to know.
    pub(super) notes: Vec<String>,
}

/// Files that a vocabulary may be in.
const VOCABULARIES: [&str; 9] = [
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "source.spm",
    "tekken.json",
];

/// Reads a folder's tokenizer; `None` if the folder has no tokenizer.
///
/// # Errors
/// When its files are malformed, or no class that is supported reads them; the message names the
/// file or the class.
pub(super) fn read(folder: &Path) -> Result<Option<Description>> {
    let files = Files::new(transformer(folder)?);
    let settings = Settings::read(&files)?;
    let mut notes = Vec::new();
    let mut value = match files.json("tokenizer.json")? {
        Value::Null if VOCABULARIES.iter().any(|name| files.has(name)) => {
            describe(class(&settings)?, &files, &settings, &mut notes)?
        }
        Value::Null => return Ok(None),
        mut value => {
            beside::apply(&mut value, classes::choose(&settings), &settings, &mut notes)?;
            value
        }
    };
    beside::sentence_transformers(&mut value, &files, &mut notes)?;
    if is_static(folder)? && !value["post_processor"].is_null() {
        value["post_processor"] = Value::Null;
        notes.push("static embeddings use only a text's own tokens: no special tokens are put around it".to_owned());
    }
    Ok(Some(Description { value, notes }))
}

/// The id of the special token that a key names.
///
/// # Errors
/// When a file beside the vocabulary is malformed.
pub(super) fn special_token(folder: &Path, key: &str) -> Result<Option<u64>> {
    let settings = Settings::read(&Files::new(transformer(folder)?))?;
    let tokens = classes::choose(&settings).map_or(&[][..], |class| class.tokens);
    let default = tokens.iter().find(|(name, _)| *name == key).map(|(_, content)| *content);
    // A tokenizer that is refused is not an error here: `convert --no-tokenizer` works without one.
    let (Some(name), Ok(Some(description))) = (settings.name(key, default), read(folder)) else { return Ok(None) };
    let list = description.value["added_tokens"].as_array().into_iter().flatten();
    Ok(list.into_iter().find(|token| token["content"] == name).and_then(|token| token["id"].as_u64()))
}

fn class(settings: &Settings) -> Result<&'static Class> {
    let action = "save the tokenizer again with transformers, which writes tokenizer.json, or add --no-tokenizer";
    let known = classes::choose(settings);
    match (known, settings.class.as_deref(), settings.model_type.as_deref()) {
        (Some(class), ..) if class.vocabulary == Vocabulary::Own => Err(refuse(
            format_args!("the folder's tokenizer is a {}, which has no form that the device can read", class.names[0]),
            "name a folder whose tokenizer.json was made by other means, or add --no-tokenizer and work with ids",
        )),
        (Some(class), ..) => Ok(class),
        (None, Some(class), _) => Err(refuse(
            format_args!("the folder has no tokenizer.json, and the files of its class {class} are not read"),
            action,
        )),
        (None, None, Some(model_type)) => Err(refuse(
            format_args!(
                "the folder has no tokenizer.json, and model_type {model_type:?} has no known tokenizer class"
            ),
            action,
        )),
        (None, None, None) => Err(refuse(
            "the folder has no tokenizer.json, and nothing says which class reads its vocabulary",
            "add config.json with its `model_type`, or tokenizer_config.json with its `tokenizer_class`",
        )),
    }
}

/// Describes the tokenizer that a class builds from its files.
fn describe(class: &Class, files: &Files, settings: &Settings, notes: &mut Vec<String>) -> Result<Value> {
    let needed = |names: &[&str]| -> Result<()> {
        let missing = names.iter().find(|name| !files.has(name));
        missing.map_or(Ok(()), |name| {
            Err(refuse(
                format_args!("the folder's tokenizer is a {}, and its file {name} is missing", class.names[0]),
                "take it from the checkpoint's page, or save the tokenizer again with transformers, which writes tokenizer.json",
            ))
        })
    };
    // Every class falls back to `tokenizer.model` if its own file is missing.
    let pieces = |own: &str| -> Result<Model> {
        let name = if files.has(own) { own } else { "tokenizer.model" };
        needed(&[if files.has(name) { name } else { own }])?;
        Model::parse(&files.bytes(name)?)
    };
    let said = settings.extra_tokens();
    let unknown =
        settings.name("unk_token", class.tokens.iter().find(|(key, _)| *key == "unk_token").map(|(_, name)| *name));
    let (model, rules, extra) = match class.vocabulary {
        Vocabulary::Words => {
            needed(&["vocab.txt"])?;
            (word_pieces(&files.text("vocab.txt")?.unwrap_or_default(), unknown)?, None, settings.mapped_tokens())
        }
        Vocabulary::Bytes | Vocabulary::Suffixes => {
            needed(&["vocab.json", "merges.txt"])?;
            let merges = files.text("merges.txt")?.unwrap_or_default();
            let suffix = class.vocabulary == Vocabulary::Suffixes;
            let model = merged(files.json("vocab.json")?, &merges, suffix.then_some(unknown).flatten(), suffix);
            (model, None, settings.mapped_tokens())
        }
        Vocabulary::Pieces(name, layout, unknown) => {
            let file = pieces(name)?;
            (file.unigram(layout, unknown, settings)?, file.rules(), file.tokens(layout, settings)?)
        }
        Vocabulary::PiecePairs => {
            let file = pieces("tokenizer.model")?;
            // Only Gemma's class has an unknown token: Llama's byte tokens stand for everything.
            let unknown = unknown.filter(|_| class.split == Split::Gemma);
            (file.pairs(unknown), None, file.tokens(super::sentence_piece::Layout::File, settings)?)
        }
        Vocabulary::AsFile => {
            if !files.has("tokenizer.model") {
                return Err(refuse(
                    format_args!(
                        "transformers has no tokenizer for {} without tokenizer.json",
                        settings.model_type.as_deref().unwrap_or(class.names[0])
                    ),
                    "take tokenizer.json from the checkpoint's page, or add --no-tokenizer",
                ));
            }
            return as_file(&pieces("tokenizer.model")?, settings, notes);
        }
        Vocabulary::Own => unreachable!("classes of this kind are refused before"),
    };
    let suffix = class.vocabulary == Vocabulary::Suffixes;
    let (pre_tokenizer, decoder) = class.split.describe(settings, suffix)?;
    let mut tokens = settings.named(class.tokens, class.mask_strips);
    tokens.extend(said.unwrap_or(extra));
    if class.split == Split::Qwen {
        // This class adds its special tokens again, without the flags that the files give them.
        tokens.iter_mut().for_each(|token| *token = Token::plain(&token.content, true));
    }
    let mut description = json!({
        "normalizer": class.normalizer.describe(settings, rules)?, "pre_tokenizer": pre_tokenizer, "decoder": decoder, "model": model,
    });
    let added = Added::new(&description["model"], &[], settings.listed(), tokens);
    added.note_moved(notes);
    description["post_processor"] = class.frame.describe(class.tokens, settings, &|name| added.id(name))?;
    description["added_tokens"] = added.json();
    Ok(description)
}

/// Describes the SentencePiece file of a model whose class has no rules of its own.
fn as_file(file: &Model, settings: &Settings, notes: &mut Vec<String>) -> Result<Value> {
    let mut description = file.describe(settings)?;
    let names = file.names();
    let mut tokens = settings.named(&names, false);
    tokens.extend(settings.extra_tokens().unwrap_or_else(|| file.controls()));
    let added = Added::new(&description["model"], &[], settings.listed(), tokens);
    added.note_moved(notes);
    description["post_processor"] = Frame::Ends.describe(&names, settings, &|name| added.id(name))?;
    description["added_tokens"] = added.json();
    Ok(description)
}

/// BERT's vocabulary, one string per line.
fn word_pieces(lines: &str, unknown: Option<&str>) -> Result<Value> {
    let vocabulary: Map<String, Value> =
        lines.lines().enumerate().map(|(id, line)| (line.trim_end().to_owned(), id.into())).collect();
    let unknown = unknown.filter(|unknown| vocabulary.contains_key(*unknown)).ok_or_else(|| {
        refuse(
            format_args!("vocab.txt has no line {:?}, the token for what is unknown", unknown.unwrap_or_default()),
            "name it as `unk_token` in tokenizer_config.json, or take vocab.txt from the checkpoint's page again",
        )
    })?;
    Ok(json!({
        "type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
        "vocab": vocabulary,
    }))
}

/// BPE from a vocabulary and a file of merges.
fn merged(vocabulary: Value, merges: &str, unknown: Option<&str>, suffix: bool) -> Value {
    let merges: Vec<&str> = merges.lines().filter(|line| !line.starts_with("#version") && !line.is_empty()).collect();
    json!({
        "type": "BPE", "unk_token": unknown, "continuing_subword_prefix": "", "fuse_unk": false,
        "end_of_word_suffix": if suffix { "</w>" } else { "" }, "vocab": vocabulary, "merges": merges,
    })
}
