//! Checks the claims about the models that ship.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{path, refused, run, run_json, shipped};

#[test]
fn the_models_that_ship_are_as_good_as_their_cards_say() {
    let folder = TempDir::new().expect("a folder");
    for (blob, heldout, at_least) in [
        ("home-intent", "home/intent", 0.97),
        ("home-slots", "home/slots", 0.95),
        ("home-command", "home/command", 0.95),
    ] {
        // A part of the set, to save time; `kinglet eval` runs the whole set.
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
    let table = run(&["fit", &blob]);
    let (head, rows) = table.split_once('\n').expect("a head and rows");
    let column = |name: &str| head.find(name).expect("a column") + name.len();
    let cell = |board: &str, name: &str| {
        let row = rows.lines().find(|row| row.starts_with(board)).expect("a row");
        row[..column(name)].rsplit("  ").next().expect("a cell").to_owned()
    };
    assert_eq!(cell("Raspberry Pi Pico 2 (RP2350, Cortex-M33)", "tokens").trim(), "48");
    assert!(cell("Raspberry Pi Pico (", "flash left").ends_with(" KiB"));
    assert!(rows.lines().any(|row| row.starts_with("Nucleo-G071RB") && row.contains("does not fit: ")));
    // The estimate names the clock that it is for.
    assert!(run(&["fit", &blob, "--board", "H743"]).contains(" M at 480 MHz"));
    assert_eq!(boards.iter().find(|board| board["chip"] == "STM32F446RE").expect("it is known")["megahertz"], 180.0);
    assert!(refused(&["fit", &blob, "--board", "toaster"]).contains("no board is called \"toaster\""));
}

#[test]
fn what_is_planned_for_a_chip_of_ones_own_is_what_is_converted() {
    let folder = TempDir::new().expect("a folder");
    let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/home/intent").to_string_lossy().into_owned();
    let chip = ["--flash", "360K", "--ram", "64K", "--core", "m4", "--mhz", "64", "--flash-rate", "8", "--json"];
    let config = format!("{checkpoint}/config.json");
    for planned in [&checkpoint, &config] {
        let found = run_json(&[&["fit", planned], &chip[..]].concat());
        let (board, way) = (&found["boards"][0], &found["boards"][0]["ways"][0]);
        assert_eq!((&board["fits"], &board["core"], &way["fits"]), (&json!(false), &json!("Cortex-M4F"), &json!(true)));
        assert!(way["estimated_milliseconds_per_token"].as_f64() >= way["milliseconds_of_reading"].as_f64());
        let options: Vec<&str> = way["options"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(Value::as_str)
            .flat_map(|one| one.split(' '))
            .collect();
        let blob = path(&folder, "planned.kinglet");
        run(&[&["convert", &checkpoint, "-o", &blob, "--no-calibration", "--force"], &options[..]].concat());
        let bytes = fs::metadata(&blob).expect("it was written").len();
        // Before a conversion, the size of all but the tensors is an estimate.
        let planned = way["bytes"].as_u64().expect("bytes");
        assert!(100 * bytes.abs_diff(planned) < bytes, "{bytes} bytes for {way}");
    }
}

#[test]
fn boards_are_asked_what_training_held_out() {
    for (name, key) in [("intent", "label"), ("command", "target")] {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let heldout = fs::read_to_string(project.join(format!("models/home/{name}/heldout.jsonl"))).unwrap();
        let answers: Vec<Value> = heldout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let sample = fs::read_to_string(project.join(format!("firmware-examples/common/heldout/{name}.txt"))).unwrap();
        assert!(sample.lines().count() > 10);
        for line in sample.lines() {
            let (text, answer) = line.split_once(" -> ").unwrap();
            assert!(answers.iter().any(|held| held["text"] == text && held[key] == answer), "{line}");
        }
    }
}
