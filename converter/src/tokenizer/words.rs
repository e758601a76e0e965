//! Parts of `tokenizer.json` that several classes share.

use serde_json::{Value, json};

/// A `Metaspace` part, which is a pre-tokenizer and a decoder.
pub(super) fn metaspace(scheme: &str, split: bool) -> Value {
    json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split })
}

/// A normalizer that replaces each match of `pattern` by `content`.
pub(super) fn replace(pattern: Value, content: &str) -> Value {
    json!({ "type": "Replace", "pattern": pattern, "content": content })
}

/// A normalizer that replaces each run of spaces by `content`.
pub(super) fn spaces(content: &str) -> Value {
    replace(json!({ "Regex": " {2,}" }), content)
}

/// A decoder that turns marks into spaces and byte tokens into text; with `strip` it removes the
/// space before the first word.
pub(super) fn bytes_decoder(strip: bool) -> Value {
    let mut steps = vec![
        json!({ "type": "Replace", "pattern": { "String": "▁" }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if strip {
        steps.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    json!({ "type": "Sequence", "decoders": steps })
}
