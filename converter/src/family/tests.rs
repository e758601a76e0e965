use std::fs;

use kinglet::format::layout::{BlockPart, HeadPart, Stack, StackPart};
use kinglet::format::spec::{Activation, AttentionPosition, Direction, NormKind, OutputProjection, Pooling, Residual};
use serde_json::{Value as Json, json};

use super::*;
use crate::testing::{checkpoint, tiny_bert, tiny_llama};

fn map_with(config: &Json, options: &Options) -> Result<Mapping> {
    let dir = checkpoint(config, &[]);
    map(&Checkpoint::open(dir.path()).unwrap(), options)
}

fn mapped(config: &Json) -> Mapping {
    map_with(config, &Options::default()).unwrap()
}

/// A copy of a configuration with some keys changed; null removes a key.
fn with(mut config: Json, changes: &Json) -> Json {
    let keys = config.as_object_mut().unwrap();
    for (key, value) in changes.as_object().unwrap() {
        keys.insert(key.clone(), value.clone());
    }
    config
}

#[test]
fn llama_is_what_its_configuration_says() {
    let mapping = mapped(&tiny_llama());
    let stack = mapping.spec.decoder.unwrap();
    assert!(mapping.spec.encoder.is_none());
    assert_eq!((stack.hidden_size, stack.num_hidden_layers, stack.max_positions), (8, 2, 16));
    let attention = &stack.block.attention;
    assert_eq!((attention.num_attention_heads, attention.num_key_value_heads, attention.head_dim), (2, 1, 4));
    assert_eq!(attention.position, AttentionPosition::Rotary { dims: 4, local: false, layers: 0b11 });
    let scale = crate::fixed::real(attention.scale);
    assert!((scale - core::f64::consts::LOG2_E / 2.0).abs() < 1e-9);
    assert_eq!(stack.block.norm.kind, NormKind::Rms);
    assert_eq!(stack.block.norm.epsilon, (8e-5 * 2f64.powi(48)).round() as u64);
    assert_eq!(stack.block.residual, Residual::PreNorm);
    assert_eq!(stack.block.feed_forward.activation, Activation::Silu);
    assert!(stack.block.feed_forward.gated && !stack.block.feed_forward.bias && stack.final_norm.is_some());
    assert_eq!((mapping.spec.head.task, mapping.spec.head.output), (Task::CausalLm, OutputProjection::Tied));
    assert_eq!((mapping.special.bos, mapping.special.eos), (Some(1), vec![2, 3]));
    assert_eq!(mapping.spec.numerics.tile, 1);
}

#[test]
fn both_spellings_of_rotary_positions_are_read() {
    let theta = |config: &Json| match &mapped(config).sources[&Role::Stack(Stack::Decoder, StackPart::Rotary)].weight {
        Value::Rotary(rotation) => rotation.theta,
        other => panic!("not a rotary table but {other:?}"),
    };
    assert_eq!(theta(&tiny_llama()), 10_000.0);
    assert_eq!(theta(&with(tiny_llama(), &json!({"rope_theta": 500.0, "rope_scaling": null}))), 500.0);
    let new = json!({"rope_parameters": {"rope_theta": 700.0, "rope_type": "default"}});
    assert_eq!(theta(&with(tiny_llama(), &new)), 700.0);
}

/// A decoder with a short convolution in its first layer.
fn short() -> Json {
    with(tiny_llama(), &json!({"model_type": "lfm2", "architectures": ["Lfm2ForCausalLM"], "full_attn_idxs": [1]}))
}

#[test]
fn the_width_of_a_network_may_be_derived() {
    let width =
        |changes: Json| mapped(&with(short(), &changes)).spec.decoder.unwrap().block.feed_forward.intermediate_size;
    // The keys of LFM2-350M.
    assert_eq!(width(json!({"block_ff_dim": 6656, "block_multiple_of": 256, "block_ffn_dim_multiplier": 1.0})), 4608);
    assert_eq!(width(json!({"block_ff_dim": 6656, "block_ffn_dim_multiplier": null})), 4437);
    assert_eq!(
        width(json!({"intermediate_size": 6656, "block_multiple_of": 10, "block_ffn_dim_multiplier": 1.3})),
        5770
    );
    assert_eq!(width(json!({"intermediate_size": 6656, "block_auto_adjust_ff_dim": false})), 6656);
}

#[test]
fn what_is_not_implemented_is_refused_by_name() {
    let cases = [
        (tiny_llama(), json!({"rope_scaling": {"type": "mrope"}}), "`rope_scaling.type` = \"mrope\""),
        (tiny_llama(), json!({"rope_parameters": {"rope_type": "llama3"}}), "`rope_parameters.factor`"),
        (
            tiny_llama(),
            json!({"rope_parameters": {"rope_type": "longrope", "original_max_position_embeddings": 9, "short_factor": [1, 2], "long_factor": [2, 3]}}),
            "--max-tokens 9",
        ),
        (
            tiny_bert(),
            json!({"model_type": "nomic_bert", "rope_parameters": {"rope_type": "yarn", "factor": 4.0}}),
            "`rope_parameters.rope_type`",
        ),
        (tiny_llama(), json!({"hidden_act": "mish"}), "`hidden_act` = \"mish\""),
        (short(), json!({"conv_L_cache": 16}), "`conv_L_cache` = 16"),
        (
            short(),
            json!({"layer_types": ["conv", "sliding_attention"]}),
            "`layer_types` = [\"conv\",\"sliding_attention\"]",
        ),
        (short(), json!({"full_attn_idxs": [true]}), "`full_attn_idxs` = [true]"),
        (short(), json!({"block_ffn_dim_multiplier": 0}), "`block_ffn_dim_multiplier` = 0"),
        (tiny_llama(), json!({"model_type": "rwkv"}), "`model_type` = \"rwkv\""),
        (tiny_llama(), json!({"architectures": ["LlamaForImages"]}), "LlamaForImages"),
        (tiny_llama(), json!({"architectures": null}), "architectures"),
        (tiny_llama(), json!({"quantization_config": {"bits": 4}}), "quantization_config"),
        (tiny_llama(), json!({"num_attention_heads": 3}), "3 heads"),
        (tiny_llama(), json!({"num_key_value_heads": 3}), "num_key_value_heads"),
        (tiny_llama(), json!({"is_causal": false}), "`is_causal` = false"),
        (tiny_llama(), json!({"vocab_size": null}), "vocab_size"),
        (tiny_llama(), json!({"tie_word_embeddings": false}), "lm_head.weight"),
        (tiny_bert(), json!({"position_embedding_type": "relative_key"}), "position_embedding_type"),
        (tiny_bert(), json!({"is_decoder": true}), "is_decoder"),
        (
            tiny_bert(),
            json!({"problem_type": "ranking", "architectures": ["BertForSequenceClassification"]}),
            "ranking",
        ),
    ];
    for (config, change, wanted) in cases {
        let error = format!("{:#}", map_with(&with(config, &change), &Options::default()).unwrap_err());
        assert!(error.contains(wanted), "{change} gives: {error}");
        assert!(error.contains('\n'), "no word of what to do: {error}");
    }
}

#[test]
fn a_key_that_the_caller_vouches_for_is_ignored() {
    let options = Options { ignored_keys: vec!["is_causal".to_owned()], ..Options::default() };
    assert!(map_with(&with(tiny_llama(), &json!({"is_causal": false})), &options).is_ok());
}

#[test]
fn a_key_that_nothing_reads_is_named_in_a_note() {
    let plain = mapped(&tiny_llama());
    let mapping = mapped(&with(tiny_llama(), &json!({"padding_idx": 0, "logit_scale": 0.5, "torchscript": true})));
    assert_eq!((mapping.spec, &mapping.sources), (plain.spec, &plain.sources));
    let [note] = &mapping.notes[..] else { panic!("{:?}", mapping.notes) };
    assert!(note.contains("`logit_scale`, `padding_idx`") && note.contains("llama"), "{note}");
    assert!(plain.notes.is_empty());
}

#[test]
fn the_head_is_what_architectures_says() {
    let head = |name: &str| mapped(&with(tiny_bert(), &json!({"architectures": [name]}))).spec.head;
    let cases = [
        ("BertModel", Task::Hidden, Pooling::None, OutputProjection::None, 0),
        ("BertForMaskedLM", Task::MaskedLm, Pooling::None, OutputProjection::Tied, 11),
        ("BertForPreTraining", Task::MaskedLm, Pooling::None, OutputProjection::Tied, 11),
        ("BertForSequenceClassification", Task::Classification, Pooling::First, OutputProjection::Own, 2),
        ("BertForTokenClassification", Task::TokenClassification, Pooling::None, OutputProjection::Own, 2),
        ("BertForQuestionAnswering", Task::QuestionAnswering, Pooling::None, OutputProjection::Own, 2),
        ("BertForNextSentencePrediction", Task::Classification, Pooling::First, OutputProjection::Own, 2),
        ("BertForMultipleChoice", Task::Regression, Pooling::First, OutputProjection::Own, 1),
    ];
    for (name, task, pooling, output, outputs) in cases {
        let head = head(name);
        assert_eq!(
            (head.task, head.pooling, head.output, head.num_outputs),
            (task, pooling, output, outputs),
            "{name}"
        );
    }
}

#[test]
fn a_cross_encoder_gives_a_number_or_a_probability_as_its_configuration_says() {
    let cross = json!({"architectures": ["BertForSequenceClassification"], "id2label": {"0": "LABEL_0"}});
    let said = |change: Json| map_with(&with(with(tiny_bert(), &cross), &change), &Options::default());
    let own = |name: &str| json!({"sentence_transformers": {"activation_fn": name, "version": "5.0"}});
    let old = |name: &str| json!({"sbert_ce_default_activation_function": name});
    for (change, task) in [
        (json!({}), Task::Regression),
        (own("torch.nn.modules.linear.Identity"), Task::Regression),
        (own("torch.nn.modules.activation.Sigmoid"), Task::MultiLabelClassification),
        (old("torch.nn.modules.activation.Sigmoid"), Task::MultiLabelClassification),
        (json!({"problem_type": "regression"}), Task::Regression),
    ] {
        assert_eq!(said(change.clone()).unwrap().spec.head.task, task, "{change}");
    }
    let error = format!("{:#}", said(own("torch.nn.modules.activation.Tanh")).unwrap_err());
    assert!(error.contains("`activation_fn` = \"Tanh\"") && error.contains('\n'), "{error}");
}

#[test]
fn weights_that_another_program_quantized_are_refused_by_its_name() {
    for (said, method) in [
        (json!({"quant_method": "gptq", "bits": 4}), "gptq"),
        (json!({"quant_method": "awq"}), "awq"),
        (json!({"load_in_8bit": true}), "bitsandbytes"),
    ] {
        let error =
            map_with(&with(tiny_llama(), &json!({"quantization_config": said})), &Options::default()).unwrap_err();
        assert!(error.to_string().contains(&format!("quantized by {method}")), "{error}");
        assert!(error.to_string().contains("convert the checkpoint that it was made from"), "{error}");
    }
    let packed = ("model.layers.0.mlp.up_proj.qweight", vec![1], vec![0.0]);
    let dir = checkpoint(&tiny_llama(), &[packed]);
    let error = map(&Checkpoint::open(dir.path()).unwrap(), &Options::default()).unwrap_err();
    assert!(error.to_string().contains("up_proj.qweight`"), "{error}");
}

#[test]
fn labels_come_in_the_order_of_their_ids() {
    let map: serde_json::Map<String, Json> = (0..12).map(|id| (id.to_string(), json!(format!("label {id}")))).collect();
    let classifier = json!({"architectures": ["BertForSequenceClassification"], "id2label": map});
    let mapping = mapped(&with(tiny_bert(), &classifier));
    assert_eq!(mapping.labels[2], "label 2");
    assert_eq!(mapping.labels[11], "label 11");

    let task = |change: Json| {
        let config = with(tiny_bert(), &json!({"architectures": ["BertForSequenceClassification"]}));
        mapped(&with(config, &change)).spec.head.task
    };
    assert_eq!(task(json!({"id2label": {"0": "score"}})), Task::Regression);
    assert_eq!(task(json!({"problem_type": "regression"})), Task::Regression);
    assert_eq!(task(json!({"problem_type": "multi_label_classification"})), Task::MultiLabelClassification);
}

#[test]
fn max_tokens_shortens_tables_and_lengthens_only_computed_ones() {
    let positions = |config: &Json, max_tokens| {
        let options = Options { max_tokens: Some(max_tokens), ..Options::default() };
        map_with(config, &options).map(|mapping| mapping.spec.last_stack().unwrap().max_positions)
    };
    assert_eq!(positions(&tiny_llama(), 5).unwrap(), 5);
    assert_eq!(positions(&tiny_llama(), 100).unwrap(), 100);
    assert_eq!(positions(&tiny_bert(), 5).unwrap(), 5);
    assert!(positions(&tiny_bert(), 17).unwrap_err().to_string().contains("positions for 16"));
}

#[test]
fn modules_make_an_embedding() {
    let dir = checkpoint(&tiny_bert(), &[]);
    let modules = json!([
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]);
    fs::create_dir(dir.path().join("1_Pooling")).unwrap();
    fs::write(dir.path().join("1_Pooling/config.json"), r#"{"pooling_mode_cls_token": true}"#).unwrap();
    fs::write(dir.path().join("modules.json"), modules.to_string()).unwrap();
    fs::write(dir.path().join("sentence_bert_config.json"), r#"{"max_seq_length": 9}"#).unwrap();
    let opened = Checkpoint::open(dir.path()).unwrap();
    let mapping = map(&opened, &Options::default()).unwrap();
    assert_eq!((mapping.spec.head.task, mapping.spec.head.pooling), (Task::Embedding, Pooling::First));
    assert!(mapping.spec.head.normalize);
    assert_eq!(mapping.spec.encoder.unwrap().max_positions, 9);
    let hidden = map(&opened, &Options { task: Some(Task::Hidden), ..Options::default() }).unwrap();
    assert_eq!((hidden.spec.head.task, hidden.spec.encoder.unwrap().max_positions), (Task::Hidden, 16));
}

#[test]
fn static_embeddings_are_an_encoder_without_layers() {
    let config = json!({"model_type": "model2vec", "architectures": ["StaticModel"], "normalize": true, "seq_length": 1_000_000});
    let table = ("embeddings", vec![5, 2], vec![0.5; 10]);
    let read = |config: &Json, tensors: &[_]| {
        let dir = checkpoint(config, tensors);
        let opened = Checkpoint::open(dir.path()).unwrap();
        let mapping = map(&opened, &Options::default())?;
        crate::weights::Weights::read(&opened, &mapping)?;
        Ok::<_, anyhow::Error>(mapping.spec)
    };
    let spec = read(&config, core::slice::from_ref(&table)).unwrap();
    let encoder = spec.encoder.unwrap();
    assert_eq!((encoder.num_hidden_layers, encoder.embedding.vocab_size, encoder.hidden_size), (0, 5, 2));
    assert_eq!((spec.head.task, spec.head.pooling, spec.head.normalize), (Task::Embedding, Pooling::Mean, true));
    let plain = with(config.clone(), &json!({"normalize": false}));
    assert!(!read(&plain, core::slice::from_ref(&table)).unwrap().head.normalize);
    let weighted = [table.clone(), ("weights", vec![5], vec![1.0; 5])];
    assert!(read(&config, &weighted).unwrap_err().to_string().contains("`weights`"));
    assert!(read(&config, &[]).unwrap_err().to_string().contains("`embeddings`"));
    let last = with(config, &json!({"pooling": "last"}));
    assert!(read(&last, &[table]).unwrap_err().to_string().contains("`pooling`"));
}

#[test]
fn gpt2_takes_its_fused_and_transposed_projection_apart() {
    let config = json!({
        "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 8, "n_layer": 3, "n_head": 2,
        "n_positions": 16, "vocab_size": 11, "scale_attn_by_inverse_layer_idx": true
    });
    let mapping = mapped(&config);
    let pick = |block, part| match &mapping.sources[&Role::Block(Stack::Decoder, block, part)].weight {
        Value::Tensor(pick) => pick.clone(),
        other => panic!("not a tensor but {other:?}"),
    };
    let (query, key) = (pick(1, BlockPart::Query), pick(1, BlockPart::Key));
    assert_eq!(query.names, ["transformer.h.1.attn.c_attn.weight", "h.1.attn.c_attn.weight"]);
    assert_eq!((query.rows, key.rows), (Some((0..8).collect()), Some((8..16).collect())));
    assert!(query.transposed && pick(2, BlockPart::Up).transposed);
    assert_eq!((query.factor, key.factor), (0.5, 1.0));
    assert_eq!(mapping.spec.decoder.unwrap().block.feed_forward.intermediate_size, 32);
}

#[test]
fn the_mask_token_is_found_by_its_text() {
    let config = with(tiny_bert(), &json!({"architectures": ["BertForMaskedLM"]}));
    let dir = checkpoint(&config, &[]);
    let tokenizer = json!({"added_tokens": [{"id": 1, "content": "[PAD]"}, {"id": 7, "content": "[MASK]"}]});
    fs::write(dir.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    fs::write(dir.path().join("special_tokens_map.json"), r#"{"mask_token": {"content": "[MASK]"}}"#).unwrap();
    let generation = json!({"eos_token_id": [4, 5]});
    fs::write(dir.path().join("generation_config.json"), generation.to_string()).unwrap();
    let mapping = map(&Checkpoint::open(dir.path()).unwrap(), &Options::default()).unwrap();
    assert_eq!(mapping.special.mask, Some(7));
    assert_eq!(mapping.special.pad, Some(0));
    assert_eq!(mapping.special.eos, [4, 5]);
    assert!(mapping.sources.contains_key(&Role::Head(HeadPart::OutputBias)));
}

#[test]
fn a_classifier_reads_the_last_token_that_the_configuration_does_not_call_padding() {
    let pooling = |changes: &Json| {
        let labels = json!({"architectures": ["LlamaForSequenceClassification"], "num_labels": 3});
        let config = with(with(tiny_llama(), &labels), changes);
        mapped(&config).spec.head.pooling
    };
    assert_eq!(pooling(&json!({"pad_token_id": 4})), Pooling::LastExcept(4));
    assert_eq!(pooling(&json!({"pad_token_id": 0})), Pooling::LastExcept(0));
    // No padding token, or one that never occurs.
    for none in [json!({}), json!({"pad_token_id": null}), json!({"pad_token_id": -1}), json!({"pad_token_id": 11})] {
        assert_eq!(pooling(&none), Pooling::Last, "{none}");
    }
}

#[test]
fn the_folder_says_which_way_a_checkpoint_reads() {
    let direction = |file: Option<&str>, asked: Option<Direction>| {
        let dir = checkpoint(&tiny_llama(), &[]);
        file.into_iter().for_each(|text| fs::write(dir.path().join(direction::FILE), text).unwrap());
        let options = Options { direction: asked, ..Options::default() };
        map(&Checkpoint::open(dir.path()).unwrap(), &options).map(|mapping| mapping.spec.direction)
    };
    let (forward, backward) = (Some(r#"{"direction": "forward"}"#), Some(r#"{"direction": "backward"}"#));
    assert_eq!(direction(None, None).unwrap(), Direction::Forward);
    assert_eq!(direction(None, Some(Direction::Backward)).unwrap(), Direction::Backward);
    assert_eq!(direction(backward, None).unwrap(), Direction::Backward);
    assert_eq!(direction(backward, Some(Direction::Backward)).unwrap(), Direction::Backward);
    assert_eq!(direction(forward, None).unwrap(), Direction::Forward);
    let refused = |file, asked, wanted: &str| {
        let error = format!("{:#}", direction(file, asked).unwrap_err());
        assert!(error.contains(wanted) && error.contains('\n'), "{error}");
    };
    refused(backward, Some(Direction::Forward), "direction forward was asked for");
    refused(forward, Some(Direction::Backward), "says forward");
    refused(Some(r#"{"direction": "up"}"#), None, "\"up\"");
    refused(Some("[]"), None, "kinglet.json is []");
    refused(Some("{}"), None, "kinglet.json is {}");
    refused(Some(r#"{"direction": "forward", "speed": 3}"#), None, "`speed`");
}
