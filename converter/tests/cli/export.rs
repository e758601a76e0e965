//! Exports blobs as sources for firmware.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::{path, refused, run, shipped};

#[test]
fn an_exported_module_has_the_blob_and_what_firmware_must_know_of_it() {
    let (folder, blob) = (TempDir::new().expect("a folder"), shipped("home-slots"));
    let to = path(&folder, "out");
    run(&["export", &blob, "--rust", &to, "--c", &to, "--tokens", "32"]);
    let read = |name: &str| fs::read(Path::new(&to).join(name)).expect(name);
    assert_eq!(read("home-slots.kinglet"), fs::read(&blob).expect("the blob"));
    let module = String::from_utf8(read("home_slots.rs")).expect("text");
    assert!(module.contains("MAX_TOKENS: usize = 32") && module.contains("\"B-room\",\n"), "{module}");
    // The firmware examples compile such modules, and compare their output with the host's.
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
        assert!(refused(&["export", &blob, "--c", &to, "--name", name]).contains("is not an identifier"), "{name}");
    }
    // The name of a blob need not be an identifier.
    for (file, name) in [("4th", "_4th"), ("match", "match_"), ("a b", "a_b")] {
        let renamed = path(&folder, &format!("{file}.kinglet"));
        fs::copy(&blob, &renamed).expect("a copy");
        run(&["export", &renamed, "--c", &to]);
        assert!(Path::new(&to).join(format!("{name}.h")).exists(), "{name}");
    }
}
