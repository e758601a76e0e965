//! Inspects, verifies and runs blobs.

use std::fs;

use serde_json::{Value, json};

use crate::support::{converted, copy_of, copy_of_stories, path, refused, run, run_json, stories, text};

#[test]
fn a_blob_is_converted_inspected_verified_and_run() {
    let (_folder, blob) = converted();
    let about = run_json(&["inspect", &blob, "--json"]);
    assert_eq!(about["bytes"].as_u64(), Some(fs::metadata(&blob).expect("the blob").len()));
    assert_eq!(about["task"], "causal language model");
    assert_eq!(run_json(&["verify", &blob, "--json"])["self_test"], "pass");

    let written = run_json(&["generate", &blob, "--ids", "1", "-n", "12", "--json"]);
    assert_eq!(written["ids"].as_array().map(Vec::len), Some(12));
    let checkpoint = stories();
    let by_reference = run_json(&["generate", text(&checkpoint), "--reference", "--ids", "1", "-n", "12", "--json"]);
    assert_eq!(written["ids"], by_reference["ids"]);

    let logits = run_json(&["logits", &blob, "--ids", "1,300,17", "--integers", "--json"]);
    let (real, integers) = (&logits["logits"][2][5], &logits["integers"][2][5]);
    assert_eq!(logits["fraction_bits"], 16);
    assert!((real.as_f64().expect("a number") * 65536.0 - integers.as_f64().expect("a number")).abs() < 1.0);
    assert_eq!(logits["hash"].as_str().map(str::len), Some(8));

    let scored = run_json(&["score", &blob, "--ids", "1,300,17", "--json"]);
    assert_eq!(scored["log_probs"].as_array().map(Vec::len), Some(3));
    assert!(scored["log_probs"][0].is_null() && scored["perplexity"].as_f64() > Some(1.0));
}

#[test]
fn verify_fails_where_a_blob_computes_something_else_than_its_checkpoint() {
    let (_folder, blob) = converted();
    assert!(run(&["verify", &blob, text(&stories()), "--texts", "2", "--tokens", "20"]).starts_with("self test: pass"));
    // A model with the architecture of the story teller, trained on reversed texts.
    let other = copy_of("stories-backward");
    let said = refused(&["verify", &blob, text(other.path()), "--texts", "2", "--tokens", "20"]);
    assert!(said.contains("does not compute what its checkpoint does") && !said.contains("pass"), "{said}");
}

#[test]
fn one_seed_gives_one_text() {
    let (_folder, blob) = converted();
    let write = |seed: &str| run(&["generate", &blob, "--ids", "1", "-n", "30", "--temperature", "1", "--seed", seed]);
    assert_eq!(write("5"), write("5"));
    assert_ne!(write("5"), write("6"));
}

#[test]
fn a_file_of_inputs_gets_a_line_for_each() {
    let (folder, blob) = converted();
    let inputs = path(&folder, "inputs.jsonl");
    fs::write(&inputs, "[1, 300]\n\n{\"ids\": [1]}\n").expect("a file");
    let answers = run(&["logits", &blob, "--input", &inputs]);
    let rows: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(rows.iter().map(|row| row["logits"].as_array().expect("rows").len()).collect::<Vec<_>>(), [2, 1]);
    fs::write(&inputs, "[1]\n{\"text\": 3}\n").expect("a file");
    assert!(refused(&["logits", &blob, "--input", &inputs]).contains("line 2"));
}

#[test]
fn the_best_of_several_texts_is_searched_for() {
    let (folder, blob) = converted();
    let found = run_json(&["generate", &blob, "--ids", "1", "-n", "8", "--num-beams", "4", "--json"]);
    let beams = found["beams"].as_array().expect("beams");
    let scores: Vec<f64> = beams.iter().map(|beam| beam["score"].as_f64().expect("a score")).collect();
    assert!(beams.len() == 4 && scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    assert_eq!(beams[0]["ids"], found["ids"]);
    let one = run_json(&["generate", &blob, "--ids", "1", "-n", "8", "--num-beams", "1", "--json"]);
    assert_eq!(one["ids"], run_json(&["generate", &blob, "--ids", "1", "-n", "8", "--json"])["ids"]);
    assert!(refused(&["generate", &blob, "--ids", "1", "--num-beams", "2", "--temperature", "1"]).contains("search"));

    // The search settings of a configuration are used unless the caller gives others.
    let checkpoint = copy_of_stories();
    let defaults = checkpoint.path().join("generation_config.json");
    fs::write(&defaults, json!({ "num_beams": 4, "eos_token_id": 2, "bos_token_id": 1 }).to_string()).expect("a file");
    let other = path(&folder, "other.kinglet");
    run(&["convert", text(checkpoint.path()), "-o", &other]);
    let by_default = run_json(&["generate", &other, "--ids", "1", "-n", "8", "--json"]);
    assert_eq!((&by_default["ids"], &by_default["score"]), (&found["ids"], &found["score"]));
    fs::write(&defaults, json!({ "guidance_scale": 3.0 }).to_string()).expect("a file");
    assert!(refused(&["convert", text(checkpoint.path()), "-o", &other, "--force"]).contains("guidance_scale"));
}

#[test]
fn only_a_choice_is_written() {
    let (folder, blob) = converted();
    let choices = path(&folder, "choices.txt");
    fs::write(&choices, "300,17\n[5, 6, 7]\n5,6\n").expect("a file");
    for seed in ["1", "2", "3"] {
        let arguments =
            ["generate", &blob, "--ids", "1", "--choices", &choices, "--temperature", "9", "--seed", seed, "--json"];
        let written = run_json(&arguments);
        let known = [json!([300, 17]), json!([5, 6, 7]), json!([5, 6])];
        assert!(known.contains(&written["choice"]) && written["stop"] == "eos", "{written}");
    }
    // With a tokenizer, a line that is not a list of ids is a text.
    fs::write(&choices, "5,six\n").expect("a file");
    let arguments = ["generate", &blob, "--ids", "1", "--choices", &choices, "--json"];
    assert_eq!(run_json(&arguments)["text"], "5,six");
    run(&["convert", text(copy_of_stories().path()), "-o", &blob, "--no-tokenizer", "--force"]);
    assert!(refused(&arguments).contains("line 1"));
}

#[test]
fn wrong_calls_say_what_to_do() {
    let (folder, blob) = converted();
    let nowhere = path(&folder, "nowhere.kinglet");
    let cases: [(&[&str], &str); 8] = [
        (&["logits", &nowhere, "--ids", "1"], "nowhere.kinglet"),
        (&["logits", text(folder.path()), "--ids", "1"], "--reference"),
        (&["logits", &blob], "--ids"),
        (&["logits", &blob, "--ids", "9999"], "9999"),
        (&["embed", &blob, "--ids", "1"], "causal language model"),
        (&["classify", &blob, "--ids", "1"], "causal language model"),
        (&["fill-mask", &blob, "--ids", "1"], "causal language model"),
        (&["convert", &blob, "-o", &nowhere], "folder"),
    ];
    for (arguments, named) in cases {
        let said = refused(arguments);
        assert!(said.contains(named), "{arguments:?}: {said}");
    }
    let mut bytes = fs::read(&blob).expect("the blob");
    bytes[1000] ^= 1;
    fs::write(&nowhere, &bytes).expect("a spoilt blob");
    assert!(refused(&["inspect", &nowhere]).contains("checksum"));
}

#[test]
fn numbers_that_mean_nothing_are_refused_by_name() {
    let (folder, blob) = converted();
    let out = path(&folder, "out");
    let source = stories();
    let mut cases: Vec<(Vec<&str>, &str)> = Vec::new();
    let generate = ["generate", &blob, "--ids", "1"];
    for (option, values) in [
        ("--temperature", &["NaN", "-1", "inf", "1e5", "1e-9", "warm"][..]),
        ("--top-p", &["NaN", "-1", "2", "inf"]),
        ("--min-p", &["NaN", "-0.1", "1.5"]),
        ("--repetition-penalty", &["NaN", "0", "-2", "inf", "1e4"]),
        ("--length-penalty", &["NaN", "inf", "-11", "99"]),
        ("--top-k", &["-1", "1.5"]),
        ("--num-beams", &["0", "9", "NaN"]),
        ("--max-new-tokens", &["0", "-3"]),
        ("--min-new-tokens", &["-1"]),
        ("--no-repeat-ngram-size", &["-1", "70000"]),
        ("--threads", &["0", "257", "100000"]),
        ("--seed", &["-1", "18446744073709551616"]),
    ] {
        cases.extend(values.iter().map(|value| ([&generate[..], &[option, value]].concat(), option)));
    }
    for (command, option) in [
        (&["convert", text(&source), "-o", &out][..], "--max-tokens"),
        (&["inspect", &blob], "--tokens"),
        (&["inspect", &blob, "--tokens", "4"], "--source-tokens"),
        (&["inspect", &blob, "--tokens", "4"], "--tile"),
        (&["fit", &blob], "--tokens"),
        (&["export", &blob, "--rust", &out], "--tokens"),
        (&["verify", &blob], "--texts"),
        (&["verify", &blob], "--tokens"),
        (&["bench", &blob], "--lengths"),
        (&["bench", &blob], "--threads"),
        (&["bench", &blob], "--runs"),
        (&["bench", &blob], "--tile"),
        (&["tokenize", &blob, "--text", "a"], "--max-length"),
        (&["fill-mask", &blob, "--ids", "1"], "--top-k"),
        (&["answer", &blob, "--ids", "1"], "--max-answer-len"),
        (&["embed", &blob, "--ids", "1"], "--threads"),
    ] {
        cases.extend(["0", "-1", "99999999999999999999"].map(|value| ([command, &[option, value]].concat(), option)));
    }
    for (arguments, named) in &cases {
        let said = refused(arguments);
        assert!(said.contains(named), "{arguments:?}: {said}");
    }
    assert!(cases.len() > 80);
    assert!(refused(&["bench", &blob, "--lengths", "9999"]).contains("9999"));
}
