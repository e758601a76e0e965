//! Runs the fuzz targets with a number of seeded inputs that suits CI, and with the inputs that
//! once showed a fault. `fuzz/README.md` explains how to run them longer with libFuzzer.

use std::fs;
use std::path::Path;

use kinglet_tests::fuzz::{TARGETS, target};

/// Runs a target with `count` inputs, multiplied by `KINGLET_FUZZ`.
fn run(name: &str, count: u64) {
    let times: u64 = std::env::var("KINGLET_FUZZ").map_or(1, |times| times.parse().expect("KINGLET_FUZZ is a number"));
    let seed = name.bytes().fold(times, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    target(name).run_seeded(seed, count * times);
}

#[test]
fn a_random_model_gives_equal_bits_in_every_way_of_working() {
    run("model", 2000);
}

#[test]
fn a_forged_blob_is_refused_or_runs() {
    run("blob", 2500);
    run("bytes", 1000);
}

#[test]
fn a_forged_tokenizer_is_refused_or_tokenizes() {
    run("tables", 3000);
    run("section", 500);
}

#[test]
fn any_text_becomes_the_tokens_of_the_crate() {
    run("text", 3000);
}

#[test]
fn a_changed_file_of_a_tokenizer_is_refused_or_makes_one() {
    run("tokenizer_json", 60);
    run("sentence_piece", 40);
}

#[test]
fn a_changed_checkpoint_is_refused_or_makes_a_blob() {
    run("config", 200);
    run("generation_config", 100);
    run("safetensors", 200);
    run("pickle", 150);
}

#[test]
fn lines_of_json_are_refused_by_name_or_run() {
    run("json_lines", 2000);
}

#[test]
fn what_showed_a_fault_once_shows_none() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut tried = 0;
    for target in TARGETS {
        let Ok(entries) = fs::read_dir(folder.join(target.name)) else { continue };
        for entry in entries {
            (target.run)(&fs::read(entry.expect("an entry").path()).expect("a file"));
            tried += 1;
        }
    }
    assert!(tried > 0, "the inputs are in tests/regressions");
}
