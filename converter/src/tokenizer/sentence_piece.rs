//! SentencePiece's own files, where there is no `tokenizer.json`: what `transformers` makes of them for each family.

use anyhow::Result;
use base64::Engine as _;
use serde_json::{Value, json};

use super::malformed;
use crate::refuse;

/// The parts of a model's file that matter.
#[derive(Debug, Default)]
struct Model {
    pieces: Vec<Piece>,
    /// 1 for Unigram, 2 for BPE.
    kind: u64,
    byte_fallback: bool,
    charsmap: Vec<u8>,
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
}

#[derive(Debug, Default)]
struct Piece {
    text: String,
    score: f32,
    /// 1 for normal pieces, 2 unknown, 3 control, 4 user-defined, 6 for bytes.
    kind: u64,
}

/// A field of a protocol buffer message.
enum Field<'b> {
    Number(u64),
    Bytes(&'b [u8]),
    Single(f32),
}

/// The fields of a message with their numbers.
fn fields(mut bytes: &[u8]) -> Result<Vec<(u64, Field<'_>)>> {
    let bad = || malformed("spiece.model");
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes).ok_or_else(bad)?;
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes).ok_or_else(bad)?),
            1 => {
                bytes = bytes.get(8..).ok_or_else(bad)?;
                continue;
            }
            2 => {
                let len = varint(&mut bytes).ok_or_else(bad)? as usize;
                let (inside, rest) = bytes.split_at_checked(len).ok_or_else(bad)?;
                bytes = rest;
                Field::Bytes(inside)
            }
            5 => {
                let (word, rest) = bytes.split_first_chunk::<4>().ok_or_else(bad)?;
                bytes = rest;
                Field::Single(f32::from_le_bytes(*word))
            }
            _ => return Err(bad()),
        };
        fields.push((key >> 3, field));
    }
    Ok(fields)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

impl Model {
    /// `sentencepiece_model.proto`: pieces in field 1, the trainer's options in 2, the normalizer's in 3.
    fn parse(bytes: &[u8]) -> Result<Self> {
        let mut model = Self { kind: 1, add_dummy_prefix: true, remove_extra_whitespaces: true, ..Self::default() };
        for (number, field) in fields(bytes)? {
            let Field::Bytes(inside) = field else { continue };
            match number {
                1 => {
                    let mut piece = Piece { kind: 1, ..Piece::default() };
                    for field in fields(inside)? {
                        match field {
                            (1, Field::Bytes(text)) => piece.text = String::from_utf8_lossy(text).into_owned(),
                            (2, Field::Single(score)) => piece.score = score,
                            (3, Field::Number(kind)) => piece.kind = kind,
                            _ => {}
                        }
                    }
                    model.pieces.push(piece);
                }
                2 => {
                    for field in fields(inside)? {
                        match field {
                            (3, Field::Number(kind)) => model.kind = kind,
                            (35, Field::Number(fallback)) => model.byte_fallback = fallback != 0,
                            _ => {}
                        }
                    }
                }
                3 => {
                    for field in fields(inside)? {
                        match field {
                            (2, Field::Bytes(charsmap)) => model.charsmap = charsmap.to_vec(),
                            (3, Field::Number(prefix)) => model.add_dummy_prefix = prefix != 0,
                            (4, Field::Number(remove)) => model.remove_extra_whitespaces = remove != 0,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        if model.pieces.is_empty() {
            return Err(malformed("spiece.model"));
        }
        Ok(model)
    }
}

/// Describes a model's file as `tokenizer.json` would. `model_type` says what goes around a text.
pub(super) fn describe(bytes: &[u8], model_type: &str) -> Result<Value> {
    // Others count their ids otherwise than the file does.
    let counted = ["t5", "mt5", "albert", "deberta-v2", "llama", "mistral", "gemma", "gemma3_text"];
    if !counted.contains(&model_type) {
        return Err(refuse(
            format_args!(
                "the folder has a SentencePiece file, but no tokenizer.json, and its ids are not known for \"{model_type}\""
            ),
            "save the tokenizer again with transformers, which writes tokenizer.json, or add --no-tokenizer",
        ));
    }
    let model = Model::parse(bytes)?;
    let id = |text: &str| model.pieces.iter().position(|piece| piece.text == text);
    let unknown = model.pieces.iter().position(|piece| piece.kind == 2);
    let added: Vec<Value> = model
        .pieces
        .iter()
        .enumerate()
        .filter(|(_, piece)| matches!(piece.kind, 2..=4))
        .map(|(id, piece)| {
            json!({ "id": id, "content": piece.text, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": piece.kind != 4 })
        })
        .collect();
    let vocabulary: Vec<Value> = model.pieces.iter().map(|piece| json!([piece.text, f64::from(piece.score)])).collect();
    let mut normalizers = Vec::new();
    if !model.charsmap.is_empty() {
        let encoded = base64::engine::general_purpose::STANDARD.encode(&model.charsmap);
        normalizers.push(json!({ "type": "Precompiled", "precompiled_charsmap": encoded }));
    }
    if model.remove_extra_whitespaces && model.kind == 1 {
        normalizers.push(json!({ "type": "Replace", "pattern": { "Regex": " {2,}" }, "content": " " }));
    }
    let scheme = if model.add_dummy_prefix { "always" } else { "never" };
    let metaspace =
        json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": model.kind == 1 });
    let (pre_tokenizer, decoder, core) = match model.kind {
        1 => {
            let split =
                json!({ "type": "Sequence", "pretokenizers": [{ "type": "WhitespaceSplit" }, metaspace.clone()] });
            let core = json!({ "type": "Unigram", "unk_id": unknown, "vocab": vocabulary, "byte_fallback": model.byte_fallback });
            (split, metaspace, core)
        }
        2 => {
            if model.add_dummy_prefix {
                normalizers.push(json!({ "type": "Prepend", "prepend": "▁" }));
            }
            normalizers.push(json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" }));
            let decoder = json!({ "type": "Sequence", "decoders": [
                { "type": "Replace", "pattern": { "String": "▁" }, "content": " " }, { "type": "ByteFallback" }, { "type": "Fuse" },
                { "type": "Strip", "content": " ", "start": u8::from(model.add_dummy_prefix), "stop": 0 }] });
            (Value::Null, decoder, byte_pairs(&model, unknown))
        }
        kind => {
            return Err(refuse(
                format_args!("spiece.model is of kind {kind}, which is not implemented"),
                "Unigram and BPE are; leave the tokenizer out with --no-tokenizer",
            ));
        }
    };
    Ok(json!({
        "added_tokens": added,
        "normalizer": { "type": "Sequence", "normalizers": normalizers },
        "pre_tokenizer": pre_tokenizer,
        "post_processor": frame(model_type, &id),
        "decoder": decoder,
        "model": core,
    }))
}

/// Any two pieces that make a third are a merge; those that make the likelier third come first.
fn byte_pairs(model: &Model, unknown: Option<usize>) -> Value {
    let ids: std::collections::HashMap<&str, usize> =
        model.pieces.iter().enumerate().map(|(id, piece)| (piece.text.as_str(), id)).collect();
    let mut merges = Vec::new();
    for (id, piece) in model.pieces.iter().enumerate().filter(|(_, piece)| piece.kind == 1 || piece.kind == 4) {
        let mut own = Vec::new();
        for (at, _) in piece.text.char_indices().skip(1) {
            let (left, right) = piece.text.split_at(at);
            if let (Some(left_id), Some(right_id)) = (ids.get(left), ids.get(right)) {
                own.push((*left_id, *right_id, json!([left, right])));
            }
        }
        own.sort_by_key(|(left, right, _)| (*left, *right));
        merges.extend(own.into_iter().map(|(.., pair)| (piece.score, id, pair)));
    }
    // A stable sort: of equal scores the piece with the lower id comes first.
    merges.sort_by(|a, b| b.0.total_cmp(&a.0));
    let vocabulary: serde_json::Map<String, Value> =
        model.pieces.iter().enumerate().map(|(id, piece)| (piece.text.clone(), id.into())).collect();
    json!({
        "type": "BPE", "unk_token": unknown.map(|id| &model.pieces[id].text), "fuse_unk": true, "byte_fallback": model.byte_fallback,
        "vocab": vocabulary, "merges": merges.into_iter().map(|(.., pair)| pair).collect::<Vec<_>>(),
    })
}

/// What goes around a text in a family.
fn frame(model_type: &str, id: &dyn Fn(&str) -> Option<usize>) -> Value {
    let template = |single: &[(&str, u8)], pair: &[(&str, u8)]| -> Value {
        let piece = |(name, type_id): &(&str, u8)| match *name {
            "A" | "B" => json!({ "Sequence": { "id": name, "type_id": type_id } }),
            name => json!({ "SpecialToken": { "id": name, "type_id": type_id } }),
        };
        let names = single.iter().chain(pair).filter(|(name, _)| !matches!(*name, "A" | "B"));
        let mut tokens = serde_json::Map::new();
        for (name, _) in names {
            let Some(id) = id(name) else { return Value::Null };
            tokens.insert((*name).to_owned(), json!({ "id": name, "ids": [id], "tokens": [name] }));
        }
        json!({
            "type": "TemplateProcessing", "special_tokens": tokens,
            "single": single.iter().map(piece).collect::<Vec<_>>(), "pair": pair.iter().map(piece).collect::<Vec<_>>(),
        })
    };
    match model_type {
        "t5" | "mt5" | "pegasus" => template(&[("A", 0), ("</s>", 0)], &[("A", 0), ("</s>", 0), ("B", 0), ("</s>", 0)]),
        "marian" => template(&[("A", 0), ("</s>", 0)], &[("A", 0), ("B", 0), ("</s>", 0)]),
        "albert" | "deberta-v2" => template(
            &[("[CLS]", 0), ("A", 0), ("[SEP]", 0)],
            &[("[CLS]", 0), ("A", 0), ("[SEP]", 0), ("B", 1), ("[SEP]", 1)],
        ),
        "llama" | "mistral" => template(&[("<s>", 0), ("A", 0)], &[("<s>", 0), ("A", 0), ("<s>", 1), ("B", 1)]),
        "gemma" | "gemma3_text" => {
            template(&[("<bos>", 0), ("A", 0)], &[("<bos>", 0), ("A", 0), ("<bos>", 1), ("B", 1)])
        }
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use kinglet::tokenizer::{EncodeOptions, Tokenizer};

    use super::*;
    use crate::tokenizer::{decode, encode, section};

    /// A message: fields in order, each with its number.
    fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
        fields.iter().flat_map(|(key, bytes)| [&[*key][..], bytes].concat()).collect()
    }

    fn inside(bytes: &[u8]) -> Vec<u8> {
        [&[bytes.len() as u8][..], bytes].concat()
    }

    fn piece(text: &str, score: f32, kind: u8) -> Vec<u8> {
        let text = inside(text.as_bytes());
        inside(&message(&[(0x0a, &text), (0x15, &score.to_le_bytes()), (0x18, &[kind])]))
    }

    #[test]
    fn pieces_that_make_another_are_merged_likeliest_first() {
        let pieces = [
            piece("<unk>", 0.0, 2),
            piece("<s>", 0.0, 3),
            piece("</s>", 0.0, 3),
            piece("▁", -4.0, 1),
            piece("a", -5.0, 1),
            piece("b", -6.0, 1),
            piece("ab", -1.0, 1),
            piece("▁a", -2.0, 1),
            piece("▁ab", -3.0, 1),
        ];
        let trainer = inside(&message(&[(0x18, &[2])]));
        let mut file: Vec<u8> = pieces.iter().flat_map(|piece| message(&[(0x0a, piece)])).collect();
        file.extend(message(&[(0x12, &trainer)]));
        let section = section(&describe(&file, "llama").unwrap()).unwrap();
        let tokenizer = Tokenizer::from_bytes(&section).unwrap();
        let tokens = encode(&tokenizer, "ab aab", None, &EncodeOptions::default()).unwrap();
        let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
        assert_eq!(ids, [1, 8, 7, 6]);
        assert_eq!(decode(&tokenizer, &ids, true), "ab aab");
        assert!(describe(&file[..file.len() - 1], "llama").is_err());
        assert!(describe(&file, "xlm-roberta").unwrap_err().to_string().contains("xlm-roberta"));
    }
}
