//! Unusual `tokenizer.json` files are either read as by the `tokenizers` crate, or refused with an
//! error that names the entry.

use kinglet::tokenizer::Tokenizer;
use kinglet_convert::tokenizer::{decode, section};
use serde_json::{Value, json};

use crate::tokenizer::compare;

const TEXTS: [&str; 9] =
    ["in the thin inn", "thththth", "", "t", "hin", "a b", "<x> <y>in<x>", "  <x>  the", "nine <y>the <z> <X>"];

/// A `tokenizer.json` with letters and a few longer strings, and no other steps.
fn description(model: &Value, added: &Value) -> Value {
    json!({ "version": "1.0", "added_tokens": added, "normalizer": null, "pre_tokenizer": null, "post_processor": null,
            "decoder": { "type": "Fuse" }, "model": model })
}

fn pairs(merges: &[[&str; 2]]) -> Value {
    let strings = ["<unk>", "t", "h", "i", "n", "e", " ", "th", "in", "the", "thin", "hin", "nn", "inn"];
    let vocabulary: serde_json::Map<String, Value> =
        strings.iter().enumerate().map(|(id, string)| ((*string).to_owned(), id.into())).collect();
    json!({ "type": "BPE", "unk_token": "<unk>", "vocab": vocabulary, "merges": merges })
}

fn added(id: u32, content: &str, flags: &[&str]) -> Value {
    let mut token = json!({ "id": id, "content": content });
    for flag in ["single_word", "lstrip", "rstrip", "normalized", "special"] {
        token[flag] = flags.contains(&flag).into();
    }
    token
}

/// Compares the tokenizer of a file with the crate's.
fn agrees(file: &str) {
    let theirs = tokenizers::Tokenizer::from_bytes(file).unwrap_or_else(|error| panic!("{error}: {file}"));
    let section =
        section(&serde_json::from_str(file).expect("JSON")).unwrap_or_else(|error| panic!("{error:?}: {file}"));
    let device = Tokenizer::from_bytes(&section).expect("a tokenizer");
    for text in TEXTS {
        compare(file, &device, &theirs, text, Some("the <x>"));
    }
    for id in 0..theirs.get_vocab_size(true) as u32 + 3 {
        let text = theirs.decode(&[id], false).expect("the crate decodes it");
        assert_eq!(decode(&device, &[id], false), text, "{id}: {file}");
    }
}

/// The error of a tokenizer that is refused.
fn refusal(description: &Value) -> String {
    format!("{:#}", section(description).expect_err("it is refused"))
}

#[test]
fn of_a_merge_that_is_listed_again_the_last_place_counts() {
    let (a, b, c) = (["t", "h"], ["i", "n"], ["th", "e"]);
    let (d, e) = (["h", "in"], ["n", "n"]);
    for merges in [
        &[a, b][..],
        &[a, a, b, a],
        &[a, b, a],
        &[b, a, c, b, b, b],
        &[a, b, c, c, c],
        &[e, b, e],
        &[b, e, d, b, a, d, d, e, c, c],
        &[d, b, a, a, e, c, a, b],
    ] {
        agrees(&description(&pairs(merges), &json!([])).to_string());
    }
    let legacy: Value = ["t h", "t h", "i n", "t h"].into();
    let mut model = pairs(&[]);
    model["merges"] = legacy;
    agrees(&description(&model, &json!([])).to_string());
}

#[test]
fn of_a_string_that_is_listed_again_the_last_id_counts() {
    let merges = r#"[["t", "h"], ["i", "n"]]"#;
    let model = format!(
        r#"{{ "type": "BPE", "unk_token": "u", "merges": {merges}, "vocab":
            {{ "u": 0, "th": 1, "t": 2, "h": 3, "in": 4, "i": 5, "n": 6, "th": 7, "e": 8, " ": 9, "t": 1 }} }}"#
    );
    agrees(&format!(
        r#"{{ "version": "1.0", "added_tokens": [], "decoder": {{ "type": "Fuse" }}, "model": {model} }}"#
    ));
    for (first, second) in [(-1.0, -9.0), (-9.0, -1.0), (-3.0, -3.0)] {
        let vocabulary = json!([
            ["<unk>", 0.0],
            ["th", first],
            ["t", -4.0],
            ["h", -4.5],
            ["in", -3.0],
            ["i", -5.0],
            ["n", -5.5],
            ["th", second],
            ["e", -6.0],
            ["the", -7.0],
            ["thin", -9.5],
            [" ", -2.0],
            ["in", -20.0],
            ["the", -8.0],
            ["t", -4.0]
        ]);
        agrees(&description(&json!({ "type": "Unigram", "unk_id": 0, "vocab": vocabulary }), &json!([])).to_string());
    }
}

#[test]
fn added_tokens_have_the_ids_that_the_crate_gives_them() {
    let lists = [
        json!([added(14, "<x>", &[]), added(15, "<y>", &["special"])]),
        // One token twice, with different flags and ids.
        json!([added(14, "<x>", &["special"]), added(15, "<y>", &[]), added(16, "<x>", &["lstrip"])]),
        json!([added(14, "<x>", &["lstrip"]), added(14, "<x>", &["rstrip", "normalized"]), added(15, "<y>", &[])]),
        // Ids that contradict the vocabulary, or the order of the list.
        json!([
            added(99, "<y>", &[]),
            added(3, "<x>", &["rstrip"]),
            added(7, "the", &[]),
            added(7, "<z>", &["special"])
        ]),
        json!([added(14, "", &["special"]), added(15, "<x>", &["single_word"])]),
    ];
    for list in lists {
        agrees(&description(&pairs(&[["t", "h"], ["i", "n"]]), &list).to_string());
    }
}

#[test]
fn what_contradicts_itself_is_refused_by_name() {
    let merges = [["t", "h"], ["i", "n"]];
    let with = |pointer: &str, value: Value| {
        let mut description = description(&pairs(&merges), &json!([added(14, "<x>", &[])]));
        *description.pointer_mut(pointer).expect("a place") = value;
        description
    };
    let mut unigram = json!({ "type": "Unigram", "unk_id": 2, "vocab": [["a", -1.0], ["b", -2.0]] });
    let beyond = description(&unigram, &json!([]));
    unigram["unk_id"] = (1_u64 << 32).into();
    let wrapped = description(&unigram, &json!([]));
    let nfd: Vec<Value> = (0..1000).map(|_| json!({ "type": "NFD" })).collect();
    let normalized = json!([added(14, "<x>", &["normalized"]), added(15, "<X>", &["normalized"])]);
    let mut folded = description(&pairs(&merges), &normalized);
    folded["normalizer"] = json!({ "type": "Lowercase" });
    let long = json!({ "type": "Replace", "pattern": { "String": "abcdefghijklmnopq" }, "content": "" });
    let split =
        |expression: &str| json!({ "type": "Split", "pattern": { "Regex": expression }, "behavior": "Isolated" });
    for (description, named) in [
        (with("/model/vocab/th", json!(1)), "gives the id 1 to \"t\" and to \"th\""),
        (with("/model/vocab/th", json!(1_u64 << 31)), "gives \"th\" the id 2147483648"),
        (with("/model/vocab/th", json!((1 << 20) + 100)), "gives \"th\" the id 1048676"),
        (with("/model/vocab/th", json!(1_u64 << 32)), "model.vocab"),
        (
            with("/model/merges/1", json!(["in", "q"])),
            "merges \"in\" and \"q\", and \"q\" is not a token (model.merges[1])",
        ),
        (
            with("/model/merges/0", json!(["n", "i"])),
            "merges \"n\" and \"i\", and \"ni\" is not a token (model.merges[0])",
        ),
        (with("/model/merges/0", json!("t h e")), "model.merges[0]"),
        (with("/added_tokens/0/id", json!(1_u64 << 32)), "added_tokens[0]"),
        (with("/normalizer", json!({ "type": "Sequence", "normalizers": nfd })), "1000 normalizers"),
        (with("/normalizer", long), "abcdefghijklmnopq"),
        (with("/pre_tokenizer", split("a{1,200}")), "a{1,200}"),
        (beyond, "has 2 pieces, and the unk_id 2"),
        (wrapped, "has 2 pieces, and the unk_id 4294967296"),
        (folded, "\"<x>\" and \"<X>\", which are both \"<x>\""),
    ] {
        let said = refusal(&description);
        assert!(said.contains(named) && said.contains('\n'), "{named}: {said}");
    }
}
