//! Converts checkpoints to blobs, and refuses others by name.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    change_config, converted, copy_of, copy_of_stories, kinglet, path, refused, run, run_json, stories, text,
};

#[test]
fn the_same_checkpoint_gives_the_same_bytes() {
    let ((_a, first), (_b, second)) = (converted(), converted());
    assert!(fs::read(first).expect("a blob") == fs::read(second).expect("a blob"));
}

#[test]
fn a_report_says_what_each_part_and_each_layer_loses_as_json_and_as_a_page() {
    let folder = TempDir::new().expect("a folder");
    let (source, file) = (stories().join("../home/intent"), path(&folder, "report.json"));
    run(&["convert", text(&source), "--dry-run", "--report", &file]);
    let report: Value = serde_json::from_slice(&fs::read(&file).expect("a report")).expect("JSON");
    let losses = report["losses"].as_array().expect("a list");
    let bytes = |loss: &Value| loss["bytes"].as_u64().expect("bytes");
    let layers: Vec<&Value> = losses.iter().filter(|loss| loss["part"].is_null()).collect();
    assert_eq!(layers.len(), 3);
    for layer in layers {
        let parts: Vec<&Value> =
            losses.iter().filter(|loss| loss["layer"] == layer["layer"] && !loss["part"].is_null()).collect();
        assert_eq!(parts.iter().map(|part| bytes(part)).sum::<u64>(), bytes(layer));
        // Each of the six matrices was measured, and loses less than its layer, or about as much.
        assert_eq!(parts.len(), 6);
        let lost = |loss: &Value| loss["cosine"].as_f64().expect("a number");
        assert!(parts.iter().all(|part| lost(part) > 0.0 && lost(part) < 3.0 * lost(layer)), "{parts:?} of {layer}");
    }
    let whole = losses.iter().filter(|loss| loss["layer"].is_null());
    let parts: Vec<&str> = whole.filter_map(|loss| loss["part"].as_str()).collect();
    assert!(["token embedding", "query", "down", "head output"].iter().all(|part| parts.contains(part)), "{parts:?}");
    let file = path(&folder, "report.html");
    let printed = run(&["convert", text(&source), "--dry-run", "--losses", "--report", &file]);
    assert!(
        printed.contains(" of cosine  token embedding\n") && printed.contains(" of cosine  layer 2\n"),
        "{printed}"
    );
    let page = fs::read_to_string(&file).expect("a page");
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    for said in ["token embedding", "Loss by layer and part", "Raspberry Pi Pico 2", "prefers-color-scheme: dark"] {
        assert!(page.contains(said), "{said}");
    }
    // The page is self-contained, and every drawing is closed.
    assert!(!page.contains("http") && !page.contains("<script") && !page.contains("<link"));
    assert!(page.matches("<svg").count() > 20 && page.matches("<svg").count() == page.matches("</svg>").count());
}

#[test]
fn the_width_of_keys_is_chosen_and_said() {
    let folder = TempDir::new().expect("a folder");
    let convert = |keys: &str| {
        let blob = path(&folder, &format!("{keys}.kinglet"));
        let report = run_json(&["convert", text(&stories()), "-o", &blob, "--keys", keys, "--json"]);
        (fs::read(blob).expect("a blob"), report["numbers"]["keys"]["bits"].clone())
    };
    let [(chosen, bits), (narrow, asked), (wide, _)] = ["auto", "8", "16"].map(convert);
    assert_eq!((bits, asked), (json!(8), Value::Null));
    assert!(chosen == narrow && chosen != wide);
}

#[test]
fn chips_that_run_from_serial_flash_take_four_tokens_at_a_time() {
    let folder = TempDir::new().expect("a folder");
    for (target, weights) in [("qspi", "Tiled"), ("qspi-m4", "Paired")] {
        for source in [stories(), stories().join("../home/intent")] {
            let blob = path(&folder, target);
            run(&["convert", text(&source), "-o", &blob, "--target", target, "--no-calibration", "--force"]);
            let numerics = &run_json(&["inspect", &blob, "--json"])["spec"]["numerics"];
            assert_eq!((&numerics["tile"], &numerics["weights"]), (&json!(4), &json!(weights)));
        }
    }
}

#[test]
fn the_shipped_backward_model_is_converted_backward_without_an_option() {
    let folder = TempDir::new().expect("a folder");
    let (blob, source) = (path(&folder, "backward.kinglet"), stories().join("../stories-backward"));
    let report = run(&["convert", text(&source), "-o", &blob]);
    assert!(!report.contains("warning"), "{report}");
    assert_eq!(run_json(&["inspect", &blob, "--json"])["spec"]["direction"], "Backward");
    let asked = ["convert", text(&source), "--dry-run", "--direction", "forward"];
    assert!(refused(&asked).contains("kinglet.json of the checkpoint says backward"));
    // The reference reads it, too.
    let end = ["generate", "--ids", "2", "-n", "3", "--json"];
    let written = run_json(&[&end[..], &[&blob]].concat());
    assert_eq!(written["ids"], run_json(&[&end[..], &[text(&source), "--reference"]].concat())["ids"]);
}

#[test]
fn a_report_is_measured_on_texts_that_calibration_did_not_see() {
    let home = stories().join("../home/intent");
    let convert = ["convert", text(&home), "--dry-run"];
    let report = run_json(&[&convert[..], &["--json"]].concat());
    assert_eq!(report["measured"], "collected_texts");
    assert!(report["texts"].as_u64().is_some_and(|texts| texts > 140), "{report}");
    assert!(report["least"].as_str().is_some_and(|least| !least.is_empty()), "{report}");
    let bare = run_json(&[&convert[..], &["--json", "--no-tokenizer"]].concat());
    assert_eq!((&bare["measured"], &bare["least"]), (&json!("token_ids"), &Value::Null));
    assert!(
        run(&[&convert[..], &["--no-tokenizer", "--no-calibration"]].concat()).contains("say little about real texts")
    );
    let own = run_json(&["convert", text(&stories()), "--dry-run", "--json", "--no-calibration"]);
    assert_eq!(own["measured"], "own_texts");
}

#[test]
fn a_checkpoint_that_reads_the_other_way_is_warned_of() {
    let convert = |folder: &TempDir, options: &[&str]| {
        let blob = path(folder, "out.kinglet");
        let all = [&["convert", text(folder.path()), "-o", &blob, "--force"][..], options].concat();
        let output = kinglet(&all);
        assert!(output.status.success(), "{all:?}: {}", String::from_utf8_lossy(&output.stderr));
        (String::from_utf8(output.stdout).expect("text"), String::from_utf8(output.stderr).expect("text"))
    };
    let (forward, backward) = (copy_of_stories(), copy_of("stories-backward"));
    const PLAIN: &str = "--no-calibration";
    assert!(!convert(&forward, &[PLAIN]).0.contains("warning"));
    assert!(convert(&forward, &[PLAIN, "--direction", "backward"]).0.contains("convert it with --direction forward"));
    assert!(convert(&backward, &[PLAIN]).0.contains("warning: plain texts cost"));
    assert!(!convert(&backward, &[PLAIN, "--direction", "backward"]).0.contains("warning"));
    let (report, warning) = convert(&backward, &[PLAIN, "--json"]);
    let report: Value = serde_json::from_str(&report).expect("one JSON object");
    let loss = |direction: &str| report["direction"][direction].as_f64().expect("a number");
    assert!(report["direction"]["direction"] == "forward" && loss("forward") > loss("backward") + 1.0, "{report}");
    assert!(warning.contains("convert it with --direction backward"), "{warning}");
    // Given texts are a better measurement.
    let texts = path(&backward, "texts.jsonl");
    let heldout = fs::read_to_string(stories().join("heldout.jsonl")).expect("stories");
    fs::write(&texts, heldout.lines().take(2).collect::<Vec<_>>().join("\n")).expect("a file");
    assert!(convert(&backward, &["--calibration", &texts, "--json"]).1.contains("--direction backward"));
}

#[test]
fn an_output_that_exists_is_kept_unless_forced() {
    let (folder, blob) = converted();
    let source = stories();
    fs::write(&blob, b"precious").expect("a file");
    assert!(refused(&["convert", text(&source), "-o", &blob]).contains("--force"));
    assert_eq!(fs::read(&blob).expect("the file"), b"precious");
    let spoilt = copy_of_stories();
    change_config(&spoilt, "hidden_act", json!("snake"));
    refused(&["convert", text(spoilt.path()), "-o", &blob, "--force"]);
    assert_eq!(fs::read(&blob).expect("the file"), b"precious");
    run(&["convert", text(&source), "-o", &blob, "--force"]);
    assert_eq!(&fs::read(&blob).expect("the file")[..4], b"KNGL");
    let left: Vec<_> = fs::read_dir(folder.path()).expect("the folder").collect();
    assert_eq!(left.len(), 1, "something was left behind: {left:?}");
    run(&["convert", text(&source), "-o", &path(&folder, "dry.kinglet"), "--dry-run"]);
    assert!(!folder.path().join("dry.kinglet").exists());
}

#[test]
fn what_is_not_implemented_is_refused_by_name() {
    let cases = [
        ("model_type", json!("snake"), "snake"),
        ("hidden_act", json!("snake"), "snake"),
        ("rope_parameters", json!({ "rope_type": "spiral", "rope_theta": 10000.0, "factor": 4.0 }), "spiral"),
        ("is_causal", json!(false), "is_causal"),
        ("quantization_config", json!({ "bits": 4 }), "quantization_config"),
        ("num_attention_heads", json!(-8), "num_attention_heads"),
        ("vocab_size", json!(513), "embed_tokens"),
    ];
    for (key, value, named) in cases {
        let spoilt = copy_of_stories();
        change_config(&spoilt, key, value);
        let said = refused(&["convert", text(spoilt.path()), "-o", &path(&spoilt, "out.kinglet")]);
        assert!(said.contains(named), "{key}: {said}");
        assert!(!spoilt.path().join("out.kinglet").exists());
    }
}

#[test]
fn what_convert_writes_and_reads_is_checked_before_the_checkpoint() {
    let spoilt = copy_of_stories();
    // Errors in the weights must not come first.
    fs::write(spoilt.path().join("model.safetensors"), b"none").expect("no weights");
    let blob = path(&spoilt, "out.kinglet");
    let nowhere = path(&spoilt, "none/out.kinglet");
    let (absent, empty) = (path(&spoilt, "absent.txt"), path(&spoilt, "ids.jsonl"));
    fs::write(&empty, "[1, 2]\n[1, true]\n").expect("ids");
    let cases: [(&[&str], &str); 5] = [
        (&["-o", &nowhere], "none is not a folder"),
        (&["-o", text(spoilt.path())], "is a folder"),
        (&["-o", &blob, "--report", &nowhere], "none is not a folder"),
        (&["-o", &blob, "--calibration", &absent], "absent.txt"),
        (&["-o", &blob, "--calibration", &empty], "ids.jsonl line 2"),
    ];
    for (options, named) in cases {
        let said = refused(&[&["convert", text(spoilt.path())], options].concat());
        assert!(said.contains(named) && !said.contains("safetensors"), "{options:?}: {said}");
    }
}

#[test]
fn a_spoilt_checkpoint_is_refused_by_file_and_tensor() {
    let convert = |folder: &TempDir| refused(&["convert", text(folder.path()), "-o", &path(folder, "out.kinglet")]);
    let cut = copy_of_stories();
    let file = cut.path().join("model.safetensors");
    let bytes = fs::read(&file).expect("the weights");
    fs::write(&file, &bytes[..bytes.len() / 2]).expect("half of them");
    assert!(convert(&cut).contains("model.safetensors"));

    // The last number of the last tensor becomes a 16-bit NaN.
    let mut spoilt = bytes.clone();
    let end = spoilt.len();
    spoilt[end - 2..].copy_from_slice(&0x7e00_u16.to_le_bytes());
    fs::write(&file, &spoilt).expect("the weights");
    assert!(convert(&cut).contains("model."));

    // A tensor with an unknown name, as long as the known one.
    let header = bytes.windows(17).position(|window| window == b"model.norm.weight").expect("the final norm");
    let mut renamed = bytes.clone();
    renamed[header..header + 17].copy_from_slice(b"model.nose.weight");
    fs::write(&file, &renamed).expect("the weights");
    assert!(convert(&cut).contains("model.norm.weight"));

    fs::remove_file(&file).expect("the weights are gone");
    assert!(convert(&cut).contains("model.safetensors"));
    fs::remove_file(cut.path().join("config.json")).expect("the configuration is gone");
    assert!(convert(&cut).contains("config.json"));
}

#[test]
fn texts_to_calibrate_on_are_checked_and_cut_before_the_work() {
    let folder = TempDir::new().expect("a folder");
    let (blob, file, source) = (path(&folder, "out.kinglet"), path(&folder, "texts.jsonl"), stories());
    let convert = ["convert", text(&source), "-o", &blob, "--calibration", &file];
    assert!(refused(&convert).contains("texts.jsonl"));
    for (content, named) in [
        ("", "no texts"),
        ("[1, 2]\n[]\n", "line 2"),
        ("[1, 2]\n\n[1, 512]\n", "line 3: token 512"),
        ("{\"ids\": [1], \"token_type_ids\": [1]}\n", "token type 1"),
        ("{\"ids\": [1], \"decoder_ids\": [1]}\n", "decoder_ids"),
        ("[1, 2\n", "line 1"),
    ] {
        fs::write(&file, content).expect("a file");
        let said = refused(&convert);
        assert!(said.contains(named), "{content}: {said}");
    }
    let long: Vec<u32> = (0..2000).map(|n| 3 + n % 500).collect();
    fs::write(&file, format!("{}\n[1, 300]\n\"{}\"\n", json!(long), "Once upon a time. ".repeat(300))).expect("a file");
    let said = run(&[&convert[..], &["--max-tokens", "40"]].concat());
    assert!(
        said.contains("note: 2 of the 3 texts to calibrate on were longer than the model's 40 positions"),
        "{said}"
    );
    assert!(said.contains("note: 2 of the given texts were calibrated on"), "{said}");
    assert!(
        said.contains("measured on 1 texts that calibration did not see") && said.contains("least for: "),
        "{said}"
    );
    // The output path is checked first, too.
    let nowhere = path(&folder, "nowhere/out.kinglet");
    assert!(refused(&["convert", text(&source), "-o", &nowhere]).contains("nowhere"));
    assert!(refused(&["convert", text(&source), "--dry-run", "--report", &blob]).contains("exists"));
}
