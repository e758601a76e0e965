"""Writes a checkpoint with random weights for speed measurements, with the shape of all-MiniLM-L6-v2 or of llama2.c's 15M and 110M models."""

import argparse
import json
import pathlib

import numpy
from safetensors.numpy import save_file

random = numpy.random.default_rng(0)
tensors = {}


def weights(name, *shape):
    tensors[f"{name}.weight"] = random.normal(0, 0.04, shape).astype(numpy.float32)


def linear_with_bias(name, rows, cols):
    weights(name, rows, cols)
    tensors[f"{name}.bias"] = random.normal(0, 0.04, rows).astype(numpy.float32)


def norm(name, size, bias=False):
    tensors[f"{name}.weight"] = numpy.ones(size, numpy.float32)
    if bias:
        tensors[f"{name}.bias"] = numpy.zeros(size, numpy.float32)


def minilm():
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": 384,
        "intermediate_size": 1536,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "num_attention_heads": 12,
        "num_hidden_layers": 6,
        "pad_token_id": 0,
        "type_vocab_size": 2,
        "vocab_size": 30522,
    }
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    weights("embeddings.word_embeddings", config["vocab_size"], hidden)
    weights("embeddings.position_embeddings", config["max_position_embeddings"], hidden)
    weights("embeddings.token_type_embeddings", config["type_vocab_size"], hidden)
    norm("embeddings.LayerNorm", hidden, bias=True)
    for layer in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}"
        for part in ["self.query", "self.key", "self.value", "output.dense"]:
            linear_with_bias(f"{at}.attention.{part}", hidden, hidden)
        norm(f"{at}.attention.output.LayerNorm", hidden, bias=True)
        linear_with_bias(f"{at}.intermediate.dense", inner, hidden)
        linear_with_bias(f"{at}.output.dense", hidden, inner)
        norm(f"{at}.output.LayerNorm", hidden, bias=True)
    return config


def llama(hidden, inner, layers, heads, positions):
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": inner,
        "max_position_embeddings": positions,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "num_key_value_heads": heads,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "vocab_size": 32000,
    }
    weights("model.embed_tokens", config["vocab_size"], hidden)
    norm("model.norm", hidden)
    for layer in range(layers):
        at = f"model.layers.{layer}"
        for part in ["q_proj", "k_proj", "v_proj", "o_proj"]:
            weights(f"{at}.self_attn.{part}", hidden, hidden)
        weights(f"{at}.mlp.gate_proj", inner, hidden)
        weights(f"{at}.mlp.up_proj", inner, hidden)
        weights(f"{at}.mlp.down_proj", hidden, inner)
        norm(f"{at}.input_layernorm", hidden)
        norm(f"{at}.post_attention_layernorm", hidden)
    return config


shapes = {
    "minilm": minilm,
    "llama-15m": lambda: llama(288, 768, 6, 6, 256),
    "llama-110m": lambda: llama(768, 2048, 12, 12, 1024),
}
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("folder", type=pathlib.Path, help="where config.json and model.safetensors go")
parser.add_argument("--shape", choices=shapes, default="minilm")
arguments = parser.parse_args()
config = shapes[arguments.shape]()
arguments.folder.mkdir(parents=True, exist_ok=True)
(arguments.folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
save_file(tensors, arguments.folder / "model.safetensors", {"format": "pt"})
