//! Checks that matrices have the widths, and blobs the sizes, that were asked for.

use std::fs;

use tempfile::TempDir;

use crate::support::{converted, path, refused, run, run_json, stories, text};

#[test]
fn parts_and_layers_have_the_widths_that_were_asked_for() {
    let folder = TempDir::new().expect("a folder");
    let blob = path(&folder, "mixed.kinglet");
    let stories = stories();
    let convert = ["convert", text(&stories), "-o", &blob, "--no-calibration", "--force"];
    let widths = ["--weights-of", "query=int4", "--weights-of", "up:1-3=int4", "--weights-of", "up:2=int8"];
    run(&[&convert[..], &widths].concat());
    assert!(run(&["inspect", &blob]).contains("four bits a weight: query=int4 up:1,3=int4\n"));
    assert!(run(&["verify", &blob, text(&stories)]).contains("cosine 0.9"));
    run(&[&convert[..], &["--weights", "int4", "--weights-of", "value:0=int8", "--weights-of", "tokens=int4"]].concat());
    let said = run(&["inspect", &blob]);
    assert!(said.contains("value:1-4=int4") && said.contains("tokens=int4") && !said.contains("down"), "{said}");
    assert!(run(&["verify", &blob, text(&stories)]).contains("cosine 0.9"));
}

#[test]
fn a_rule_that_is_about_nothing_is_refused() {
    let convert = |rule: &str| refused(&["convert", text(&stories()), "--dry-run", "--weights-of", rule]);
    assert!(convert("down=int4").contains("its columns whole eights"));
    assert!(convert("gate:9=int4").contains("in layers 0 to 4"));
    assert!(convert("cross-key=int4").contains("names no matrix of this model"));
    assert!(convert("positions=int4").contains("it has down, gate, key, output, query, tokens, up, value"));
}

#[test]
fn a_blob_has_the_size_that_was_asked_for() {
    let (_folder, whole) = converted();
    let whole = fs::read(whole).expect("a blob");
    let (folder, stories) = (TempDir::new().expect("a folder"), stories());
    let blob = path(&folder, "small.kinglet");
    let convert = |size: &str| {
        let asked = ["convert", text(&stories), "-o", &blob, "--force", "--json", "--flash", size];
        (run_json(&asked), fs::read(&blob).expect("a blob"))
    };
    let (report, same) = convert("10M");
    assert!(same == whole && report["budget"]["packed"].as_array().is_some_and(Vec::is_empty), "{report}");
    let size = whole.len() - 20_000;
    let (report, small) = convert(&size.to_string());
    assert!(small.len() <= size && small.len() > size - 4000, "{} bytes of {size}", small.len());
    let costs = report["budget"]["costs"].as_array().expect("what each matrix costs");
    let (taken, left): (Vec<_>, Vec<_>) = costs.iter().partition(|cost| cost["packed"] == true);
    assert!(taken.len() > 2 && left.len() > 2, "{report}");
    let refusal = ["convert", text(&stories), "--dry-run", "--flash", "100K"];
    assert!(refused(&refusal).contains("with four bits wherever that may be it has"));
    assert!(refused(&["convert", text(&stories), "--dry-run", "--flash", "many"]).contains("is not a size of flash"));
}
