//! The command line as people and programs use it, on the model that ships with the project.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

fn stories() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/stories")
}

fn kinglet(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kinglet")).args(arguments).output().expect("kinglet runs")
}

/// Runs a command that must succeed; what it printed.
fn run(arguments: &[&str]) -> String {
    let output = kinglet(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The same of a command that prints one JSON object and nothing else.
fn run_json(arguments: &[&str]) -> Value {
    serde_json::from_str(&run(arguments)).expect("one JSON object")
}

/// Runs a command that must fail with a line of what is wrong and a line of what to do; both.
fn refused(arguments: &[&str]) -> String {
    let output = kinglet(arguments);
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(!output.status.success(), "{arguments:?} succeeded");
    assert!(
        output.stdout.is_empty() && said.starts_with("error: ") && said.lines().count() == 2,
        "{arguments:?}: {said}"
    );
    said
}

/// A folder with the story teller as a blob in it.
fn converted() -> (TempDir, String) {
    let folder = TempDir::new().expect("a folder");
    let blob = path(&folder, "stories.kinglet");
    run(&["convert", text(&stories()), "-o", &blob]);
    (folder, blob)
}

fn path(folder: &TempDir, name: &str) -> String {
    text(&folder.path().join(name)).to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

/// A copy of the checkpoint, to be spoilt.
fn copy_of_stories() -> TempDir {
    copy_of("stories")
}

/// A copy of what Hugging Face's tools would write of a checkpoint that ships.
fn copy_of(model: &str) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for name in ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(stories().join("..").join(model).join(name), folder.path().join(name)).expect("a copy");
    }
    folder
}

fn change_config(folder: &TempDir, key: &str, value: Value) {
    let file = folder.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).expect("config.json")).expect("JSON");
    config[key] = value;
    fs::write(&file, config.to_string()).expect("a changed config.json");
}

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
fn the_same_checkpoint_gives_the_same_bytes() {
    let ((_a, first), (_b, second)) = (converted(), converted());
    assert!(fs::read(first).expect("a blob") == fs::read(second).expect("a blob"));
}

#[test]
fn verify_fails_where_a_blob_computes_something_else_than_its_checkpoint() {
    let (_folder, blob) = converted();
    assert!(run(&["verify", &blob, text(&stories()), "--texts", "2", "--tokens", "20"]).starts_with("self test: pass"));
    // The same architecture, trained on texts from their ends.
    let other = copy_of("stories-backward");
    let said = refused(&["verify", &blob, text(other.path()), "--texts", "2", "--tokens", "20"]);
    assert!(said.contains("does not compute what its checkpoint does") && !said.contains("pass"), "{said}");
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
    // The caller's own texts tell more.
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
        ("rope_parameters", json!({ "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0 }), "yarn"),
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
    // Whatever is said of the weights comes too late.
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

    // The last tensor's last number becomes a NaN of 16 bits.
    let mut spoilt = bytes.clone();
    let end = spoilt.len();
    spoilt[end - 2..].copy_from_slice(&0x7e00_u16.to_le_bytes());
    fs::write(&file, &spoilt).expect("the weights");
    assert!(convert(&cut).contains("model."));

    // A tensor by a name that nobody asked for, of the same length in the header.
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

    // What a configuration says of searching is done unless the caller says otherwise.
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
    // Where the work would end is looked at first, too.
    let nowhere = path(&folder, "nowhere/out.kinglet");
    assert!(refused(&["convert", text(&source), "-o", &nowhere]).contains("nowhere"));
    assert!(refused(&["convert", text(&source), "--dry-run", "--report", &blob]).contains("exists"));
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
    // A line that is no list of ids is a text, where there is a tokenizer to read it.
    fs::write(&choices, "5,six\n").expect("a file");
    let arguments = ["generate", &blob, "--ids", "1", "--choices", &choices, "--json"];
    assert_eq!(run_json(&arguments)["text"], "5,six");
    run(&["convert", text(copy_of_stories().path()), "-o", &blob, "--no-tokenizer", "--force"]);
    assert!(refused(&arguments).contains("line 1"));
}

/// A blob that the firmware examples embed.
fn shipped(name: &str) -> String {
    text(&Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../firmware-examples/common/models/{name}.kinglet")))
        .to_owned()
}

#[test]
fn the_models_that_ship_are_as_good_as_their_cards_say() {
    let folder = TempDir::new().expect("a folder");
    for (blob, heldout, at_least) in [
        ("home-intent", "home/intent", 0.97),
        ("home-slots", "home/slots", 0.95),
        ("home-command", "home/command", 0.95),
    ] {
        // A part of the set: the whole of it is for `kinglet eval` at a desk.
        let all = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../models/{heldout}/heldout.jsonl"));
        let all = fs::read_to_string(all).expect("the held-out set");
        let part = path(&folder, "part.jsonl");
        fs::write(&part, all.lines().take(250).collect::<Vec<_>>().join("\n")).expect("written");
        let found = run_json(&["eval", &shipped(blob), "--input", &part, "--json"]);
        assert_eq!(found["examples"], 250);
        assert!(found["accuracy"].as_f64().expect("a number") >= at_least, "{blob}: {found}");
    }
    for name in ["stories", "stories-backward"] {
        let all = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../models/{name}/heldout.jsonl"));
        let part = path(&folder, "stories.jsonl");
        let all = fs::read_to_string(all).expect("the held-out set");
        fs::write(&part, all.lines().take(5).collect::<Vec<_>>().join("\n")).expect("written");
        let found = run_json(&["eval", &shipped(name), "--input", &part, "--json"]);
        assert!((1.0..1.3).contains(&found["perplexity"].as_f64().expect("a number")), "{name}: {found}");
    }
    let part = path(&folder, "wrong.jsonl");
    fs::write(&part, "{\"text\": \"turn on the light\"}\n").expect("written");
    assert!(refused(&["eval", &shipped("home-intent"), "--input", &part]).contains("it has no \"label\""));
}

#[test]
fn a_blob_fits_boards_that_have_room_for_it() {
    let blob = shipped("home-intent");
    let found = run_json(&["fit", &blob, "--json"]);
    let boards = found["boards"].as_array().expect("a list");
    let fits = |chip: &str| boards.iter().find(|board| board["chip"] == chip).expect("it is known")["fits"].clone();
    assert_eq!((fits("RP2040"), fits("STM32G071RB")), (json!(true), json!(false)));
    assert!(
        run(&["fit", &blob, "--board", "pico 2"])
            .starts_with("Raspberry Pi Pico 2 (RP2350, Cortex-M33): fits at 48 tokens")
    );
    // The estimate is of a clock that is told.
    assert!(run(&["fit", &blob, "--board", "H743"]).contains(" ms at 480 MHz"));
    assert_eq!(boards.iter().find(|board| board["chip"] == "STM32F446RE").expect("it is known")["megahertz"], 180);
    assert!(refused(&["fit", &blob, "--board", "toaster"]).contains("no board is called \"toaster\""));
}

#[test]
fn an_exported_module_has_the_blob_and_what_firmware_must_know_of_it() {
    let (folder, blob) = (TempDir::new().expect("a folder"), shipped("home-slots"));
    let to = path(&folder, "out");
    run(&["export", &blob, "--rust", &to, "--c", &to, "--tokens", "32"]);
    let read = |name: &str| fs::read(Path::new(&to).join(name)).expect(name);
    assert_eq!(read("home-slots.kinglet"), fs::read(&blob).expect("the blob"));
    let module = String::from_utf8(read("home_slots.rs")).expect("text");
    assert!(module.contains("MAX_TOKENS: usize = 32") && module.contains("\"B-room\",\n"), "{module}");
    // The firmware examples compile such modules, and print with them what the host prints with the blob.
    assert!(module.contains("pub static MODEL") && module.contains("pub static TOKENIZER"), "{module}");
    let header = String::from_utf8(read("home_slots.h")).expect("text");
    let arena = kinglet::arena_bytes(&fs::read(&blob).expect("the blob"), 32);
    assert!(header.contains(&format!("HOME_SLOTS_ARENA_BYTES {arena}u")), "{header}");
    let numbers = String::from_utf8(read("home_slots.c")).expect("text");
    let numbers = numbers.split_once("= {\n").expect("an array").1;
    let bytes: Vec<u8> = numbers.split([',', '\n']).filter_map(|number| number.parse().ok()).collect();
    assert_eq!(bytes, fs::read(&blob).expect("the blob"));
    assert!(refused(&["export", &blob, "--rust", &to]).contains("exists already"));
}

#[test]
fn an_export_without_a_target_names_both() {
    let said = refused(&["export", &shipped("home-slots")]);
    assert!(said.contains("--rust") && said.contains("--c"), "{said}");
}

#[test]
fn an_export_has_the_name_that_is_asked_for() {
    let (folder, blob) = (TempDir::new().expect("a folder"), shipped("home-slots"));
    let to = path(&folder, "out");
    run(&["export", &blob, "--rust", &to, "--c", &to, "--name", "words"]);
    let mut files: Vec<_> =
        fs::read_dir(&to).expect("a folder").map(|file| file.expect("a file").file_name()).collect();
    files.sort();
    assert_eq!(files, ["words.c", "words.h", "words.kinglet", "words.rs"]);
    for name in ["two words", "4th", "match", ""] {
        assert!(refused(&["export", &blob, "--c", &to, "--name", name]).contains("is no name for code"), "{name}");
    }
    // A blob may have any name: what code cannot have is written otherwise.
    for (file, name) in [("4th", "_4th"), ("match", "match_"), ("a b", "a_b")] {
        let renamed = path(&folder, &format!("{file}.kinglet"));
        fs::copy(&blob, &renamed).expect("a copy");
        run(&["export", &renamed, "--c", &to]);
        assert!(Path::new(&to).join(format!("{name}.h")).exists(), "{name}");
    }
}

/// Runs a compiler, and says what it says when it is not content.
fn compile(compiler: &str, folder: &str, arguments: &str) {
    let mut command = Command::new(compiler);
    command.args(["-Wall", "-Wextra", "-Wpedantic", "-Werror"]).args(arguments.split(' ')).current_dir(folder);
    let output = command.output().unwrap_or_else(|error| panic!("{compiler} does not run: {error}"));
    assert!(output.status.success(), "{compiler} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn two_exports_are_in_one_program_of_c_and_of_cpp() {
    const MAIN: &str = "
        #include \"home_command.h\"
        #include \"home_intent.h\"
        #include <stdio.h>
        static const char *const labels[HOME_INTENT_LABELS_COUNT] = HOME_INTENT_LABELS;
        static const uint32_t ends[HOME_COMMAND_TOKENS_EOS_COUNT] = HOME_COMMAND_TOKENS_EOS;
        int main(void) {
            printf(\"%u %u %d\", HOME_COMMAND_BLOB_BYTES, HOME_INTENT_BLOB_BYTES, home_intent_blob[4] == home_command_blob[4]);
            printf(\" %u %u %u %u\", (unsigned)((uintptr_t)home_intent_blob % 16), (unsigned)((uintptr_t)home_command_blob % 16),
                (unsigned)ends[0], HOME_COMMAND_TOKEN_DECODER_START);
            for (unsigned label = 0; label < HOME_INTENT_LABELS_COUNT; label++) printf(\" %s\", labels[label]);
            return 0;
        }";
    let folder = TempDir::new().expect("a folder");
    let to = path(&folder, "c");
    let (intent, command) = (shipped("home-intent"), shipped("home-command"));
    run(&["export", &intent, "--c", &to]);
    run(&["export", &command, "--c", &to]);
    fs::write(Path::new(&to).join("main.c"), MAIN).expect("a program");
    let sources = "main.c home_intent.c home_command.c";
    compile("gcc", &to, &format!("-std=c11 {sources} -o c"));
    compile("g++", &to, &format!("-std=c++17 -x c++ {sources} -o cpp"));
    // A program of C++ with blobs that a compiler of C made.
    compile("gcc", &to, "-std=c11 -c home_intent.c home_command.c");
    compile("g++", &to, "-std=c++17 -x c++ -c main.c -o main.o");
    compile("g++", &to, "main.o home_intent.o home_command.o -o both");

    let bytes = [fs::read(command).expect("a blob"), fs::read(intent).expect("a blob")];
    let [command, intent] = bytes.each_ref().map(|bytes| kinglet::AlignedVec::from(bytes.as_slice()));
    let models = [&command, &intent].map(|blob| kinglet::Model::from_bytes(blob).expect("a model"));
    let special = &models[0].manifest().tokens;
    let labels: Vec<&str> = models[1].labels().collect();
    let (end, start) = (special.eos[0], special.decoder_start.expect("it has one"));
    let wanted = format!("{} {} 1 0 0 {end} {start} {}", command.len(), intent.len(), labels.join(" "));
    for program in ["c", "cpp", "both"] {
        let output = Command::new(Path::new(&to).join(program)).output().expect("it runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), wanted, "{program}");
    }
}

#[test]
fn boards_are_asked_what_training_held_out() {
    for (name, key) in [("intent", "label"), ("command", "target")] {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let heldout = std::fs::read_to_string(project.join(format!("models/home/{name}/heldout.jsonl"))).unwrap();
        let answers: Vec<Value> = heldout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let sample =
            std::fs::read_to_string(project.join(format!("firmware-examples/common/heldout/{name}.txt"))).unwrap();
        assert!(sample.lines().count() > 10);
        for line in sample.lines() {
            let (text, answer) = line.split_once(" -> ").unwrap();
            assert!(answers.iter().any(|held| held["text"] == text && held[key] == answer), "{line}");
        }
    }
}
