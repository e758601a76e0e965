//! Tests of single configuration keys: missing, with another value, or of another family. The
//! expected results were computed with `transformers` by `tests/golden/variants.py`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kinglet_convert::checkpoint::Checkpoint;
use kinglet_convert::config::Config;
use kinglet_convert::family::{self, Mapping};
use kinglet_convert::reference::Reference;
use kinglet_convert::weights::Weights;
use kinglet_tests::{Golden, golden_cases};
use serde_json::{Map, Value};

/// The tolerance for sums over results, relative to the largest.
const TOLERANCE: f64 = 5e-5;

fn table(name: &str) -> Map<String, Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    let text = std::fs::read_to_string(&path).expect("the file is part of the project");
    serde_json::from_str(&text).expect("an object")
}

fn configuration(case: &Golden) -> Map<String, Value> {
    let text = std::fs::read_to_string(case.folder.join("config.json")).expect("config.json");
    serde_json::from_str(&text).expect("an object")
}

/// The cases of `variants.py`, with its results.
fn cases(name: &str) -> Vec<(Golden, Value)> {
    let mut found = table(name);
    let cases: Vec<_> =
        golden_cases().into_iter().filter_map(|case| found.remove(&case.name).map(|found| (case, found))).collect();
    assert!(found.is_empty() && cases.len() > 90, "{name} is not of these golden folders: {:?}", found.keys());
    cases
}

fn open(case: &Golden) -> Checkpoint {
    Checkpoint::open(&case.folder).expect("the folder is there")
}

/// The mapping of a checkpoint with another configuration.
fn mapped(checkpoint: &mut Checkpoint, case: &Golden, config: Map<String, Value>) -> Result<Mapping, String> {
    checkpoint.config = Config::new(Value::Object(config)).expect("an object");
    family::map(checkpoint, &case.options()).map_err(|error| format!("{error:#}"))
}

/// A mapping's specification and sources as text, for comparison.
fn said(mapping: &Mapping) -> (String, String) {
    let Mapping { spec, sources, labels, special, .. } = mapping;
    (format!("{spec:?} {labels:?} {special:?}"), format!("{sources:?}"))
}

#[test]
fn a_key_that_is_left_out_has_the_value_that_transformers_gives_it() {
    let (mut mapped_twice, mut wrong) = (0, Vec::new());
    for (case, found) in cases("absent.json") {
        let config = configuration(&case);
        let mut checkpoint = open(&case);
        let whole = found["whole"].as_object().expect("an object");
        for (key, change) in found["without"].as_object().expect("an object") {
            let Some(change) = change.as_object() else { continue };
            let mut absent = config.clone();
            absent.remove(key);
            let mut explicit = whole.clone();
            for (key, value) in change {
                explicit.insert(key.clone(), value.clone());
            }
            match (mapped(&mut checkpoint, &case, absent), mapped(&mut checkpoint, &case, explicit)) {
                (Ok(absent), Ok(explicit)) => {
                    mapped_twice += 1;
                    let (absent, explicit) = (said(&absent), said(&explicit));
                    if absent != explicit {
                        let part = if absent.0 == explicit.0 { (absent.1, explicit.1) } else { (absent.0, explicit.0) };
                        let at =
                            part.0.bytes().zip(part.1.bytes()).take_while(|(a, b)| a == b).count().saturating_sub(60);
                        let show = |text: &str| text.chars().skip(at).take(160).collect::<String>();
                        wrong.push(format!("{} without {key}:\n  {}\n  {}", case.name, show(&part.0), show(&part.1)));
                    }
                }
                (Err(_), Err(_)) => {}
                (Ok(_), Err(error)) => {
                    wrong.push(format!("{} without {key}, only the value is refused: {error}", case.name))
                }
                (Err(error), Ok(_)) => {
                    wrong.push(format!("{} without {key}, only the lack is refused: {error}", case.name))
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {mapped_twice}\n{}", wrong.len(), wrong.join("\n"));
    assert!(mapped_twice > 1000, "only {mapped_twice} keys were left out");
}

/// Weighted sums over all results, as `variants.py` computes them.
fn fingerprint(values: &[f32]) -> Vec<f64> {
    let sum = |k: u32| -> f64 {
        let terms = values.iter().enumerate().map(|(at, x)| f64::from(*x) * (f64::from(k) * (at + 1) as f64).cos());
        terms.sum::<f64>() / (values.len() as f64).sqrt()
    };
    (1..=8).map(sum).collect()
}

fn computed(case: &Golden, config: Map<String, Value>) -> Result<Vec<f64>, String> {
    let mut checkpoint = open(case);
    checkpoint.config = Config::new(Value::Object(config)).expect("an object");
    let run = || {
        let mapping = family::map(&checkpoint, &case.options())?;
        let weights = Weights::read(&checkpoint, &mapping)?;
        let input = case.inputs.last().expect("an input");
        let mut reference = Reference::new(&mapping.spec, &weights);
        reference.forward(&input.ids, &input.token_types, &input.decoder_ids)
    };
    run().map(|rows| fingerprint(&rows.values)).map_err(|error| format!("{error:#}"))
}

#[test]
fn another_value_of_a_key_is_computed_with_or_refused_by_name() {
    let mut counts = BTreeMap::<&str, u32>::new();
    let mut wrong = Vec::new();
    for (case, found) in cases("altered.json") {
        let config = configuration(&case);
        let listed = found.as_array().expect("a list");
        let unchanged = &listed[0]["result"];
        for change in listed {
            let set = change["set"].as_object().expect("an object");
            let result = if change["result"] == "same" { unchanged } else { &change["result"] };
            let mut config = config.clone();
            config.extend(set.clone());
            let what = format!("{} with {}", case.name, change["set"]);
            let input = case.inputs.last().expect("an input");
            let pads = set.iter().filter(|(key, _)| key.starts_with("pad_")).filter_map(|(_, id)| id.as_u64());
            let is_inside = |id: u64| input.ids.iter().any(|other| u64::from(*other) == id);
            if config.get("model_type").is_some_and(|family| family == "xlm") && pads.into_iter().any(is_inside) {
                // Without an attention mask, XLM in `transformers` masks as many of the last tokens
                // as there are padding tokens.
                continue;
            }
            match (computed(&case, config), result.as_array()) {
                (Ok(computed), Some(expected)) => {
                    *counts.entry("computed").or_default() += 1;
                    let expected: Vec<f64> = expected.iter().filter_map(Value::as_f64).collect();
                    let largest = expected.iter().fold(1.0, |most: f64, x| most.max(x.abs()));
                    let off = computed.iter().zip(&expected).fold(0.0, |most: f64, (a, b)| most.max((a - b).abs()));
                    if off > TOLERANCE * largest || expected.len() != 8 {
                        wrong.push(format!("{what}: off by {off} of {largest}"));
                    }
                }
                (Err(error), Some(_)) => {
                    *counts.entry("refused").or_default() += 1;
                    // A wrong number of layers is detected by the tensors, a text that is too long
                    // by its length.
                    let effects = ["tensor", "tokens, but this model takes"];
                    let named = set.keys().map(String::as_str).chain(effects).any(|name| error.contains(name));
                    if !named {
                        wrong.push(format!("{what} is refused without its name: {error}"));
                    }
                }
                (Err(_), None) => *counts.entry("refused by both").or_default() += 1,
                // A stored table of positions may be longer than the used part.
                (Ok(_), None) if result == "misfit" && !set.keys().any(|key| key.contains("position")) => {
                    wrong.push(format!("{what} does not fit the tensors"));
                }
                // `transformers` fails here, so there is no expected result.
                (Ok(_), None) => *counts.entry("only here").or_default() += 1,
            }
        }
    }
    assert!(wrong.is_empty(), "{counts:?}, {} wrong\n{}", wrong.len(), wrong.join("\n"));
    assert!(counts["computed"] > 1500, "{counts:?}");
    println!("{counts:?}");
}

/// Keys of configurations whose models carry code of their own, or are made of two: the folder, what
/// is set, and what the error must name.
const REFUSED: &[(&str, &str, &str)] = &[
    ("jina_bert", r#"{"feed_forward_type": "glu"}"#, "feed_forward_type"),
    ("jina_bert", r#"{"is_decoder": true}"#, "is_decoder"),
    ("jina_bert", r#"{"add_cross_attention": true}"#, "add_cross_attention"),
    ("jina_bert", r#"{"position_embedding_type": "relative_key"}"#, "position_embedding_type"),
    ("jina_bert_masked", r#"{"hidden_act": "mish"}"#, "hidden_act"),
    ("hub_colbert", r#"{"position_embedding_type": "relative_key_query"}"#, "position_embedding_type"),
    ("hub_colbert", r#"{"is_decoder": true}"#, "is_decoder"),
    ("gte_new", r#"{"position_embedding_type": "absolute"}"#, "position_embedding_type"),
    ("gte_new", r#"{"layer_norm_type": "rms_norm"}"#, "layer_norm_type"),
    ("gte_new", r#"{"pack_qkv": false}"#, "pack_qkv"),
    ("gte_new", r#"{"logn_attention_scale": true}"#, "logn_attention_scale"),
    ("gte_new", r#"{"rope_scaling": {"type": "linear", "factor": 2.0}}"#, "rope_scaling.type"),
    ("gte_new", r#"{"rope_scaling": {"type": "ntk", "factor": 2.0, "mixed_b": 0.3}}"#, "rope_scaling.mixed_b"),
    ("gte_new", r#"{"is_decoder": true}"#, "is_decoder"),
    ("static_embedding_model2vec", r#"{"embedding_weights": "sif"}"#, "embedding_weights"),
    ("static_embedding_model2vec", r#"{"mapping": [0]}"#, "mapping"),
    ("static_embedding_model2vec", r#"{"vocabulary_quantization": 100}"#, "vocabulary_quantization"),
    ("static_embedding_model2vec", r#"{"pooling": "last"}"#, "pooling"),
    ("encoder_decoder", r#"{"tie_encoder_decoder": true}"#, "tie_encoder_decoder"),
    ("encoder_decoder", r#"{"encoder": {"model_type": "whisper"}}"#, "whisper"),
    ("encoder_decoder", r#"{"decoder": {"model_type": "opt"}}"#, "decoder.model_type"),
    ("encoder_decoder", r#"{"decoder": {"model_type": "bert"}}"#, "is_decoder"),
    ("encoder_decoder", r#"{"decoder": {"model_type": "bert", "add_cross_attention": false}}"#, "add_cross_attention"),
    ("encoder_decoder", r#"{"encoder": {"model_type": "bert", "is_decoder": true}}"#, "is_decoder"),
    ("encoder_decoder", r#"{"encoder": {"model_type": "bert", "hidden_act": "mish"}}"#, "hidden_act"),
    ("encoder_decoder", r#"{"encoder": {"model_type": "bert", "hidden_size": 36}}"#, "hidden_size"),
    ("encoder_decoder", r#"{"encoder": {"model_type": "gpt2"}}"#, "encoder.model_type"),
    ("encoder_decoder", r#"{"some_key": 3}"#, "some_key"),
    ("xlnet", r#"{"attn_type": "uni"}"#, "attn_type"),
    ("xlnet", r#"{"bi_data": true}"#, "bi_data"),
    ("xlnet", r#"{"d_head": 4}"#, "d_head"),
    ("xlnet_classifier", r#"{"summary_type": "attn"}"#, "summary_type"),
    ("xmod", r#"{"pre_norm": true}"#, "pre_norm"),
    ("xmod", r#"{"ln_before_adapter": false}"#, "ln_before_adapter"),
    ("xmod", r#"{"adapter_reuse_layer_norm": false}"#, "adapter_reuse_layer_norm"),
    ("xmod", r#"{"adapter_reduction_factor": 0}"#, "adapter_reduction_factor"),
    ("xmod", r#"{"default_language": "xx_XX"}"#, "default_language"),
    ("bert_causal", r#"{"is_decoder": false}"#, "is_decoder"),
    ("bert_causal", r#"{"add_cross_attention": true}"#, "add_cross_attention"),
    ("roberta_causal", r#"{"is_decoder": false}"#, "is_decoder"),
];

#[test]
fn what_is_not_implemented_of_a_model_with_code_of_its_own_is_refused_by_name() {
    let cases = golden_cases();
    let mut wrong = Vec::new();
    for (name, set, key) in REFUSED {
        let case = cases.iter().find(|case| case.name == *name).unwrap_or_else(|| panic!("no {name}"));
        let mut config = configuration(case);
        let set: Map<String, Value> = serde_json::from_str(set).expect("an object");
        for (key, value) in set {
            // Inside of a half, its other keys stay.
            match (config.get_mut(&key).and_then(Value::as_object_mut), value) {
                (Some(half), Value::Object(own)) if own.contains_key("model_type") && own.len() > 1 => half.extend(own),
                (_, value) => drop(config.insert(key, value)),
            }
        }
        match mapped(&mut open(case), case, config) {
            Err(error) if error.contains(key) => {}
            Err(error) => wrong.push(format!("{name} is refused without {key}: {error}")),
            Ok(_) => wrong.push(format!("{name} is mapped for all its {key}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Nomic BERT's first checkpoints have GPT-2's keys, which `transformers` does not read, and code
/// that does.
#[test]
fn the_first_keys_of_nomic_bert_say_what_the_later_ones_do() {
    let cases = golden_cases();
    let case = cases.iter().find(|case| case.name == "nomic_bert").expect("the case");
    let mut checkpoint = open(case);
    let later = configuration(case);
    let mut first = later.clone();
    for (of, key) in [
        ("hidden_size", "n_embd"),
        ("num_hidden_layers", "n_layer"),
        ("num_attention_heads", "n_head"),
        ("intermediate_size", "n_inner"),
        ("max_position_embeddings", "n_positions"),
        ("layer_norm_eps", "layer_norm_epsilon"),
    ] {
        let value = first.remove(of).unwrap_or_else(|| panic!("no {of}"));
        first.insert(key.to_owned(), value);
    }
    for key in ["hidden_act", "head_dim", "rope_parameters"] {
        first.remove(key);
    }
    let own = r#"{"activation_function": "swiglu", "rotary_emb_base": 1000, "rotary_emb_fraction": 1.0,
                  "qkv_proj_bias": false, "mlp_fc1_bias": false, "mlp_fc2_bias": false, "rotary_scaling_factor": null}"#;
    first.extend(serde_json::from_str::<Map<String, Value>>(own).expect("an object"));
    let wanted = mapped(&mut checkpoint, case, later).expect("it is mapped");
    let found = mapped(&mut checkpoint, case, first.clone()).expect("it is mapped");
    assert_eq!(said(&found), said(&wanted));
    for (key, value) in [
        ("activation_function", Value::from("gelu")),
        ("rotary_emb_fraction", 0.5.into()),
        ("rotary_emb_interleaved", true.into()),
        ("rotary_emb_scale_base", 512.into()),
        ("rotary_scaling_factor", 2.into()),
        ("qkv_proj_bias", true.into()),
        ("mlp_fc1_bias", true.into()),
        ("mlp_fc2_bias", true.into()),
        ("prenorm", true.into()),
        ("parallel_block", true.into()),
        ("parallel_block_tied_norm", true.into()),
        ("use_rms_norm", true.into()),
        ("causal", true.into()),
        ("scale_attn_weights", false.into()),
        ("scale_attn_by_inverse_layer_idx", true.into()),
        ("last_layer_subset", true.into()),
        ("n_head", "three".into()),
    ] {
        let mut other = first.clone();
        other.insert(key.to_owned(), value);
        let error = mapped(&mut checkpoint, case, other).expect_err("it is refused");
        assert!(error.contains(key), "{key}: {error}");
    }
    // Left out, some keys have another value in that code than the one that is implemented.
    for key in ["qkv_proj_bias", "mlp_fc1_bias", "mlp_fc2_bias", "rotary_emb_fraction"] {
        let mut other = first.clone();
        other.remove(key);
        let error = mapped(&mut checkpoint, case, other).expect_err("it is refused");
        assert!(error.contains(key), "{key}: {error}");
    }
    let mut turned = first;
    turned.insert("rotary_emb_base".to_owned(), 500.into());
    assert_ne!(said(&mapped(&mut checkpoint, case, turned).expect("it is mapped")), said(&wanted));
}

/// A configuration may contain any additional keys. A key of another family must not change the
/// mapping.
#[test]
fn a_key_that_transformers_does_not_read_changes_nothing() {
    let classes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../converter/src/config/classes.json");
    let classes: Value = serde_json::from_str(&std::fs::read_to_string(classes).expect("the table")).expect("JSON");
    let names = |class: &Value| -> BTreeSet<String> {
        let reads = class["reads"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let aliases = class["aliases"].as_object().into_iter().flatten().map(|(alias, _)| alias.as_str());
        reads.chain(aliases).map(str::to_owned).collect()
    };
    let all: BTreeSet<String> = classes.as_object().expect("an object").values().flat_map(names).collect();
    let (mut seen, mut tried, mut wrong) = (BTreeSet::new(), 0, Vec::new());
    // A StaticEmbedding module of sentence-transformers has no `config.json`.
    for case in golden_cases().into_iter().filter(|case| case.folder.join("config.json").exists()) {
        let config = configuration(&case);
        // If `transformers` has no class for a model, every unknown key is refused.
        if classes.get(config["model_type"].as_str().expect("a model_type")).is_none() {
            continue;
        }
        if !seen.insert((config["model_type"].to_string(), config["architectures"].to_string())) {
            continue;
        }
        let own = names(&classes[config["model_type"].as_str().expect("a model_type")]);
        let mut checkpoint = open(&case);
        let plain = said(&mapped(&mut checkpoint, &case, config.clone()).expect("it is mapped"));
        for key in all.difference(&own).filter(|key| !config.contains_key(*key)) {
            // Special token ids are read for generation, and T5's `n_positions` as the maximum
            // length.
            if key.ends_with("_token_id") || key.ends_with("_index") || key == "n_positions" {
                continue;
            }
            // Older checkpoints of any family have generation options in `config.json`.
            let of_any = ["position_embedding_type", "encoder_no_repeat_ngram_size"];
            for value in [Value::from(3), Value::from(true), Value::from("relu")] {
                let mut config = config.clone();
                config.insert(key.clone(), value.clone());
                tried += 1;
                match mapped(&mut checkpoint, &case, config) {
                    Ok(mapping) if said(&mapping) == plain => {}
                    Err(error) if error.contains(key.as_str()) && of_any.contains(&key.as_str()) => {}
                    Ok(_) => wrong.push(format!("{} changes with `{key}` = {value}", case.name)),
                    Err(error) => wrong.push(format!("{} with `{key}` = {value}: {error}", case.name)),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {tried}\n{}", wrong.len(), wrong.join("\n"));
    assert!(tried > 10_000, "only {tried} keys were tried");
}
