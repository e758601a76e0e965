use std::fs;

use kinglet::format::spec::{Activation, Pooling};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;

use super::*;
use crate::testing::{Stored, checkpoint, write_tensors};

fn message<T>(result: Result<T>) -> String {
    format!("{:#}", result.err().expect("this must be refused"))
}

#[test]
fn types_may_be_mixed_in_a_file() {
    let dir = checkpoint(&json!({}), &[]);
    let values = [1.5f32, -0.25];
    let data: Vec<(Dtype, Vec<u8>)> = vec![
        (Dtype::F64, values.iter().flat_map(|x| f64::from(*x).to_le_bytes()).collect()),
        (Dtype::F32, values.iter().flat_map(|x| x.to_le_bytes()).collect()),
        (Dtype::F16, values.iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect()),
        (Dtype::BF16, values.iter().flat_map(|x| half::bf16::from_f32(*x).to_le_bytes()).collect()),
        (Dtype::I16, vec![0; 4]),
    ];
    let views =
        data.iter().map(|(dtype, bytes)| (format!("{dtype:?}"), TensorView::new(*dtype, vec![2], bytes).unwrap()));
    fs::write(dir.path().join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
    let opened = Checkpoint::open(dir.path()).unwrap();
    for name in ["F64", "F32", "F16", "BF16"] {
        assert_eq!(opened.tensor(name).unwrap(), Array { shape: vec![2], values: values.to_vec() }, "{name}");
    }
    let error = message(opened.tensor("I16"));
    assert!(error.contains("`I16`") && error.contains("model.safetensors"), "{error}");
}

#[test]
fn numbers_that_are_not_finite_are_refused_by_name() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let dir = checkpoint(&json!({}), &[("good", vec![1], vec![1.0]), ("w.weight", vec![3], vec![1.0, 2.0, bad])]);
        let opened = Checkpoint::open(dir.path()).unwrap();
        assert!(opened.tensor("good").is_ok());
        let error = message(opened.tensor("w.weight"));
        assert!(error.contains("`w.weight`") && error.contains("position 2"), "{error}");
    }
}

#[test]
fn old_names_of_norms_are_found() {
    let tensors: [Stored<'_>; 3] = [
        ("a.LayerNorm.gamma", vec![1], vec![1.0]),
        ("a.LayerNorm.beta", vec![1], vec![2.0]),
        ("b.gamma", vec![1], vec![3.0]),
    ];
    let dir = checkpoint(&json!({}), &tensors);
    let opened = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(opened.tensor("a.LayerNorm.weight").unwrap().values, [1.0]);
    assert_eq!(opened.tensor("a.LayerNorm.bias").unwrap().values, [2.0]);
    assert!(message(opened.tensor("b.weight")).contains("no tensor `b.weight`"));
}

#[test]
fn a_tensor_that_nobody_used_is_refused_and_junk_is_not() {
    let one = |name| (name, vec![1], vec![1.0]);
    let tensors = ["used", "embeddings.position_ids", "h.0.attn.bias", "h.0.attn.masked_bias", "x.rotary_emb.inv_freq"];
    let dir = checkpoint(&json!({}), &tensors.map(one));
    let opened = Checkpoint::open(dir.path()).unwrap();
    assert!(message(opened.check_all_used()).contains("`used`"));
    opened.tensor("used").unwrap();
    opened.check_all_used().unwrap();

    let dir = checkpoint(&json!({}), &["extra.weight", "crossattn.bias"].map(one));
    let opened = Checkpoint::open(dir.path()).unwrap();
    let error = message(opened.check_all_used());
    assert!(error.contains("`crossattn.bias`, `extra.weight`"), "{error}");
    opened.dismiss(|_| true);
    opened.check_all_used().unwrap();
}

#[test]
fn shards_are_read_by_their_index() {
    let write = |map: serde_json::Value| {
        let dir = checkpoint(&json!({}), &[]);
        fs::remove_file(dir.path().join("model.safetensors")).unwrap();
        write_tensors(&dir.path().join("one.safetensors"), &[("a", vec![1], vec![1.0])]);
        write_tensors(&dir.path().join("two.safetensors"), &[("b", vec![1], vec![2.0])]);
        fs::write(dir.path().join("model.safetensors.index.json"), json!({ "weight_map": map }).to_string()).unwrap();
        (Checkpoint::open(dir.path()), dir)
    };
    let (opened, _dir) = write(json!({"a": "one.safetensors", "b": "two.safetensors"}));
    let opened = opened.unwrap();
    assert_eq!((opened.tensor("a").unwrap().values, opened.tensor("b").unwrap().values), (vec![1.0], vec![2.0]));

    let (opened, _dir) = write(json!({"a": "one.safetensors", "b": "one.safetensors"}));
    let error = message(opened);
    assert!(error.contains("`b`") && error.contains("one.safetensors"), "{error}");

    for outside in ["../one.safetensors", "/etc/passwd", "sub/one.safetensors", "..", "", "c:\\x"] {
        let (opened, _dir) = write(json!({"a": outside}));
        let error = message(opened);
        assert!(error.contains("`a`") && error.contains("beside the index"), "{error}");
    }
    let (opened, _dir) = write(json!({"a": "three.safetensors", "b": "two.safetensors", "c": "four.safetensors"}));
    let error = message(opened);
    assert!(error.contains("has no four.safetensors, three.safetensors,") && error.contains('\n'), "{error}");
    // A tensor in two shards, and a tensor in none.
    let (opened, dir) = write(json!({"a": "one.safetensors", "b": "two.safetensors"}));
    drop(opened);
    write_tensors(&dir.path().join("two.safetensors"), &["a", "b"].map(|name| (name, vec![1], vec![1.0])));
    let error = message(Checkpoint::open(dir.path()));
    assert!(error.contains("`a` is both in one.safetensors and in two.safetensors"), "{error}");
    let (opened, _dir) = write(json!({"a": "one.safetensors", "b": "two.safetensors", "c": "two.safetensors"}));
    let error = message(opened);
    assert!(error.contains("`c` in \"two.safetensors\", where it is not"), "{error}");
}

#[test]
fn what_wraps_every_name_is_left_out() {
    let open = |names: &[&str]| {
        let tensors: Vec<Stored<'_>> = names.iter().map(|name| (*name, vec![1], vec![1.0])).collect();
        let dir = checkpoint(&json!({}), &tensors);
        let opened = Checkpoint::open(dir.path()).unwrap();
        (opened.wrapper.clone(), opened.names().map(str::to_owned).collect::<Vec<_>>().join(" "))
    };
    let cases: [(&[&str], &str, &str); 9] = [
        (
            &["_orig_mod.model.norm.weight", "_orig_mod.lm_head.weight"],
            "_orig_mod.",
            "lm_head.weight model.norm.weight",
        ),
        (&["module._orig_mod.a", "module._orig_mod.b"], "module._orig_mod.", "a b"),
        (
            &["base_model.model.model.norm.weight", "base_model.model.lm_head.weight"],
            "base_model.model.",
            "lm_head.weight model.norm.weight",
        ),
        (&["model.model.norm.weight", "model.lm_head.weight"], "model.", "lm_head.weight model.norm.weight"),
        (
            &["model.bert.pooler.dense.weight", "model.classifier.bias"],
            "model.",
            "bert.pooler.dense.weight classifier.bias",
        ),
        // The prefixes of families stay.
        (&["model.norm.weight", "model.embed_tokens.weight"], "", "model.embed_tokens.weight model.norm.weight"),
        (&["bert.pooler.dense.weight"], "", "bert.pooler.dense.weight"),
        // One name without the prefix shows that it is not a wrapper's.
        (&["module.a", "b"], "", "b module.a"),
        (&[], "", ""),
    ];
    for (names, wrapper, left) in cases {
        assert_eq!(open(names), (wrapper.to_owned(), left.to_owned()), "{names:?}");
    }
}

#[test]
fn a_missing_tensor_is_answered_with_the_nearest() {
    let names = ["_orig_mod.layers.0.mlp.up.weight", "layers.1.mlp.up.weight", "head.weight"];
    let dir = checkpoint(&json!({}), &names.map(|name| (name, vec![1], vec![1.0])));
    let opened = Checkpoint::open(dir.path()).unwrap();
    let error = message(opened.tensor("layers.0.mlp.up.weight"));
    assert!(error.contains("the nearest that it has is `_orig_mod.layers.0.mlp.up.weight`"), "{error}");
    let dir = checkpoint(&json!({}), &[]);
    assert!(!message(Checkpoint::open(dir.path()).unwrap().tensor("a")).contains("nearest"));
}

#[test]
fn a_broken_file_is_named() {
    let dir = checkpoint(&json!({}), &[("a", vec![4], vec![0.0; 4])]);
    let path = dir.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    for len in [0, 7, 20, whole.len() - 1] {
        fs::write(&path, &whole[..len]).unwrap();
        assert!(message(Checkpoint::open(dir.path())).contains("model.safetensors"), "cut to {len}");
    }
    fs::remove_file(&path).unwrap();
    assert!(message(Checkpoint::open(dir.path())).contains("has no model.safetensors"));
    fs::write(dir.path().join("adapter_model.safetensors"), &whole).unwrap();
    assert!(message(Checkpoint::open(dir.path())).contains("holds an adapter"));
    fs::write(dir.path().join("config.json"), "{").unwrap();
    assert!(message(Checkpoint::open(dir.path())).contains("config.json is not JSON"));
    assert!(message(Checkpoint::open(&dir.path().join("nowhere"))).contains("config.json"));
}

#[test]
fn sentence_transformers_modules_are_read() {
    let folder = |pooling: serde_json::Value| {
        let dir = checkpoint(&json!({}), &[]);
        let modules = json!([
            {"path": "", "type": "sentence_transformers.models.Transformer"},
            {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"path": "2_Dense", "type": "sentence_transformers.models.Dense"},
            {"path": "3_Normalize", "type": "sentence_transformers.models.Normalize"},
        ]);
        let dense = json!({"in_features": 4, "out_features": 2, "bias": false,
            "activation_function": "torch.nn.modules.linear.Identity"});
        for (name, text) in [("1_Pooling", pooling), ("2_Dense", dense)] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("config.json"), text.to_string()).unwrap();
        }
        fs::write(dir.path().join("modules.json"), modules.to_string()).unwrap();
        fs::write(dir.path().join("sentence_bert_config.json"), r#"{"max_seq_length": 128}"#).unwrap();
        write_tensors(&dir.path().join("2_Dense/model.safetensors"), &[("linear.weight", vec![2, 4], vec![0.5; 8])]);
        (Checkpoint::open(dir.path()), dir)
    };
    let cases = [
        (json!({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}), Pooling::Mean),
        (json!({"pooling_mode_cls_token": true}), Pooling::First),
        (json!({"pooling_mode_lasttoken": true}), Pooling::Last),
        (json!({"pooling_mode": "mean"}), Pooling::Mean),
    ];
    for (config, pooling) in cases {
        let (opened, _dir) = folder(config);
        let opened = opened.unwrap();
        assert_eq!(opened.max_seq_length, Some(128));
        assert_eq!(opened.modules[1], Module::Pooling(pooling));
        assert!(matches!(opened.modules[2], Module::Dense { out_features: 2, activation: Activation::Identity, .. }));
        assert_eq!(opened.modules[3], Module::Normalize);
        assert_eq!(opened.tensor("2_Dense/linear.weight").unwrap().shape, [2, 4]);
    }
    for config in [
        json!({"pooling_mode_max_tokens": true}),
        json!({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true}),
    ] {
        let (opened, _dir) = folder(config);
        assert!(message(opened).contains("1_Pooling/config.json"));
    }
}

#[test]
fn prompts_of_sentence_transformers_are_read_or_refused() {
    let dir = checkpoint(&json!({}), &[]);
    let opened = |prompts: serde_json::Value| {
        fs::write(dir.path().join("config_sentence_transformers.json"), prompts.to_string()).unwrap();
        Checkpoint::open(dir.path()).map(|checkpoint| checkpoint.prompts)
    };
    let prompts =
        opened(json!({"prompts": {"query": "query: ", "passage": ""}, "default_prompt_name": "query"})).unwrap();
    let text = |name: Option<&str>| prompts.choose(name).unwrap().map(|(_, text)| text.as_str());
    assert_eq!((text(None), text(Some("passage")), text(Some(""))), (Some("query: "), Some(""), None));
    assert!(message(prompts.choose(Some("document"))).contains("document"));
    assert_eq!(prompts.encoded(), "query\0passage\0\0query\0query: \0");
    assert_eq!(opened(json!({"prompts": {}, "default_prompt_name": null})).unwrap().encoded(), "");
    assert!(message(opened(json!({"prompts": {"query": 1}}))).contains("`prompts`"));
    assert!(message(opened(json!({"prompts": {}, "default_prompt_name": "query"}))).contains("`default_prompt_name`"));

    let modules = json!([{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]);
    fs::create_dir(dir.path().join("1_Pooling")).unwrap();
    fs::write(dir.path().join("modules.json"), modules.to_string()).unwrap();
    let pooling = json!({"pooling_mode_mean_tokens": true, "include_prompt": false});
    fs::write(dir.path().join("1_Pooling/config.json"), pooling.to_string()).unwrap();
    assert!(message(opened(json!({"prompts": {"query": "query: "}}))).contains("include_prompt"));
    assert!(opened(json!({"prompts": {"query": ""}})).is_ok());
}

#[test]
fn a_module_that_is_not_implemented_is_refused_by_type() {
    let dir = checkpoint(&json!({}), &[]);
    for (entry, expected) in [
        (json!({"path": "1_LSTM", "type": "sentence_transformers.models.LSTM"}), "models.LSTM"),
        (json!({"path": "../up", "type": "sentence_transformers.models.Dense"}), "../up"),
    ] {
        fs::write(dir.path().join("modules.json"), json!([entry]).to_string()).unwrap();
        assert!(message(Checkpoint::open(dir.path())).contains(expected));
    }
}
