//! Reads the values of a description, with an error for each way in which they can be wrong.

use anyhow::{Result, bail};
use serde_json::Value;

use crate::refuse;

pub(super) fn unsupported(what: &str, value: &Value) -> anyhow::Error {
    let shown = value.to_string();
    let shown: String = shown.chars().take(200).collect();
    refuse(
        format_args!("tokenizer.json has the {what} {shown}, which is not implemented"),
        "leave the tokenizer out with --no-tokenizer, and work with ids",
    )
}

pub(super) fn malformed(place: &str) -> anyhow::Error {
    refuse(format_args!("tokenizer.json is malformed at `{place}`"), "take it from the checkpoint's page again")
}

/// The error for a description that contradicts itself.
pub(super) fn contradictory(what: impl core::fmt::Display) -> anyhow::Error {
    refuse(
        format_args!("tokenizer.json {what}"),
        "take it from the checkpoint's page again, or leave the tokenizer out with --no-tokenizer",
    )
}

pub(super) fn text<'v>(value: &'v Value, key: &str, place: &str) -> Result<&'v str> {
    value[key].as_str().ok_or_else(|| malformed(&format!("{place}.{key}")))
}

pub(super) fn flag(value: &Value, key: &str, default: bool) -> bool {
    value[key].as_bool().unwrap_or(default)
}

pub(super) fn character(value: &Value, key: &str, default: char) -> Result<char> {
    let Some(text) = value[key].as_str() else { return Ok(default) };
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => Ok(c),
        _ => Err(malformed(key)),
    }
}

/// The parts of a sequence, or the one part.
pub(super) fn parts<'v>(value: &'v Value, list: &str) -> Vec<&'v Value> {
    match (value, value["type"].as_str()) {
        (Value::Null, _) => Vec::new(),
        (_, Some("Sequence")) => {
            value[list].as_array().into_iter().flatten().flat_map(|part| parts(part, list)).collect()
        }
        _ => vec![value],
    }
}

/// Refuses more parts than the device takes, before tables are made for them.
pub(super) fn few<T>(list: Vec<T>, most: usize, what: &str) -> Result<Vec<T>> {
    if list.len() > most {
        bail!("the tokenizer has {} {what}, and the device takes {most}\nleave it out with --no-tokenizer", list.len());
    }
    Ok(list)
}

/// Moves a list to a bounded vector of the device.
pub(super) fn bounded<T, const N: usize>(list: Vec<T>, what: &str) -> Result<heapless::Vec<T, N, u8>> {
    let mut bounded = heapless::Vec::new();
    for item in few(list, N, what)? {
        let _ = bounded.push(item);
    }
    Ok(bounded)
}
