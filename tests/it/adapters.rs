//! Compares merged adapters with the result of `merge_and_unload` of `peft`.

use std::fs;
use std::path::{Path, PathBuf};

use kinglet_convert::family::Options;
use kinglet_convert::opened::Source;
use kinglet_convert::weights::role_name;
use serde_json::{Value, json};
use tempfile::TempDir;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn adapted(base: &Path, adapter: &Path) -> anyhow::Result<Source> {
    Source::open(base, &Options { adapter: Some(adapter.to_owned()), ..Options::default() })
}

#[test]
fn an_adapter_gives_the_weights_that_peft_merges() {
    let mut merged = 0;
    for entry in fs::read_dir(folder("adapters")).expect("the folder is there") {
        let case = entry.expect("an entry").path();
        let Ok(base) = fs::read_to_string(case.join("base.json")) else { continue };
        let base: String = serde_json::from_str(&base).expect("a name");
        let name = case.display();
        let expected =
            Source::open(&case.join("merged"), &Options::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let found = adapted(&folder("golden").join(base), &case).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(found.spec(), expected.spec(), "{name}");
        assert_eq!(found.mapping.labels, expected.mapping.labels, "{name}");
        for (role, tensor) in expected.weights.iter() {
            let ours = found.weights.get(role).expect("every role is there");
            for (found, expected) in [(&ours.weight, &tensor.weight), (&ours.bias, &tensor.bias)] {
                let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(off < 1e-6, "{name}: {} is off by {off}", role_name(role));
            }
        }
        merged += 1;
    }
    assert!(merged >= 5, "only {merged} adapters");
}

/// A copy of an adapter with changed keys in its configuration.
fn altered(adapter: &str, change: &Value) -> TempDir {
    let dir = tempfile::tempdir().expect("disk");
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        fs::copy(folder("adapters").join(adapter).join(name), dir.path().join(name)).expect("disk");
    }
    let path = dir.path().join("adapter_config.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).expect("it is there")).expect("JSON");
    for (key, value) in change.as_object().expect("an object") {
        config[key] = value.clone();
    }
    fs::write(path, config.to_string()).expect("disk");
    dir
}

#[test]
fn what_is_not_plain_lora_is_refused_by_name() {
    for (change, named) in [
        (json!({"peft_type": "IA3"}), "`peft_type` = \"IA3\""),
        (json!({"peft_type": "PREFIX_TUNING"}), "PREFIX_TUNING"),
        (json!({"use_dora": true}), "`use_dora`"),
        (json!({"lora_bias": true}), "`lora_bias`"),
        (json!({"init_lora_weights": "pissa"}), "`init_lora_weights` = \"pissa\""),
        (json!({"layer_replication": [[0, 1]]}), "`layer_replication`"),
        (json!({"trainable_token_indices": [3]}), "`trainable_token_indices`"),
        (json!({"target_parameters": ["experts"]}), "`target_parameters`"),
        (json!({"r": 4}), "`target_modules`, `r` and `rank_pattern`"),
        (json!({"target_modules": ["q_proj"]}), "`model.layers.0.mlp.down_proj`"),
        (json!({"target_modules": "(?=q).*"}), "(?=q).*"),
        (json!({"rank_pattern": {"q_proj": 3}}), "`model.layers.0.self_attn.q_proj`"),
    ] {
        let dir = altered("all_linear", &change);
        let error = adapted(&folder("golden/llama"), dir.path()).err().unwrap_or_else(|| panic!("{change} was taken"));
        let error = format!("{error:#}");
        assert!(error.contains(named) && error.contains('\n'), "{change}: {error}");
    }
}

#[test]
fn an_adapter_of_another_model_is_refused() {
    for (base, adapter, named) in [
        ("golden/gpt2", "all_linear", "`model.layers.0.mlp.down_proj.weight`, which the model does not have"),
        ("golden/llama_mqa", "all_linear", "`model.layers.1.mlp.down_proj.weight`, which the model does not have"),
        ("golden/bert", "saved_head", "`model.layers.0.self_attn.q_proj.weight`"),
    ] {
        let error = adapted(&folder(base), &folder("adapters").join(adapter)).expect_err("it is of another model");
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[test]
fn a_head_tied_to_a_table_that_an_adapter_changes_is_refused() {
    let dir = altered("embeddings", &json!({"task_type": null, "modules_to_save": null}));
    let error = adapted(&folder("golden/bert_masked"), dir.path()).expect_err("two models could be meant");
    assert!(
        error.to_string().contains("`bert.embeddings.word_embeddings.weight`, which the model's head is tied to"),
        "{error}"
    );
    let error = Source::open(&folder("adapters/new_head"), &Options::default()).expect_err("it is no model");
    assert!(error.to_string().contains("holds an adapter") && error.to_string().contains("--adapter"), "{error}");
}
