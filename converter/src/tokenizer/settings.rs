//! Reads the files beside a vocabulary: `tokenizer_config.json`, `special_tokens_map.json`,
//! `added_tokens.json`, and the keys of `config.json` that name the tokenizer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::checkpoint::sentence::STATIC;
use crate::{files, json, refuse};

/// The keys of special tokens, in the order in which the tokens get ids.
const NAMED: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// A folder whose files may be missing.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        files::is_there(&self.folder.join(name))
    }

    pub(super) fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.folder.join(name);
        files::read(&path, files::MAX_JSON_BYTES).with_context(|| format!("reading {}", path.display()))
    }

    /// Reads a text file; `None` if it does not exist.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>> {
        if !self.has(name) {
            return Ok(None);
        }
        let not_text = |_| refuse(format_args!("{name} is not UTF-8"), "take it from the checkpoint's page again");
        String::from_utf8(self.bytes(name)?).map(Some).map_err(not_text)
    }

    /// Reads a JSON file; null if it does not exist.
    pub(super) fn json(&self, name: &str) -> Result<Value> {
        if self.has(name) { json::parse(&self.bytes(name)?, name) } else { Ok(Value::Null) }
    }
}

/// A token that is found in a text before the text is split.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) content: String,
    pub(super) lstrip: bool,
    pub(super) rstrip: bool,
    pub(super) single_word: bool,
    pub(super) normalized: bool,
    pub(super) special: bool,
}

impl Token {
    /// A token without flags. Only tokens that are not special are found in normalized text.
    pub(super) fn plain(content: &str, special: bool) -> Self {
        let content = content.to_owned();
        Self { content, lstrip: false, rstrip: false, single_word: false, normalized: !special, special }
    }

    /// Reads a token from an object of `tokenizer.json` or of a file beside it.
    pub(super) fn described(value: &Value, special: bool) -> Option<Self> {
        let content = value["content"].as_str()?;
        let flag = |key: &str, default: bool| value[key].as_bool().unwrap_or(default);
        let special = flag("special", special);
        Some(Self {
            lstrip: flag("lstrip", false),
            rstrip: flag("rstrip", false),
            single_word: flag("single_word", false),
            normalized: flag("normalized", !special),
            ..Self::plain(content, special)
        })
    }

    /// The token as an object of `tokenizer.json`.
    pub(super) fn json(&self, id: u64) -> Value {
        json!({
            "id": id, "content": self.content, "single_word": self.single_word, "lstrip": self.lstrip, "rstrip": self.rstrip,
            "normalized": self.normalized, "special": self.special,
        })
    }
}

/// The settings in the files beside a vocabulary.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// `model_type` of `config.json`.
    pub(super) model_type: Option<String>,
    /// `tokenizer_class`, without the suffix `Fast`.
    pub(super) class: Option<String>,
    /// Added tokens, by the id that the files give them.
    pub(super) added: BTreeMap<u64, Token>,
    /// Whether `tokenizer_config.json` lists the added tokens; other lists are then ignored.
    pub(super) lists_added: bool,
    /// The keys of `tokenizer_config.json`, and further ones from `special_tokens_map.json`.
    keys: Map<String, Value>,
}

impl Settings {
    pub(super) fn read(files: &Files) -> Result<Self> {
        let config = files.json("config.json")?;
        let mut keys = match files.json("tokenizer_config.json")? {
            Value::Object(keys) => keys,
            _ => Map::new(),
        };
        let class = keys.get("tokenizer_class").unwrap_or(&config["tokenizer_class"]).as_str();
        let class = class.map(|class| class.strip_suffix("Fast").unwrap_or(class).to_owned());
        if keys.get("extra_special_tokens").is_none_or(is_empty)
            && let Some(tokens) = keys.remove("additional_special_tokens")
        {
            keys.insert("extra_special_tokens".to_owned(), tokens);
        }
        let model_type = config["model_type"].as_str().map(str::to_owned);
        let mut settings = Self { model_type, class, keys, ..Self::default() };
        settings.read_added(files)?;
        Ok(settings)
    }

    /// Reads `added_tokens_decoder` of `tokenizer_config.json`, or else the two files that preceded
    /// it.
    fn read_added(&mut self, files: &Files) -> Result<()> {
        if let Some(listed) = self.keys.get("added_tokens_decoder") {
            self.lists_added = true;
            for (id, token) in listed.as_object().into_iter().flatten() {
                let entry = id.parse().ok().zip(Token::described(token, false));
                let (id, token) = entry.ok_or_else(|| wrong("tokenizer_config.json", "added_tokens_decoder"))?;
                self.added.insert(id, token);
            }
            return Ok(());
        }
        if let Value::Object(map) = files.json("special_tokens_map.json")? {
            self.keys.extend(map);
        }
        let special: Vec<String> = NAMED.iter().filter_map(|key| self.token(key)).map(|token| token.content).collect();
        let extra: Vec<String> = self.extra_tokens().into_iter().flatten().map(|token| token.content).collect();
        for (content, id) in files.json("added_tokens.json")?.as_object().into_iter().flatten() {
            let id = id.as_u64().ok_or_else(|| wrong("added_tokens.json", content))?;
            let token = Token::plain(content, special.contains(content) || extra.contains(content));
            self.added.insert(id, token);
        }
        Ok(())
    }

    /// The added tokens with the ids that the files give them.
    pub(super) fn listed(&self) -> impl Iterator<Item = (Option<u64>, Token)> {
        self.added.iter().map(|(id, token)| (Some(*id), token.clone()))
    }

    /// Whether the files name this token as a special one.
    pub(super) fn says(&self, content: &str) -> bool {
        let named = self.keys.iter().filter(|(key, _)| key.ends_with("_token"));
        let named = named.filter_map(|(_, value)| value.as_str().or_else(|| value["content"].as_str()));
        let extra = self.extra_tokens().unwrap_or_default().into_iter().chain(self.mapped_tokens());
        named.map(str::to_owned).chain(extra.map(|token| token.content)).any(|other| other == content)
    }

    /// Whether a key is there and not null.
    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.get(key).is_some_and(|value| !value.is_null())
    }

    /// A key that is true, false or absent.
    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool> {
        Ok(self.optional_flag(key)?.unwrap_or(default))
    }

    pub(super) fn optional_flag(&self, key: &str) -> Result<Option<bool>> {
        match self.keys.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(wrong("tokenizer_config.json", key)),
        }
    }

    /// A key that is a whole number.
    pub(super) fn count(&self, key: &str, default: u64) -> Result<u64> {
        match self.keys.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => value.as_u64().ok_or_else(|| wrong("tokenizer_config.json", key)),
        }
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.keys.get(key).and_then(Value::as_str)
    }

    /// The special token of a key, if the files name it. An entry among the added tokens overrides
    /// its flags.
    fn token(&self, key: &str) -> Option<Token> {
        let value = self.keys.get(key)?;
        let token = match value {
            Value::String(content) => Token::plain(content, true),
            value => Token::described(value, true)?,
        };
        Some(self.added.values().find(|added| added.content == token.content).cloned().unwrap_or(token))
    }

    /// The text of a special token. Null in a file removes the default of the class.
    pub(super) fn name<'s>(&'s self, key: &str, default: Option<&'s str>) -> Option<&'s str> {
        match self.keys.get(key) {
            None => default,
            Some(value) => value.as_str().or_else(|| value["content"].as_str()),
        }
    }

    /// The special tokens of all keys: those of the files, or else the defaults of the class.
    pub(super) fn named(&self, defaults: &[(&str, &str)], mask_strips: bool) -> Vec<Token> {
        let one = |key: &&str| {
            let default = defaults.iter().find(|(name, _)| name == key).map(|(_, content)| *content);
            let by_name = self.keys.get(*key).is_none_or(Value::is_string);
            let mut token = match self.token(key) {
                Some(token) => token,
                None => Token::plain(self.name(key, default)?, true),
            };
            let listed = self.added.values().any(|added| added.content == token.content);
            token.lstrip |= mask_strips && *key == "mask_token" && by_name && !listed;
            token.special = true;
            Some(token)
        };
        let others = self.keys.iter().filter(|(key, _)| key.ends_with("_token") && !NAMED.contains(&key.as_str()));
        let others = others.filter_map(|(_, value)| value.as_str()).map(|content| Token::plain(content, true));
        NAMED.iter().filter_map(one).chain(others).collect()
    }

    /// The special tokens without a key of their own, if the files list them.
    pub(super) fn extra_tokens(&self) -> Option<Vec<Token>> {
        let said = |key: &str| self.keys.get(key).filter(|tokens| !is_empty(tokens));
        let one = |value: &Value| match value {
            Value::String(content) => Some(Token::plain(content, true)),
            value => Token::described(value, true),
        };
        match said("extra_special_tokens")? {
            Value::Array(tokens) => Some(tokens.iter().filter_map(one).collect()),
            Value::Object(tokens) => Some(tokens.values().filter_map(one).collect()),
            _ => None,
        }
    }

    /// The list of `special_tokens_map.json`, which classes with a list of their own ignore.
    pub(super) fn mapped_tokens(&self) -> Vec<Token> {
        let list = self.keys.get("additional_special_tokens").and_then(Value::as_array);
        let one = |value: &Value| match value {
            Value::String(content) => Some(Token::plain(content, true)),
            value => Token::described(value, true),
        };
        list.into_iter().flatten().filter_map(one).collect()
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

pub(super) fn wrong(file: &str, key: &str) -> anyhow::Error {
    refuse(format_args!("{file} has a value at `{key}` of the wrong type"), "take it from the checkpoint's page again")
}

/// The class name in an entry of `modules.json`, without its Python module.
fn class_name(entry: &Value) -> Option<&str> {
    entry["type"].as_str().and_then(|kind| kind.rsplit('.').next())
}

/// Whether a folder, or the one that its `modules.json` names, holds static embeddings.
pub(super) fn is_static(folder: &Path) -> Result<bool> {
    let files = Files::new(folder.to_owned());
    let modules = files.json("modules.json")?;
    let listed = modules.as_array().into_iter().flatten().any(|entry| class_name(entry) == Some("StaticEmbedding"));
    Ok(listed || modules.is_null() && files.json("config.json")?["model_type"] == STATIC)
}

/// The folder of the transformer, which sentence-transformers may keep in a subfolder.
pub(super) fn transformer(folder: &Path) -> Result<PathBuf> {
    let modules = Files::new(folder.to_owned()).json("modules.json")?;
    let module = |entry: &&Value| ["Transformer", "StaticEmbedding"].map(Some).contains(&class_name(entry));
    let path = modules.as_array().into_iter().flatten().find(module).and_then(|entry| entry["path"].as_str());
    Ok(path.filter(|path| crate::files::is_bare(path)).map_or_else(|| folder.to_owned(), |path| folder.join(path)))
}
