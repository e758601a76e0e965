//! Small checkpoints on disk and small models in memory, which the tests of this crate share.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use kinglet::format::layout::{Shape, roles};
use kinglet::format::spec::{ModelSpec, Multiplier};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tables;
use crate::weights::{Tensor, Weights, tabulated};

/// A tensor to write: name, shape, values.
pub(crate) type Stored<'a> = (&'a str, Vec<usize>, Vec<f32>);

/// Writes `F32` tensors to a file.
pub(crate) fn write_tensors(path: &Path, tensors: &[Stored<'_>]) {
    let bytes = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let data: Vec<_> = tensors.iter().map(|(name, shape, values)| (*name, shape.clone(), bytes(values))).collect();
    let views = data.iter().map(|(name, shape, bytes)| {
        (name.to_string(), TensorView::new(Dtype::F32, shape.clone(), bytes).expect("shape and values agree"))
    });
    fs::write(path, safetensors::serialize(views, None).expect("the tensors can be written")).expect("disk");
}

/// A checkpoint in a temporary folder.
pub(crate) fn checkpoint(config: &Value, tensors: &[Stored<'_>]) -> TempDir {
    let dir = tempfile::tempdir().expect("disk");
    fs::write(dir.path().join("config.json"), config.to_string()).expect("disk");
    write_tensors(&dir.path().join("model.safetensors"), tensors);
    dir
}

/// The configuration of a Llama with a few hundred weights.
pub(crate) fn tiny_llama() -> Value {
    json!({
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 8, "intermediate_size": 12,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 11,
        "max_position_embeddings": 16, "rms_norm_eps": 1e-5, "tie_word_embeddings": true, "bos_token_id": 1,
        "eos_token_id": [2, 3], "torch_dtype": "float32"
    })
}

/// The configuration of a BERT with a few hundred weights.
pub(crate) fn tiny_bert() -> Value {
    json!({
        "model_type": "bert", "architectures": ["BertModel"], "hidden_size": 8, "intermediate_size": 12,
        "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 11, "max_position_embeddings": 16,
        "layer_norm_eps": 1e-12, "hidden_act": "gelu", "type_vocab_size": 2, "pad_token_id": 0
    })
}

/// Pseudorandom numbers between -1 and 1.
pub(crate) fn random(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Weights for any specification: learned tensors are random, tables are exact.
pub(crate) fn random_weights(spec: &ModelSpec, seed: u64) -> Weights {
    let mut next = random(seed);
    let mut some =
        |len: usize, scale: f32, offset: f32| (0..len).map(|_| next() * scale + offset).collect::<Vec<f32>>();
    let tensors = roles(spec).map(|(role, shape)| {
        let tensor = match shape {
            Shape::Matrix { rows, cols, bias, .. } => Tensor {
                weight: some(rows * cols, 1.5 / (cols as f32).sqrt(), 0.0),
                bias: some(if bias { rows } else { 0 }, 0.3, 0.0),
            },
            Shape::Norm { size, bias, .. } => {
                Tensor { weight: some(size, 0.3, 1.0), bias: some(if bias { size } else { 0 }, 0.3, 0.0) }
            }
            Shape::Words { len } => Tensor { weight: some(len, 1.0, 0.0), bias: Vec::new() },
            Shape::Halfwords { len } => Tensor {
                weight: match tabulated(spec, role) {
                    Some(kind) => tables::activation_table(kind),
                    // The cosine and sine of an angle.
                    None => (0..len / 2).flat_map(|i| [(i as f32).cos(), (i as f32).sin()]).collect(),
                },
                bias: Vec::new(),
            },
        };
        (role, tensor)
    });
    Weights::new(spec, tensors.collect::<BTreeMap<_, _>>()).expect("every role is there")
}

/// The multiplier 1.
pub(crate) const ONE: Multiplier = Multiplier { mantissa: 1 << 30, exponent: 30 };
