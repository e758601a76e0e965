//! Parts that several classes have, in the words of `tokenizer.json`.

use serde_json::{Value, json};

pub(super) fn metaspace(scheme: &str, split: bool) -> Value {
    json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split })
}

pub(super) fn replace(pattern: Value, content: &str) -> Value {
    json!({ "type": "Replace", "pattern": pattern, "content": content })
}

pub(super) fn spaces(content: &str) -> Value {
    replace(json!({ "Regex": " {2,}" }), content)
}

/// Marks and byte tokens back to text; `strip` takes away the space before the first word.
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
