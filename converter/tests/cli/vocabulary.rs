//! Cuts vocabularies in a conversion.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{copy_of_stories, path, refused, run, run_json, stories, text};

#[test]
fn a_blob_keeps_the_tokens_of_a_file() {
    let (folder, source) = (TempDir::new().expect("a folder"), stories());
    let source = text(&source);
    let (whole, small) = (path(&folder, "whole.kinglet"), path(&folder, "small.kinglet"));
    let (file, ids) = (path(&folder, "texts.txt"), path(&folder, "ids.jsonl"));
    let kept = "Once upon a time there was a girl named Ella.";
    fs::write(&file, format!("{kept}\n\nThe dog ran to the hill.\n")).expect("texts");
    let convert = ["convert", source, "--no-calibration", "-o"];
    run(&[&convert[..], &[&whole]].concat());
    let report = run_json(&[&convert[..], &[&small, "--keep-vocabulary", &file, "--json"]].concat());
    let found = |name: &str| report["vocabulary"][name].as_u64().expect("a number");
    assert!(found("kept") < found("of") && found("of") == 512, "{report}");
    let saved = fs::metadata(&whole).expect("a blob").len() - fs::metadata(&small).expect("a blob").len();
    assert!(found("bytes_saved").abs_diff(saved) < 64, "{saved}: {report}");
    assert!(run(&["inspect", &small]).contains(&format!("{} of 512 tokens", found("kept"))));

    let tokens = |blob: &str, text: &str| run_json(&["tokenize", blob, "--text", text, "--json"]);
    assert_eq!(tokens(&whole, kept)["tokens"], tokens(&small, kept)["tokens"]);
    let other = tokens(&small, "Zebras, quite naïve, joke.");
    assert!(other["ids"].as_array().expect("ids").len() > 5);
    let written = run(&["tokenize", &small, "--no-special", "--ids", &list(&other["ids"])]);
    assert_eq!(written.trim(), "Zebras, quite naïve, joke.");

    // The blob is compared with the checkpoint after the same cut.
    assert!(refused(&["verify", &small, source]).contains("options that cut its vocabulary"));
    let verify = ["verify", &small, source, "--texts", "1", "--tokens", "20", "--json"];
    let fidelity = &run_json(&[&verify[..], &["--keep-vocabulary", &file]].concat())["fidelity"];
    assert!(fidelity["cosine_mean"].as_f64().expect("a cosine") > 0.999, "{fidelity}");

    // Ids for calibration are those of the checkpoint.
    fs::write(&ids, format!("{}\n", tokens(&whole, kept)["ids"])).expect("ids");
    let calibrate = ["convert", source, "--dry-run", "--keep-vocabulary", &file, "--calibration", &ids];
    run(&calibrate);
    fs::write(&ids, json!([(1..512).collect::<Vec<u32>>()])[0].to_string()).expect("ids");
    assert!(refused(&calibrate).contains("not in the vocabulary that is kept"));
    let size = run_json(&[&convert[..3], &["--dry-run", "--vocabulary-size", "400", "--json"]].concat());
    // One place stays free if each remaining token is merged from another one that is left out.
    assert!(matches!(size["vocabulary"]["kept"].as_u64(), Some(399..=400)), "{}", size["vocabulary"]);
}

fn list(ids: &Value) -> String {
    ids.to_string().trim_matches(['[', ']']).to_owned()
}

#[test]
fn what_is_wrong_with_a_vocabulary_to_keep_is_said() {
    let (folder, source) = (TempDir::new().expect("a folder"), stories());
    let source = text(&source);
    let blob = path(&folder, "out.kinglet");
    let cases = [
        ("empty.txt", "\n \n", "no texts and no tokens"),
        ("empty.json", "[]", "no texts and no tokens"),
        ("object.json", "{}", "not a list"),
        ("half.json", "[1, ", "half.json"),
        ("number.json", "[1.5]", "1.5 is neither a token nor an id"),
        ("unknown.json", "[\"none such\"]", "none such"),
        ("large.json", "[512]", "the id 512"),
        ("line.jsonl", "[1]\n3\n", "line.jsonl line 2"),
        ("fields.jsonl", "{\"words\": []}\n", "line 1"),
    ];
    for (name, content, named) in cases {
        let file = path(&folder, name);
        fs::write(&file, content).expect("a file");
        let said = refused(&["convert", source, "-o", &blob, "--keep-vocabulary", &file]);
        assert!(said.contains(named), "{name}: {said}");
    }
    let small = ["convert", source, "-o", &blob, "--vocabulary-size", "9"];
    assert!(refused(&small).contains("give --vocabulary-size"));
    let bare = copy_of_stories();
    fs::remove_file(bare.path().join("tokenizer.json")).expect("it is gone");
    assert!(
        refused(&["convert", text(bare.path()), "-o", &blob, "--vocabulary-size", "300"]).contains("has no tokenizer")
    );
}
