//! Reads `config.json`, and records which keys were read.
//!
//! A key that no family reads may change what the model computes, if `transformers` reads it.
//! Therefore every look-up is recorded, and [`Config::check`] refuses the remaining keys that the
//! class of this `model_type` reads, unless they are known to be harmless or have the default of
//! the class. Keys that the class does not read cannot change anything, and are only reported. Keys
//! that a file leaves out have the defaults of the class.

use core::cell::RefCell;
use std::collections::BTreeSet;

use anyhow::{Result, bail};
use serde_json::{Map, Value};

use crate::refuse;
use classes::Class;

mod classes;

/// A `config.json`.
#[derive(Debug)]
pub struct Config {
    root: Value,
    class: Option<Class>,
    read: RefCell<BTreeSet<String>>,
}

impl Config {
    /// Takes the parsed file.
    ///
    /// # Errors
    /// When the file is not a JSON object.
    pub fn new(mut root: Value) -> Result<Self> {
        let Some(keys) = root.as_object_mut() else {
            bail!("config.json is not a JSON object\ntake it from the checkpoint's page again");
        };
        let class = keys.get("model_type").and_then(Value::as_str).and_then(Class::of);
        // `transformers` applies an alias after the key, so the alias wins.
        for (alias, key) in class.into_iter().flat_map(Class::aliases) {
            match keys.remove(alias) {
                None | Some(Value::Null) => {}
                Some(value) => drop(keys.insert(key.to_owned(), value)),
            }
        }
        Ok(Self { root, class, read: RefCell::default() })
    }

    /// Replaces the value of a key.
    pub(crate) fn set(&mut self, key: &str, value: Value) {
        if let Some(keys) = self.root.as_object_mut() {
            keys.insert(key.to_owned(), value);
        }
    }

    /// The value of the first of these keys that is present and not null, or the default of the
    /// class if none is present. All of the keys count as read, whether or not the class reads
    /// them. A dot in a key leads into an object.
    pub fn get(&self, keys: &[&str]) -> Option<&Value> {
        self.read.borrow_mut().extend(keys.iter().map(|key| (*key).to_owned()));
        let default = || match self.class {
            Some(class) if !keys.iter().any(|key| self.has(key)) => keys.iter().find_map(|key| class.default(key)),
            _ => None,
        };
        keys.iter().find_map(|key| self.peek(key)).or_else(default)
    }

    /// [`get`](Self::get) for the keys that the class reads: families share code, but not all keys.
    fn own(&self, keys: &[&str]) -> Option<&Value> {
        let reads = |key: &str| self.class.is_none_or(|class| class.reads(key.split('.').next().unwrap_or(key)));
        let keys: Vec<&str> = keys.iter().copied().filter(|key| reads(key)).collect();
        self.get(&keys)
    }

    /// The value of a key unless it is null, without counting the key as read.
    pub fn peek(&self, key: &str) -> Option<&Value> {
        key.split('.').try_fold(&self.root, |value, part| value.get(part)).filter(|value| !value.is_null())
    }

    /// Whether a key is present, even as null, without counting it as read.
    pub fn has(&self, key: &str) -> bool {
        key.split('.').try_fold(&self.root, |value, part| value.get(part)).is_some()
    }

    /// A required whole number.
    ///
    /// # Errors
    /// When it is missing, or not a whole number below 2^32.
    pub fn size(&self, keys: &[&str]) -> Result<u32> {
        self.optional_size(keys)?.ok_or_else(|| {
            refuse(
                format_args!("config.json does not say `{}`", keys.join("` or `")),
                "add it, or take config.json from the checkpoint's page again",
            )
        })
    }

    /// A required whole number under a key of a checkpoint's own code, whether or not the class
    /// reads it.
    ///
    /// # Errors
    /// See [`size`](Self::size).
    pub fn stated_size(&self, key: &str) -> Result<u32> {
        let number = self.get(&[key]).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        number.ok_or_else(|| wrong(&[key], self.peek(key).unwrap_or(&Value::Null), "a whole number"))
    }

    /// An optional whole number.
    ///
    /// # Errors
    /// When it is not a whole number below 2^32.
    pub fn optional_size(&self, keys: &[&str]) -> Result<Option<u32>> {
        let number = |value: &Value| {
            value
                .as_u64()
                .or_else(|| value.as_f64().filter(|x| *x >= 0.0 && x.fract() == 0.0).map(|x| x as u64))
                .and_then(|n| u32::try_from(n).ok())
        };
        self.own(keys).map(|value| number(value).ok_or_else(|| wrong(keys, value, "a whole number"))).transpose()
    }

    /// A real number, or `default`.
    ///
    /// # Errors
    /// When it is not a number.
    pub fn real_or(&self, keys: &[&str], default: f64) -> Result<f64> {
        self.own(keys).map_or(Ok(default), |value| value.as_f64().ok_or_else(|| wrong(keys, value, "a number")))
    }

    /// True or false, or `default`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn flag_or(&self, keys: &[&str], default: bool) -> Result<bool> {
        self.own(keys).map_or(Ok(default), |value| value.as_bool().ok_or_else(|| wrong(keys, value, "true or false")))
    }

    /// A string, or `default`.
    ///
    /// # Errors
    /// When it is not a string.
    pub fn text_or<'a>(&'a self, keys: &[&str], default: &'a str) -> Result<&'a str> {
        self.own(keys).map_or(Ok(default), |value| value.as_str().ok_or_else(|| wrong(keys, value, "a string")))
    }

    /// Refuses every value of a key except null and `implemented`, if the class reads the key.
    ///
    /// # Errors
    /// When the value is refused; the message names the key, its value and the implemented values.
    pub fn only(&self, key: &str, implemented: &[Value]) -> Result<()> {
        only(key, self.own(&[key]), implemented)
    }

    /// [`only`](Self::only) for a key that only older versions of the class read.
    ///
    /// # Errors
    /// See [`only`](Self::only).
    pub fn only_ever(&self, key: &str, implemented: &[Value]) -> Result<()> {
        only(key, self.get(&[key]), implemented)
    }

    /// Refuses keys that the class reads and no family did, unless they are harmless or have the
    /// default of the class. Returns the keys that neither reads.
    ///
    /// When a key is refused; the message names all of them.
    pub fn check(&self, harmless: &[&str], ignored: &[String]) -> Result<Vec<String>> {
        let read = self.read.borrow();
        let (mut unknown, mut unread) = (Vec::new(), Vec::new());
        let mut leaves = Vec::new();
        if let Value::Object(root) = &self.root {
            collect_leaves(root, "", &read, &mut leaves);
        }
        for (path, value) in leaves {
            let key = path.split('.').next().unwrap_or(&path);
            if harmless.contains(&key) || ignored.iter().any(|name| name == key || *name == path) {
                continue;
            }
            // The unread keys of an object that was looked into belong to variants that were
            // refused there.
            if path != key || !self.class.is_none_or(|class| class.reads(key)) {
                unread.push(path);
            } else if !value.is_null() && self.class.and_then(|class| class.default(key)) != Some(value) {
                unknown.push(format!("`{path}` = {value}"));
            }
        }
        if unknown.is_empty() {
            return Ok(unread);
        }
        Err(refuse(
            format_args!("config.json has keys that change the model and are not implemented: {}", unknown.join(", ")),
            "this checkpoint is not supported; if you know that they change nothing, give --ignore-key for each",
        ))
    }
}

/// Collects every value below `map` whose path was not read as a whole.
fn collect_leaves<'a>(
    map: &'a Map<String, Value>,
    path: &str,
    read: &BTreeSet<String>,
    leaves: &mut Vec<(String, &'a Value)>,
) {
    for (key, value) in map {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if read.contains(&path) {
            continue;
        }
        let inside = format!("{path}.");
        match value {
            // Only objects that were looked into are split into their keys.
            Value::Object(inner) if read.iter().any(|other| other.starts_with(&inside)) => {
                collect_leaves(inner, &path, read, leaves);
            }
            _ => leaves.push((path, value)),
        }
    }
}

fn only(key: &str, value: Option<&Value>, implemented: &[Value]) -> Result<()> {
    match value {
        Some(value) if !implemented.contains(value) => {
            let list = implemented.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
            let list = if list.is_empty() { "null".to_owned() } else { list };
            Err(refuse(
                format_args!("config.json says `{key}` = {value}, which is not implemented"),
                format_args!("only {list} is: this checkpoint cannot be converted"),
            ))
        }
        _ => Ok(()),
    }
}

fn wrong(keys: &[&str], value: &Value, wanted: &str) -> anyhow::Error {
    refuse(
        format_args!("config.json: `{}` is {value}", keys.join("` or `")),
        format_args!("it must be {wanted}: take config.json from the checkpoint's page again"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(value: Value) -> Config {
        Config::new(value).unwrap()
    }

    #[test]
    fn the_first_name_with_a_value_counts() {
        let config = config(json!({"n_embd": 8, "hidden_size": null, "rope": {"theta": 1e4, "factor": 2.0}}));
        assert_eq!(config.size(&["hidden_size", "n_embd"]).unwrap(), 8);
        assert!(config.size(&["d_model"]).unwrap_err().to_string().contains("`d_model`"));
        assert_eq!(config.real_or(&["rope.theta"], 0.0).unwrap(), 1e4);
        assert_eq!(config.check(&[], &[]).unwrap(), ["rope.factor"]);
    }

    #[test]
    fn another_name_for_a_key_wins_over_it() {
        let size = |keys: Value| {
            let mut keys = keys;
            keys["model_type"] = "gpt2".into();
            config(keys).size(&["n_embd"]).unwrap()
        };
        assert_eq!(size(json!({"n_embd": 8, "hidden_size": 16})), 16);
        assert_eq!(size(json!({"n_embd": 8, "hidden_size": null})), 8);
        assert_eq!(size(json!({"hidden_size": 16})), 16);
        assert_eq!(size(json!({})), 768);
    }

    #[test]
    fn a_key_that_is_left_out_has_its_default_and_null_is_none() {
        let mistral = |keys: Value| {
            let mut keys = keys;
            keys["model_type"] = "mistral".into();
            config(keys).optional_size(&["sliding_window"]).unwrap()
        };
        assert_eq!(mistral(json!({})), Some(4096));
        assert_eq!(mistral(json!({"sliding_window": 5})), Some(5));
        assert_eq!(mistral(json!({"sliding_window": null})), None);
    }

    #[test]
    fn a_key_of_the_wrong_kind_is_named() {
        let config = config(json!({"size": -3, "flag": "yes", "real": [], "text": 1}));
        assert!(config.size(&["size"]).unwrap_err().to_string().contains("`size` is -3"));
        assert!(config.flag_or(&["flag"], true).is_err());
        assert!(config.real_or(&["real"], 1.0).is_err());
        assert!(config.text_or(&["text"], "").is_err());
    }

    #[test]
    fn what_the_class_reads_is_refused_and_what_it_does_not_is_reported() {
        let config = config(json!({
            "model_type": "llama", "is_causal": false, "attention_chunk_size": null, "mlp_bias": false, "hidden_size": 8,
            "padding_idx": 3, "dropped": 1.5, "attention_bias": true
        }));
        config.get(&["model_type"]);
        config.get(&["hidden_size"]);
        let error = config.check(&["dropped"], &[]).unwrap_err().to_string();
        assert!(error.contains("`attention_bias` = true, `is_causal` = false"), "{error}");
        assert!(!error.contains("mlp_bias") && !error.contains("chunk"), "{error}");
        let ignored = ["attention_bias", "is_causal"].map(str::to_owned);
        assert_eq!(config.check(&["dropped"], &ignored).unwrap(), ["padding_idx"]);
    }

    #[test]
    fn a_key_of_another_family_is_not_there() {
        let config = config(json!({"model_type": "qwen2", "mlp_bias": true, "is_decoder": true, "rms_norm_eps": 0.5}));
        assert!(!config.flag_or(&["mlp_bias"], false).unwrap());
        assert!(config.only("is_decoder", &[]).is_ok() && config.only_ever("is_decoder", &[]).is_err());
        assert_eq!(config.real_or(&["rms_norm_eps"], 0.0).unwrap(), 0.5);
    }

    #[test]
    fn only_what_is_implemented_passes() {
        let config = config(json!({"kind": "yarn", "other": "default"}));
        assert!(config.only("other", &["default".into()]).is_ok());
        assert!(config.only("missing", &[]).is_ok());
        let error = config.only("kind", &["default".into()]).unwrap_err().to_string();
        assert!(error.contains("`kind` = \"yarn\"") && error.contains("\"default\""), "{error}");
    }
}
