//! `config.json`, read with a record of what was read.
//!
//! A key that nobody asked for may change what the model computes. So every look-up is remembered, and
//! [`Config::check`] refuses what is left over unless it is known to be harmless.

use core::cell::RefCell;
use std::collections::BTreeSet;

use anyhow::{Result, bail};
use serde_json::{Map, Value};

use crate::refuse;

/// A `config.json`.
#[derive(Debug)]
pub struct Config {
    root: Value,
    read: RefCell<BTreeSet<String>>,
}

impl Config {
    /// Takes the parsed file.
    ///
    /// # Errors
    /// When it is not a JSON object.
    pub fn new(root: Value) -> Result<Self> {
        if !root.is_object() {
            bail!("config.json is not a JSON object\ntake it from the checkpoint's page again");
        }
        Ok(Self { root, read: RefCell::default() })
    }

    /// The value of the first of these keys that is there and not null; all of them count as read. A dot
    /// leads into an object.
    pub fn get(&self, keys: &[&str]) -> Option<&Value> {
        self.read.borrow_mut().extend(keys.iter().map(|key| (*key).to_owned()));
        keys.iter().find_map(|key| self.peek(key))
    }

    /// The value of a key, null aside, without counting it as read.
    pub fn peek(&self, key: &str) -> Option<&Value> {
        key.split('.').try_fold(&self.root, |value, part| value.get(part)).filter(|value| !value.is_null())
    }

    /// Whether the key is there, even as null, without counting it as read.
    pub fn has(&self, key: &str) -> bool {
        key.split('.').try_fold(&self.root, |value, part| value.get(part)).is_some()
    }

    /// A whole number that must be there.
    ///
    /// # Errors
    /// When it is missing or no whole number below 2^32.
    pub fn size(&self, keys: &[&str]) -> Result<u32> {
        self.optional_size(keys)?.ok_or_else(|| {
            refuse(
                format_args!("config.json does not say `{}`", keys.join("` or `")),
                "add it, or take config.json from the checkpoint's page again",
            )
        })
    }

    /// A whole number, if it is there.
    ///
    /// # Errors
    /// When it is no whole number below 2^32.
    pub fn optional_size(&self, keys: &[&str]) -> Result<Option<u32>> {
        let number = |value: &Value| {
            value
                .as_u64()
                .or_else(|| value.as_f64().filter(|x| *x >= 0.0 && x.fract() == 0.0).map(|x| x as u64))
                .and_then(|n| u32::try_from(n).ok())
        };
        self.get(keys).map(|value| number(value).ok_or_else(|| wrong(keys, value, "a whole number"))).transpose()
    }

    /// A real number, or the default.
    ///
    /// # Errors
    /// When it is no number.
    pub fn real_or(&self, keys: &[&str], default: f64) -> Result<f64> {
        self.get(keys).map_or(Ok(default), |value| value.as_f64().ok_or_else(|| wrong(keys, value, "a number")))
    }

    /// True or false, or the default.
    ///
    /// # Errors
    /// When it is neither.
    pub fn flag_or(&self, keys: &[&str], default: bool) -> Result<bool> {
        self.get(keys).map_or(Ok(default), |value| value.as_bool().ok_or_else(|| wrong(keys, value, "true or false")))
    }

    /// A string, or the default.
    ///
    /// # Errors
    /// When it is no string.
    pub fn text_or<'a>(&'a self, keys: &[&str], default: &'a str) -> Result<&'a str> {
        self.get(keys).map_or(Ok(default), |value| value.as_str().ok_or_else(|| wrong(keys, value, "a string")))
    }

    /// Refuses any value of a key but null and these.
    ///
    /// # Errors
    /// Naming the key, its value and what is implemented.
    pub fn only(&self, key: &str, implemented: &[Value]) -> Result<()> {
        match self.get(&[key]) {
            Some(value) if !implemented.contains(value) => {
                let list = implemented.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
                Err(refuse(
                    format_args!("config.json says `{key}` = {value}, which is not implemented"),
                    format_args!("only {list} is: this checkpoint cannot be converted"),
                ))
            }
            _ => Ok(()),
        }
    }

    /// Refuses keys that nobody read, are not known to be harmless, and say something.
    ///
    /// # Errors
    /// Naming the keys.
    pub fn check(&self, harmless: &[&str], ignored: &[String]) -> Result<()> {
        let read = self.read.borrow();
        let mut unknown = Vec::new();
        let mut leaves = Vec::new();
        if let Value::Object(root) = &self.root {
            collect_leaves(root, "", &read, &mut leaves);
        }
        for (path, value) in leaves {
            let key = path.split('.').next().unwrap_or(&path);
            let known = harmless.contains(&key) || ignored.iter().any(|name| name == key || *name == path);
            if !known && says_something(value) {
                unknown.push(format!("`{path}` = {value}"));
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        Err(refuse(
            format_args!("config.json has keys whose effect on the model is not known here: {}", unknown.join(", ")),
            "if they change nothing that the model computes, remove them from config.json; otherwise this checkpoint is not supported",
        ))
    }
}

/// Every value below `map` whose path was not read as a whole.
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
            // Only what was looked into is taken apart.
            Value::Object(inner) if read.iter().any(|other| other.starts_with(&inside)) => {
                collect_leaves(inner, &path, read, leaves);
            }
            _ => leaves.push((path, value)),
        }
    }
}

/// Whether a value is other than the ways of saying "nothing".
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
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
    fn the_first_alias_with_a_value_counts() {
        let config = config(json!({"n_embd": 8, "hidden_size": null, "rope": {"theta": 1e4, "factor": 2.0}}));
        assert_eq!(config.size(&["hidden_size", "n_embd"]).unwrap(), 8);
        assert!(config.size(&["d_model"]).unwrap_err().to_string().contains("`d_model`"));
        assert_eq!(config.real_or(&["rope.theta"], 0.0).unwrap(), 1e4);
        let error = config.check(&[], &[]).unwrap_err().to_string();
        assert!(error.contains("`rope.factor` = 2.0") && !error.contains("theta"), "{error}");
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
    fn unread_keys_are_refused_unless_they_say_nothing() {
        let config = config(json!({
            "a": null, "b": false, "c": "", "d": {}, "e": [], "known": 3, "dropped": 1.5, "f": 0
        }));
        config.get(&["known"]);
        let error = config.check(&["dropped"], &[]).unwrap_err().to_string();
        assert!(error.contains("`f` = 0") && !error.contains("`b`"), "{error}");
        assert!(config.check(&["dropped"], &["f".to_owned()]).is_ok());
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
