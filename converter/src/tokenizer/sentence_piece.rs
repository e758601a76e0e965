//! Reads SentencePiece files, and describes the tokenizers that `transformers` builds from them for
//! each class.

use std::collections::HashMap;

use anyhow::Result;
use base64::Engine as _;
use serde_json::{Value, json};

use super::settings::{Settings, Token};
use super::words::{bytes_decoder, metaspace};
use crate::refuse;

/// The fields of a SentencePiece file that matter here.
#[derive(Debug)]
pub(super) struct Model {
    pieces: Vec<Piece>,
    /// 1 for Unigram, 2 for BPE.
    kind: u64,
    byte_fallback: bool,
    charsmap: Vec<u8>,
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
    escape_whitespaces: bool,
    unknown: u64,
    /// The unknown token and the tokens that begin and end a text, by name; `None` if the file has
    /// none.
    named: [Option<String>; 3],
}

impl Default for Model {
    fn default() -> Self {
        Self {
            pieces: Vec::new(),
            kind: 1,
            byte_fallback: false,
            charsmap: Vec::new(),
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
            unknown: 0,
            named: ["<unk>", "<s>", "</s>"].map(|name| Some(name.to_owned())),
        }
    }
}

#[derive(Debug, Default)]
struct Piece {
    text: String,
    score: f32,
    /// 1 for normal pieces, 2 unknown, 3 control, 4 user-defined, 6 for bytes.
    kind: u64,
}

const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;

/// The order in which a class numbers the pieces of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Layout {
    /// The order of the file.
    File,
    /// The order of the file, then `<extra_id_N>` with the highest number first.
    Extra,
    /// fairseq's four tokens in place of the file's three, and the mask at the end.
    Fairseq,
    /// fairseq's tokens, some of which are unused, in place of the file's first.
    Camembert,
    /// Like `Fairseq`, with this number of language tokens before the mask.
    Languages(usize),
    /// Masks and `offset` unknown tokens in place of the file's first two.
    Pegasus,
}

/// The piece that stands for unknown characters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Unknown {
    Id(u64),
    /// The first piece called `unk_token`.
    Named,
    /// The unknown piece of the file.
    File,
}

/// The expression by which `transformers` strips spaces from a text's ends.
pub(super) const SPACES_AT_ENDS: &str = r"\A +| +\z";
/// The expression by which `transformers` finds a mark at a text's beginning, to put another before
/// it.
pub(super) const MARK_AT_BEGIN: &str = r"\A▁";

/// The languages of mBART-50; mBART has the first 25.
const LANGUAGES: [&str; 52] = [
    "ar_AR", "cs_CZ", "de_DE", "en_XX", "es_XX", "et_EE", "fi_FI", "fr_XX", "gu_IN", "hi_IN", "it_IT", "ja_XX",
    "kk_KZ", "ko_KR", "lt_LT", "lv_LV", "my_MM", "ne_NP", "nl_XX", "ro_RO", "ru_RU", "si_LK", "tr_TR", "vi_VN",
    "zh_CN", "af_ZA", "az_AZ", "bn_IN", "fa_IR", "he_IL", "hr_HR", "id_ID", "ka_GE", "km_KH", "mk_MK", "ml_IN",
    "mn_MN", "mr_IN", "pl_PL", "ps_AF", "pt_XX", "sv_SE", "sw_KE", "ta_IN", "te_IN", "th_TH", "tl_XX", "uk_UA",
    "ur_PK", "xh_ZA", "gl_ES", "sl_SI",
];

fn broken() -> anyhow::Error {
    refuse("the SentencePiece file is malformed", "take it from the checkpoint's page again")
}

/// A field of a protocol buffer message.
enum Field<'b> {
    Number(u64),
    Bytes(&'b [u8]),
    Single(f32),
}

/// The fields of a message, with their numbers.
fn fields(mut bytes: &[u8]) -> Result<Vec<(u64, Field<'_>)>> {
    let bad = broken;
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
    /// Reads `sentencepiece_model.proto`: pieces in field 1, the trainer's options in 2, the
    /// normalizer's in 3.
    ///
    /// # Errors
    /// When the file is truncated, or not a SentencePiece file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut model = Self::default();
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
                            (40, Field::Number(id)) => model.unknown = id,
                            // A negative number means that the file has no such token.
                            (number @ (41 | 42), Field::Number(id)) if (id as i64) < 0 => {
                                model.named[number as usize - 40] = None;
                            }
                            (number @ 45..=47, Field::Bytes(text)) => {
                                if let Some(name) = &mut model.named[number as usize - 45] {
                                    *name = String::from_utf8_lossy(text).into_owned();
                                }
                            }
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
                            (5, Field::Number(escape)) => model.escape_whitespaces = escape != 0,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        if model.pieces.is_empty() {
            return Err(broken());
        }
        let mut known = std::collections::HashMap::new();
        for (id, piece) in model.pieces.iter().enumerate() {
            if let Some(earlier) = known.insert(piece.text.as_str(), id) {
                return Err(refuse(
                    format_args!("spiece.model has the piece {:?} twice, with the ids {earlier} and {id}", piece.text),
                    "take it from the checkpoint's page again: SentencePiece refuses such a file, too",
                ));
            }
        }
        Ok(model)
    }

    /// The character rules of the file, if it has any.
    pub(super) fn rules(&self) -> Option<Value> {
        let encoded = base64::engine::general_purpose::STANDARD.encode(&self.charsmap);
        (!self.charsmap.is_empty()).then(|| json!({ "type": "Precompiled", "precompiled_charsmap": encoded }))
    }

    /// The pieces that are found whole: control and user-defined ones.
    fn kept(&self) -> Vec<Token> {
        let kept = self.pieces.iter().filter(|piece| matches!(piece.kind, CONTROL | USER_DEFINED));
        kept.map(|piece| Token { normalized: false, ..Token::plain(&piece.text, piece.kind == CONTROL) }).collect()
    }

    /// The tokens of a class with this layout that no key names.
    ///
    /// # Errors
    /// When a key has a value of the wrong type.
    pub(super) fn tokens(&self, layout: Layout, settings: &Settings) -> Result<Vec<Token>> {
        let special = |content: &str| Token::plain(content, true);
        let mut tokens = self.kept();
        match layout {
            Layout::File | Layout::Fairseq | Layout::Camembert => {}
            Layout::Extra => {
                let count = settings.count("extra_ids", 100)?;
                tokens.extend((0..count).map(|number| special(&format!("<extra_id_{number}>"))));
            }
            Layout::Languages(count) => {
                let own = tokens.drain(..).filter(|token| !LANGUAGES.contains(&token.content.as_str()));
                tokens = LANGUAGES[..count].iter().map(|code| special(code)).chain(own.collect::<Vec<_>>()).collect();
            }
            Layout::Pegasus => {
                let mask = settings.name("mask_token_sent", Some("<mask_1>")).map(special);
                let offset = settings.count("offset", 103)?;
                tokens = mask.into_iter().chain((2..offset).map(|id| special(&format!("<unk_{id}>")))).collect();
            }
        }
        Ok(tokens)
    }

    /// A Unigram model, with the pieces in the order of the class.
    ///
    /// # Errors
    /// When a token that the class needs is missing.
    pub(super) fn unigram(&self, layout: Layout, unknown: Unknown, settings: &Settings) -> Result<Value> {
        let name = |key: &str, default: &'static str| settings.name(key, Some(default)).unwrap_or(default).to_owned();
        let (bos, eos) = (name("bos_token", "<s>"), name("eos_token", "</s>"));
        let (unk, pad, mask) = (name("unk_token", "<unk>"), name("pad_token", "<pad>"), name("mask_token", "<mask>"));
        let zero = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), 0.0)).collect::<Vec<(String, f64)>>();
        let mut list: Vec<(String, f64)> = match layout {
            Layout::File | Layout::Extra => Vec::new(),
            Layout::Fairseq | Layout::Languages(_) => zero(&[&bos, &pad, &eos, &unk]),
            Layout::Camembert => {
                let mut list = zero(&["<s>NOTUSED", &pad, "</s>NOTUSED", &unk]);
                list.push(("<unk>NOTUSED".to_owned(), -100.0));
                list
            }
            Layout::Pegasus => {
                let (mask, sentence) = (name("mask_token", "<mask_1>"), name("mask_token_sent", "<mask_2>"));
                let mut list = zero(&[&pad, &eos, &mask]);
                if sentence != mask {
                    list.push((sentence, 0.0));
                }
                list.extend((2..settings.count("offset", 103)?).map(|id| (format!("<unk_{id}>"), -100.0)));
                list
            }
        };
        let skipped = match layout {
            Layout::File | Layout::Extra => 0,
            Layout::Camembert => 1,
            Layout::Pegasus => 2,
            Layout::Fairseq | Layout::Languages(_) => 3,
        };
        let pieces = self.pieces.iter().skip(skipped);
        list.extend(pieces.map(|piece| (piece.text.clone(), f64::from(piece.score))));
        match layout {
            Layout::File | Layout::Pegasus => {}
            Layout::Extra => {
                let count = settings.count("extra_ids", 100)?;
                list.extend((0..count).rev().map(|number| (format!("<extra_id_{number}>"), 0.0)));
            }
            Layout::Fairseq | Layout::Camembert => list.push((mask, 0.0)),
            Layout::Languages(count) => list.extend(zero(&LANGUAGES[..count]).into_iter().chain([(mask, 0.0)])),
        }
        let unknown = match unknown {
            Unknown::Id(id) => id,
            Unknown::File => self.unknown,
            Unknown::Named => {
                let default = self.named[0].as_deref().unwrap_or("<unk>");
                let unk = settings.name("unk_token", Some(default)).unwrap_or(default);
                list.iter().position(|(piece, _)| piece == unk).map_or(self.unknown, |id| id as u64)
            }
        };
        if unknown >= list.len() as u64 {
            return Err(broken());
        }
        Ok(json!({ "type": "Unigram", "unk_id": unknown, "vocab": list, "byte_fallback": false }))
    }

    /// A BPE model, with all merges of two pieces to a piece, the lowest ids first.
    pub(super) fn pairs(&self, unk_token: Option<&str>) -> Value {
        let ids: HashMap<&str, usize> = self.ids();
        let mut merges: Vec<(usize, usize, [&str; 2])> = Vec::new();
        for (text, id) in &ids {
            for (chars, (at, _)) in text.char_indices().enumerate().skip(1) {
                let (left, right) = text.split_at(at);
                if ids.contains_key(left) && ids.contains_key(right) {
                    merges.push((*id, chars, [left, right]));
                }
            }
        }
        merges.sort_unstable();
        let merges: Vec<[&str; 2]> = merges.into_iter().map(|(.., merge)| merge).collect();
        json!({
            "type": "BPE", "unk_token": unk_token, "fuse_unk": true, "byte_fallback": true, "vocab": ids, "merges": merges,
        })
    }

    fn ids(&self) -> HashMap<&str, usize> {
        self.pieces.iter().enumerate().map(|(id, piece)| (piece.text.as_str(), id)).collect()
    }

    /// Describes the tokenizer by the file alone, for models whose class has no rules of its own.
    ///
    /// # Errors
    /// When the file is neither Unigram nor BPE.
    pub(super) fn describe(&self, settings: &Settings) -> Result<Value> {
        let kept: Vec<&str> =
            self.pieces.iter().filter(|piece| piece.kind == USER_DEFINED).map(|piece| piece.text.as_str()).collect();
        let model = match self.kind {
            1 => {
                let list = self.pieces.iter().map(|piece| json!([piece.text, f64::from(piece.score)]));
                let list: Vec<Value> = list.collect();
                json!({ "type": "Unigram", "unk_id": self.unknown, "vocab": list, "byte_fallback": self.byte_fallback })
            }
            2 => json!({
                "type": "BPE", "unk_token": self.named[0], "fuse_unk": true, "byte_fallback": self.byte_fallback,
                "ignore_merges": !kept.is_empty(), "vocab": self.ids(), "merges": self.ranked(),
            }),
            kind => {
                return Err(refuse(
                    format_args!("the SentencePiece file is of kind {kind}, which is not implemented"),
                    "only Unigram and BPE are implemented: leave the tokenizer out with --no-tokenizer",
                ));
            }
        };
        let legacy = settings.flag("legacy", true)?;
        let replace =
            |pattern: Value, content: &str| json!({ "type": "Replace", "pattern": pattern, "content": content });
        let mut steps: Vec<Value> = self.rules().into_iter().collect();
        if self.remove_extra_whitespaces {
            steps.push(replace(json!({ "Regex": SPACES_AT_ENDS }), ""));
            steps.push(replace(json!({ "Regex": " {2,}" }), " "));
        }
        if self.escape_whitespaces {
            steps.push(replace(json!({ "String": " " }), "▁"));
        }
        let mut splits = Vec::new();
        if self.add_dummy_prefix && self.remove_extra_whitespaces && !legacy {
            // After its first space is stripped, a text gets no mark, because its first piece does
            // not begin the text.
            return Err(refuse(
                "tokenizer_config.json says `legacy` = false, and the SentencePiece file strips spaces from a text's ends, which is not implemented together",
                "save the tokenizer again with transformers, which writes tokenizer.json, or add --no-tokenizer",
            ));
        }
        if self.add_dummy_prefix {
            if legacy {
                steps.push(replace(json!({ "Regex": MARK_AT_BEGIN }), "▁▁"));
            }
            splits.push(metaspace(if legacy { "always" } else { "first" }, false));
        }
        if !kept.is_empty() {
            let mut longest: Vec<&str> = kept;
            longest.sort_by_key(|piece| core::cmp::Reverse(piece.chars().count()));
            let pattern = longest.into_iter().map(regex_syntax::escape).collect::<Vec<_>>().join("|");
            splits.push(
                json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false }),
            );
        }
        Ok(json!({
            "normalizer": { "type": "Sequence", "normalizers": steps },
            "pre_tokenizer": { "type": "Sequence", "pretokenizers": splits },
            "decoder": bytes_decoder(self.add_dummy_prefix),
            "model": model,
        }))
    }

    /// The special tokens of the file by key.
    pub(super) fn names(&self) -> Vec<(&'static str, &str)> {
        let keys = ["unk_token", "bos_token", "eos_token"];
        keys.into_iter().zip(&self.named).filter_map(|(key, name)| Some((key, name.as_deref()?))).collect()
    }

    /// The merges of two normal pieces to a normal piece, the likeliest first.
    fn ranked(&self) -> Vec<[&str; 2]> {
        let normal = self.pieces.iter().enumerate().filter(|(_, piece)| piece.kind == 1);
        let normal: HashMap<&str, (usize, f32)> =
            normal.map(|(id, piece)| (piece.text.as_str(), (id, piece.score))).collect();
        let mut merges = Vec::new();
        for (text, (id, score)) in &normal {
            for (at, _) in text.char_indices().skip(1) {
                let (left, right) = text.split_at(at);
                if normal.contains_key(left) && normal.contains_key(right) {
                    merges.push((*score, *id, [left, right]));
                }
            }
        }
        merges.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        merges.into_iter().map(|(.., merge)| merge).collect()
    }

    /// The control pieces, which a class without rules of its own adds as special tokens.
    pub(super) fn controls(&self) -> Vec<Token> {
        self.kept().into_iter().filter(|token| token.special).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of fields, each with its key.
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

    fn file(kind: u8) -> Vec<u8> {
        let pieces =
            [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("a", -5.0, 1), ("b", -6.0, 1), ("ab", -2.0, 1), ("ba", -1.0, 1)];
        let pieces = pieces.map(|(text, score, kind)| piece(text, score, kind));
        let trainer = inside(&message(&[(0x18, &[kind])]));
        let mut file: Vec<u8> = pieces.iter().flat_map(|piece| message(&[(0x0a, piece)])).collect();
        file.extend(message(&[(0x12, &trainer)]));
        file
    }

    #[test]
    fn pieces_that_make_another_are_merged_by_id_or_by_score() {
        let model = Model::parse(&file(2)).unwrap();
        assert_eq!(model.pairs(None)["merges"], json!([["a", "b"], ["b", "a"]]));
        assert_eq!(model.describe(&Settings::default()).unwrap()["model"]["merges"], json!([["b", "a"], ["a", "b"]]));
    }

    #[test]
    fn a_file_that_is_cut_or_of_another_kind_is_refused() {
        let whole = file(3);
        let cut = Model::parse(&whole[..whole.len() - 1]).unwrap_err().to_string();
        assert!(cut.contains("SentencePiece file"), "{cut}");
        let kind = Model::parse(&whole).unwrap().describe(&Settings::default()).unwrap_err().to_string();
        assert!(kind.contains("kind 3"), "{kind}");
        let twice = [whole, message(&[(0x0a, &piece("ab", -7.0, 1))])].concat();
        let twice = Model::parse(&twice).unwrap_err().to_string();
        assert!(twice.contains("\"ab\" twice, with the ids 4 and 6"), "{twice}");
    }
}
