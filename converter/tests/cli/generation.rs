//! Compares the generation settings of checkpoints with the texts that `transformers` generates:
//! `tests/golden/generation.json`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{kinglet, text};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden")
}

/// A copy of a golden checkpoint with the settings of an entry.
fn checkpoint(name: &str, generation: &Value, config: &Value) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    fs::copy(golden().join(name).join("model.safetensors"), folder.path().join("model.safetensors")).expect("a copy");
    let file = fs::read(golden().join(name).join("config.json")).expect("config.json");
    let mut whole: Value = serde_json::from_slice(&file).expect("JSON");
    for (key, value) in config.as_object().into_iter().flatten() {
        whole[key] = value.clone();
    }
    fs::write(folder.path().join("config.json"), whole.to_string()).expect("a file");
    if !generation.is_null() {
        fs::write(folder.path().join("generation_config.json"), generation.to_string()).expect("a file");
    }
    folder
}

/// Converts a checkpoint without its tokenizer, and returns the program's output.
fn convert(folder: &TempDir, more: &[&str]) -> Output {
    let blob = folder.path().join("model.kinglet");
    let mut arguments = vec!["convert", text(folder.path()), "-o", text(&blob), "--no-calibration", "--no-tokenizer"];
    arguments.extend(["--force", "--keys", "16"]);
    arguments.extend(more);
    kinglet(&arguments)
}

/// The text that is generated after an entry's tokens.
fn written(model: &Path, entry: &Value, more: &[&str]) -> Value {
    let list = |key: &str| {
        let ids = entry[key].as_array().into_iter().flatten();
        ids.map(ToString::to_string).collect::<Vec<_>>().join(",")
    };
    let (ids, decoder_ids, count) = (list("ids"), list("decoder_ids"), entry["max_new_tokens"].to_string());
    let mut arguments = vec!["generate", text(model), "--ids", &ids, "--json"];
    if entry["max_new_tokens"].is_u64() {
        arguments.extend(["-n", &count]);
    }
    if !decoder_ids.is_empty() {
        arguments.extend(["--decoder-ids", &decoder_ids]);
    }
    arguments.extend(more);
    let output = kinglet(&arguments);
    let answer: Result<Value, _> = serde_json::from_slice(&output.stdout);
    answer.unwrap_or_else(|_| panic!("{entry}: {}", String::from_utf8_lossy(&output.stderr)))["ids"].clone()
}

#[test]
fn a_checkpoint_writes_what_transformers_writes_with_it() {
    let entries = fs::read(golden().join("generation.json")).expect("generation.json");
    let entries: Vec<Value> = serde_json::from_slice(&entries).expect("JSON");
    let (mut wrong, mut by_blob) = (Vec::new(), 0);
    for entry in &entries {
        let name = entry["checkpoint"].as_str().expect("a name");
        let folder = checkpoint(name, &entry["generation_config"], &entry["config"]);
        let found = written(folder.path(), entry, &["--reference"]);
        if found != entry["sequence"] {
            wrong.push(format!("{entry}: the reference wrote {found}"));
        }
        // The integers choose as the reference does unless two choices are close.
        if entry["margin"].as_f64() < Some(0.05) {
            continue;
        }
        let output = convert(&folder, &[]);
        assert!(output.status.success(), "{entry}: {}", String::from_utf8_lossy(&output.stderr));
        let found = written(&folder.path().join("model.kinglet"), entry, &[]);
        if found != entry["sequence"] {
            wrong.push(format!("{entry}: the blob wrote {found}"));
        }
        by_blob += 1;
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(entries.len() >= 150 && by_blob >= 15, "only {} entries, {by_blob} by a blob", entries.len());
}

#[test]
fn what_is_not_implemented_is_refused_by_name_unless_it_says_nothing() {
    let cases = [
        ("sequence_bias", json!([[[16], -10.0]]), json!(null)),
        ("exponential_decay_length_penalty", json!([3, 1.2]), json!(null)),
        ("force_words_ids", json!([[3]]), json!([])),
        ("constraints", json!([{"token_ids": [3]}]), json!([])),
        ("watermarking_config", json!({"bias": 2.0}), json!(null)),
        ("stop_strings", json!(["."]), json!(null)),
        ("guidance_scale", json!(1.5), json!(1)),
        ("encoder_repetition_penalty", json!(1.2), json!(1.0)),
        ("encoder_no_repeat_ngram_size", json!(3), json!(0)),
        ("num_beam_groups", json!(2), json!(1)),
        ("diversity_penalty", json!(0.5), json!(0.0)),
        ("penalty_alpha", json!(0.6), json!(0)),
        ("dola_layers", json!("low"), json!(null)),
        ("token_healing", json!(true), json!(false)),
        ("max_time", json!(2.0), json!(null)),
        // Values out of range.
        ("num_beams", json!(9), json!(8)),
        ("num_beams", json!(0), json!(1)),
        ("num_beams", json!("four"), json!(4.0)),
        ("early_stopping", json!("soon"), json!("never")),
        ("length_penalty", json!(11), json!(-10)),
        ("repetition_penalty", json!(0), json!(100)),
        ("repetition_penalty", json!(-1.5), json!(0.5)),
        ("no_repeat_ngram_size", json!(-2), json!(2)),
        ("max_new_tokens", json!(0), json!(1)),
        ("min_length", json!(2.5), json!(2)),
        ("renormalize_logits", json!("yes"), json!(true)),
        ("bad_words_ids", json!([3, 4]), json!([])),
        ("bad_words_ids", json!([[3, -4]]), json!([[3, 4]])),
        ("bad_words_ids", json!([[3, 53]]), json!([[3, 52]])),
        ("bad_words_ids", json!([vec![3; 33]]), json!([vec![3; 31]])),
        ("eos_token_id", json!("</s>"), json!(-1)),
    ];
    for (key, refused, accepted) in cases {
        let folder = checkpoint("gpt2", &json!({ key: refused }), &json!({}));
        let output = convert(&folder, &["--dry-run"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(key) && said.lines().count() == 2, "{key}: {said}");
        if key != "eos_token_id" {
            let vouched = convert(&folder, &["--dry-run", "--ignore-key", key]);
            assert!(vouched.status.success(), "{key}: {}", String::from_utf8_lossy(&vouched.stderr));
        }
        let folder = checkpoint("gpt2", &json!({ key: accepted }), &json!({}));
        let output = convert(&folder, &["--dry-run"]);
        assert!(output.status.success(), "{key}: {}", String::from_utf8_lossy(&output.stderr));
    }
    // Settings do not matter to a model that does not generate text.
    let folder = checkpoint("gpt2_classifier", &json!({ "sequence_bias": [[[16], -10.0]] }), &json!({}));
    assert!(convert(&folder, &["--dry-run"]).status.success());
}

#[test]
fn what_is_not_read_is_named_in_a_note() {
    let generation = json!({ "snake": 3, "do_sample": true, "top_p": 0.9, "transformers_version": "5.0.0" });
    let folder = checkpoint("gpt2", &generation, &json!({ "eos_token_id": 29 }));
    let said = String::from_utf8(convert(&folder, &["--dry-run"]).stdout).expect("text");
    let notes: Vec<&str> = said.lines().filter(|line| line.starts_with("note: ")).collect();
    assert_eq!(notes.len(), 3, "{said}");
    for (note, named) in notes.iter().zip(["`do_sample` = true, `top_p` = 0.9", "`snake` = 3", "config.json says 29"]) {
        assert!(note.contains(named), "{note}");
    }
}
