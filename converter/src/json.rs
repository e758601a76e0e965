//! Reads the JSON files of checkpoints.
//!
//! Python writes `NaN`, `Infinity` and `-Infinity`, which are not JSON. They are replaced by the
//! objects that newer versions of `transformers` write, `{"__float__": "NaN"}`, so that a key that
//! nobody reads may have such a value, and a key that must be a number may not.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{files, refuse};

/// Reads a JSON file that must exist.
///
/// # Errors
/// When it cannot be read, or is not JSON; the message names the file and the position.
pub(crate) fn required(path: &Path) -> Result<Value> {
    let bytes = files::read(path, files::MAX_JSON_BYTES)
        .with_context(|| format!("cannot read {}\ngive the folder of a Hugging Face checkpoint", path.display()))?;
    parse(&bytes, &path.display().to_string())
}

/// Reads a JSON file; null if it does not exist.
///
/// # Errors
/// When it exists and cannot be read, or is not JSON.
pub(crate) fn optional(path: &Path) -> Result<Value> {
    if files::is_there(path) { required(path) } else { Ok(Value::Null) }
}

/// Parses JSON. Errors call the file `name`.
///
/// # Errors
/// When the text is not JSON in UTF-8.
pub(crate) fn parse(bytes: &[u8], name: &str) -> Result<Value> {
    if matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [_, 0, ..] | [0, _, ..]) {
        return Err(refuse(format_args!("{name} is in UTF-16"), "save it as UTF-8"));
    }
    // Some editors begin a file with a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = core::str::from_utf8(bytes).map_err(|error| {
        refuse(format_args!("{name} is not UTF-8 at byte {}", error.valid_up_to()), "save it as UTF-8")
    })?;
    serde_json::from_str(text).or_else(|error| {
        let tagged = tag_numbers(text);
        tagged.and_then(|text| serde_json::from_str(&text).ok()).ok_or_else(|| {
            refuse(format_args!("{name} is not JSON: {error}"), "correct it, or download the file again")
        })
    })
}

/// Python's names of numbers, and their replacements. A name comes before its suffix.
const NUMBERS: [(&str, &str); 3] = [
    ("-Infinity", r#"{"__float__":"-Infinity"}"#),
    ("Infinity", r#"{"__float__":"Infinity"}"#),
    ("NaN", r#"{"__float__":"NaN"}"#),
];

/// Replaces Python's names of numbers outside strings; `None` if there are none.
fn tag_numbers(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let (mut inside, mut escaped, mut found) = (false, false, false);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if !inside && let Some((name, tagged)) = NUMBERS.iter().find(|(name, _)| rest.starts_with(name)) {
            out.push_str(tagged);
            rest = &rest[name.len()..];
            found = true;
            continue;
        }
        inside ^= first == '"' && !escaped;
        escaped = inside && first == '\\' && !escaped;
        out.push(first);
        rest = &rest[first.len_utf8()..];
    }
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(bytes: &[u8]) -> String {
        format!("{:#}", parse(bytes, "config.json").unwrap_err())
    }

    #[test]
    fn numbers_that_python_writes_are_read_and_strings_stay() {
        let text = r#"{"a": NaN, "b": [Infinity, -Infinity], "NaN": "NaN, \"Infinity\\", "c": "\\", "d": NaN}"#;
        let tag = |name: &str| json!({ "__float__": name });
        let expected = json!({
            "a": tag("NaN"), "b": [tag("Infinity"), tag("-Infinity")], "NaN": "NaN, \"Infinity\\", "c": "\\", "d": tag("NaN")
        });
        assert_eq!(parse(text.as_bytes(), "").unwrap(), expected);
        assert!(message(b"{\"a\": NaNo}").contains("config.json is not JSON"));
    }

    #[test]
    fn a_mark_of_utf_8_is_skipped_and_other_encodings_are_named() {
        assert_eq!(parse(b"\xef\xbb\xbf{}", "").unwrap(), json!({}));
        let wide = |order: fn(u16) -> [u8; 2], mark: &str| {
            format!("{mark}{{}}").encode_utf16().flat_map(order).collect::<Vec<u8>>()
        };
        for mark in ["\u{feff}", ""] {
            assert!(message(&wide(u16::to_le_bytes, mark)).contains("config.json is in UTF-16"));
            assert!(message(&wide(u16::to_be_bytes, mark)).contains("config.json is in UTF-16"));
        }
        assert!(message(b"{\"a\": \"\xe4\"}").contains("not UTF-8 at byte 7"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let error = message(b"{\n \"a\": 1,\n}");
        assert!(error.contains("trailing comma at line 3 column 1") && error.contains('\n'), "{error}");
        for text in ["", "{", "[1, 2", "{'a': 1}", "{\"a\": True}"] {
            assert!(message(text.as_bytes()).contains("config.json is not JSON: "), "{text}");
        }
    }
}
