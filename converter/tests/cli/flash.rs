//! Writes the other data of firmware in flash: prefixes and grammars.

use std::fs;
use std::path::Path;

use kinglet::task::Grammar;
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
    // Equal files are left alone, and different ones are not overwritten.
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
        (
            vec!["prefix", &shipped("home-command"), "--text", "a", "--output", &file],
            "needs a decoder without an encoder",
        ),
        (
            vec!["prefix", &shipped("home-intent"), "--text", "a", "--output", &file],
            "needs a decoder without an encoder",
        ),
    ] {
        let said = refused(&arguments);
        assert!(said.contains(wanted), "{said}");
        assert!(!Path::new(&file).exists());
    }
    let long = "Once upon a time there was a fox. ".repeat(400);
    assert!(refused(&["prefix", &blob, "--text", &long, "--output", &file]).contains("leaves room"));
}

#[test]
fn a_grammar_says_what_a_model_writes() {
    let (folder, stories) = (TempDir::new().expect("a folder"), shipped("stories"));
    let (rules, table, to) = (path(&folder, "light.txt"), path(&folder, "light.grammar"), path(&folder, "out"));
    fs::write(&rules, "root: \\ set {room} light to {0..100} percent\nroom: kitchen | living room\n").expect("rules");
    run(&["grammar", &rules, "--model", &stories, "--output", &table, "--rust", &to, "--c", &to]);
    let blob = AlignedVec::from(&fs::read(&stories).expect("the blob")[..]);
    let model = Model::from_bytes(&blob).expect("a model");
    let bytes = fs::read(&table).expect("a table");
    let grammar = Grammar::from_bytes(&bytes, model.tokenizer_section()).expect("a table");
    assert!(grammar.states() > 20 && bytes.len() < 4096, "{} states, {} bytes", grammar.states(), bytes.len());
    let module = fs::read_to_string(Path::new(&to).join("light.rs")).expect("a module");
    assert!(module.contains("include_bytes!(\"light.grammar\")"), "{module}");
    let source = fs::read_to_string(Path::new(&to).join("light.c")).expect("C source");
    let array = source.split_once("light_grammar[LIGHT_GRAMMAR_BYTES] = {").expect("an array").1;
    let listed = array.trim_end_matches("};\n").split(',').filter(|byte| !byte.trim().is_empty());
    assert!(listed.map(|byte| byte.trim().parse::<u8>().expect("a byte")).eq(bytes.iter().copied()));

    let said = run_json(&["generate", &stories, "--text", "Tim said:", "--grammar", &rules, "--json"]);
    let text = said["text"].as_str().expect("a text").trim_start();
    let rest = text.strip_prefix("set ").and_then(|rest| rest.strip_suffix(" percent")).expect(text);
    let (room, percent) = rest.split_once(" light to ").expect(text);
    assert!(["kitchen", "living room"].contains(&room), "{text}");
    assert!(percent.parse::<u32>().is_ok_and(|percent| percent <= 100), "{text}");

    // The output of an encoder-decoder begins a text.
    fs::write(&rules, "root: light.{what} {room}\nwhat: on | off\nroom: kitchen | bathroom | living_room\n")
        .expect("rules");
    let asked = "please switch the lamp in the kitchen to blue";
    let said = run(&["generate", &shipped("home-command"), "--text", asked, "--grammar", &rules]);
    assert!(["light.on kitchen", "light.off kitchen"].contains(&said.trim_end()), "{said}");
}

#[test]
fn a_grammar_that_cannot_be_is_refused_with_its_line() {
    let (folder, stories) = (TempDir::new().expect("a folder"), shipped("stories"));
    let (rules, table) = (path(&folder, "light.txt"), path(&folder, "light.grammar"));
    for (text, wanted) in [("root: (a", "a bracket is not closed"), ("root: {x}", "there is no rule called x")] {
        fs::write(&rules, text).expect("rules");
        let said = refused(&["grammar", &rules, "--model", &stories, "--output", &table]);
        assert!(said.contains("light.txt"), "{said}");
        assert!(said.contains(wanted), "{said}");
        assert!(!Path::new(&table).exists());
    }
    assert!(refused(&["grammar", &rules, "--model", &stories]).contains("nothing to write was asked for"));
}
