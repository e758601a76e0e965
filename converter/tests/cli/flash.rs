//! What firmware has in flash besides its blob.

use std::fs;
use std::path::Path;

use kinglet::{AlignedVec, Model, Prefix};
use tempfile::TempDir;

use crate::support::{path, refused, run, run_json, shipped};

#[test]
fn a_prefix_is_of_its_text_and_of_its_blob() {
    let (folder, blob) = (TempDir::new().expect("a folder"), shipped("stories"));
    let (to, file) = (path(&folder, "out"), path(&folder, "once.prefix"));
    let text = "Once upon a time, there was a fox.";
    run(&["prefix", &blob, "--text", text, "--rust", &to, "--output", &file]);
    let bytes = fs::read(&file).expect("a prefix");
    assert_eq!(fs::read(Path::new(&to).join("stories-prefix.prefix")).expect("a prefix"), bytes);
    let bytes = AlignedVec::from(&bytes[..]);
    let blob_bytes = AlignedVec::from(&fs::read(&blob).expect("the blob")[..]);
    let model = Model::from_bytes(&blob_bytes).expect("a model");
    let prefix = Prefix::from_bytes(&bytes, &model).expect("a prefix");
    let tokens = run_json(&["tokenize", &blob, "--text", text, "--json"]);
    assert_eq!(tokens["ids"], serde_json::json!(prefix.ids().collect::<Vec<_>>()));
    let module = fs::read_to_string(Path::new(&to).join("stories_prefix.rs")).expect("a module");
    for part in ["include_model!(\"stories-prefix.prefix\")", &format!("TOKENS: usize = {}", prefix.len()), text] {
        assert!(module.contains(part), "{part} in {module}");
    }
    // What is there already as it should be is left; another text is not written over it.
    run(&["prefix", &blob, "--text", text, "--rust", &to]);
    assert!(refused(&["prefix", &blob, "--text", "Another.", "--rust", &to]).contains("exists already"));
    run(&["prefix", &blob, "--ids", "1,365,2", "--output", &file, "--force"]);
    let bytes = AlignedVec::from(&fs::read(&file).expect("a prefix")[..]);
    assert_eq!(Prefix::from_bytes(&bytes, &model).expect("a prefix").ids().collect::<Vec<_>>(), [1, 365, 2]);
}

#[test]
fn a_prefix_that_cannot_be_is_refused() {
    let (folder, blob) = (TempDir::new().expect("a folder"), shipped("stories"));
    let file = path(&folder, "p");
    for (arguments, wanted) in [
        (vec!["prefix", &blob, "--text", "a"], "nothing to write was asked for"),
        (vec!["prefix", &blob, "--ids", "9999999", "--output", &file], "not in the vocabulary"),
        (vec!["prefix", &shipped("home-command"), "--text", "a", "--output", &file], "attends to no encoder"),
        (vec!["prefix", &shipped("home-intent"), "--text", "a", "--output", &file], "attends to no encoder"),
    ] {
        let said = refused(&arguments);
        assert!(said.contains(wanted), "{said}");
        assert!(!Path::new(&file).exists());
    }
    let long = "Once upon a time there was a fox. ".repeat(400);
    assert!(refused(&["prefix", &blob, "--text", &long, "--output", &file]).contains("leaves room"));
}
