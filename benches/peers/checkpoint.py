"""Makes a checkpoint with random weights, for measuring speed and size: of all-MiniLM-L6-v2's shape, of a BERT of two
layers of 128, of TinyStories-1M's, or of llama2.c's models of 15M and 110M."""

import argparse
import json
import pathlib
import shutil

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


def bert(hidden, layers, heads):
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": hidden,
        "intermediate_size": 4 * hidden,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "pad_token_id": 0,
        "type_vocab_size": 2,
        "vocab_size": 30522,
    }
    inner = 4 * hidden
    weights("embeddings.word_embeddings", config["vocab_size"], hidden)
    weights("embeddings.position_embeddings", config["max_position_embeddings"], hidden)
    weights("embeddings.token_type_embeddings", config["type_vocab_size"], hidden)
    norm("embeddings.LayerNorm", hidden, bias=True)
    for layer in range(layers):
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


def gpt_neo(hidden, layers, heads):
    config = {
        "architectures": ["GPTNeoForCausalLM"],
        "model_type": "gpt_neo",
        "activation_function": "gelu_new",
        "attention_types": [[["global", "local"], layers // 2]],
        "bos_token_id": 50256,
        "eos_token_id": 50256,
        "hidden_size": hidden,
        "layer_norm_epsilon": 1e-5,
        "max_position_embeddings": 2048,
        "num_heads": heads,
        "num_layers": layers,
        "vocab_size": 50257,
        "window_size": 256,
    }
    weights("transformer.wte", config["vocab_size"], hidden)
    weights("transformer.wpe", config["max_position_embeddings"], hidden)
    norm("transformer.ln_f", hidden, bias=True)
    for layer in range(layers):
        at = f"transformer.h.{layer}"
        for part in ["k_proj", "v_proj", "q_proj"]:
            weights(f"{at}.attn.attention.{part}", hidden, hidden)
        linear_with_bias(f"{at}.attn.attention.out_proj", hidden, hidden)
        linear_with_bias(f"{at}.mlp.c_fc", 4 * hidden, hidden)
        linear_with_bias(f"{at}.mlp.c_proj", hidden, 4 * hidden)
        norm(f"{at}.ln_1", hidden, bias=True)
        norm(f"{at}.ln_2", hidden, bias=True)
    return config


shapes = {
    "minilm": lambda: bert(384, 6, 12),
    "bert-2x128": lambda: bert(128, 2, 2),
    "gpt-neo-8x64": lambda: gpt_neo(64, 8, 16),
    "llama-15m": lambda: llama(288, 768, 6, 6, 256),
    "llama-110m": lambda: llama(768, 2048, 12, 12, 1024),
}
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("folder", type=pathlib.Path, help="where config.json and model.safetensors go")
parser.add_argument("--shape", choices=shapes, default="minilm")
parser.add_argument("--tokenizer", type=pathlib.Path, help="a tokenizer.json to copy, of BERT or of GPT-2")
arguments = parser.parse_args()
config = shapes[arguments.shape]()
arguments.folder.mkdir(parents=True, exist_ok=True)
(arguments.folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
if arguments.tokenizer:
    shutil.copy(arguments.tokenizer, arguments.folder / "tokenizer.json")
save_file(tensors, arguments.folder / "model.safetensors", {"format": "pt"})
