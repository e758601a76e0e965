//! The files that tokenizers come in: `tokenizer.json`, and what was there before it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::{malformed, sentence_piece};

/// The tokenizer of a folder, described as `tokenizer.json` does it; `None` when the folder has none.
pub(super) fn read(folder: &Path) -> Result<Option<Value>> {
    let file = |name: &str| -> Result<Option<String>> {
        let path = folder.join(name);
        if !path.exists() {
            return Ok(None);
        }
        fs::read_to_string(&path).map(Some).with_context(|| format!("reading {}", path.display()))
    };
    let parse = |name: &str, text: &str| crate::json::parse(text.as_bytes(), name);
    if let Some(text) = file("tokenizer.json")? {
        return parse("tokenizer.json", &text).map(Some);
    }
    let config = file("tokenizer_config.json")?.map(|text| parse("tokenizer_config.json", &text)).transpose()?;
    let config = config.unwrap_or_default();
    if let (Some(vocabulary), Some(merges)) = (file("vocab.json")?, file("merges.txt")?) {
        return byte_level(&parse("vocab.json", &vocabulary)?, &merges, &config).map(Some);
    }
    if let Some(vocabulary) = file("vocab.txt")? {
        return word_piece(&vocabulary, &config).map(Some);
    }
    for name in ["spiece.model", "tokenizer.model", "spm.model"] {
        let path = folder.join(name);
        if path.exists() {
            let model = file("config.json")?.map(|text| parse("config.json", &text)).transpose()?.unwrap_or_default();
            let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            return sentence_piece::describe(&bytes, model["model_type"].as_str().unwrap_or_default()).map(Some);
        }
    }
    Ok(None)
}

/// An added token that is found in the text as it is.
fn special(content: &str, id: u64) -> Value {
    json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true })
}

/// The name of a special token, said plainly or as an object.
fn named<'c>(config: &'c Value, key: &str, default: &'c str) -> &'c str {
    config[key].as_str().or_else(|| config[key]["content"].as_str()).unwrap_or(default)
}

/// BERT's vocabulary, a string a line.
fn word_piece(lines: &str, config: &Value) -> Result<Value> {
    let vocabulary: Map<String, Value> =
        lines.lines().enumerate().map(|(id, line)| (line.trim_end().to_owned(), id.into())).collect();
    let id = |token: &str| vocabulary.get(token).and_then(Value::as_u64).ok_or_else(|| malformed(token));
    let names = ["pad_token", "unk_token", "cls_token", "sep_token", "mask_token"];
    let defaults = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let mut added = Vec::new();
    for (name, default) in names.into_iter().zip(defaults) {
        let token = named(config, name, default);
        if let Some(id) = vocabulary.get(token).and_then(Value::as_u64) {
            added.push(special(token, id));
        }
    }
    let (cls, sep) = (named(config, "cls_token", "[CLS]"), named(config, "sep_token", "[SEP]"));
    let lowercase = config["do_lower_case"].as_bool().unwrap_or(true);
    Ok(json!({
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "lowercase": lowercase,
            "handle_chinese_chars": config["tokenize_chinese_chars"].as_bool().unwrap_or(true),
            "strip_accents": config["strip_accents"],
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": { "type": "BertProcessing", "cls": [cls, id(cls)?], "sep": [sep, id(sep)?] },
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
        "model": {
            "type": "WordPiece", "unk_token": named(config, "unk_token", "[UNK]"), "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary,
        },
    }))
}

/// The two files of GPT-2 and of RoBERTa.
fn byte_level(vocabulary: &Value, merges: &str, config: &Value) -> Result<Value> {
    let id = |token: &str| vocabulary[token].as_u64();
    let prefix = config["add_prefix_space"].as_bool().unwrap_or(false);
    let merges: Vec<&str> = merges.lines().filter(|line| !line.starts_with("#version") && !line.is_empty()).collect();
    let level = json!({ "type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": true });
    let names = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
    let mut tokens: Vec<&str> = names.iter().map(|name| named(config, name, "")).collect();
    tokens.extend(["<|endoftext|>", "<s>", "</s>", "<pad>", "<unk>", "<mask>"]);
    tokens.sort_unstable();
    tokens.dedup();
    let added: Vec<Value> = tokens
        .into_iter()
        .filter_map(|token| {
            let mut token = special(token, id(token)?);
            // RoBERTa's mask swallows the space before it.
            token["lstrip"] = (token["content"] == "<mask>").into();
            Some(token)
        })
        .collect();
    // RoBERTa frames a text, GPT-2 does not.
    let post_processor = match (id("<s>"), id("</s>")) {
        (Some(cls), Some(sep)) => json!({
            "type": "RobertaProcessing", "sep": ["</s>", sep], "cls": ["<s>", cls], "trim_offsets": true, "add_prefix_space": prefix,
        }),
        _ => json!({ "type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": false, "use_regex": true }),
    };
    Ok(json!({
        "added_tokens": added, "normalizer": null, "pre_tokenizer": level.clone(), "post_processor": post_processor, "decoder": level,
        "model": { "type": "BPE", "vocab": vocabulary, "merges": merges },
    }))
}
