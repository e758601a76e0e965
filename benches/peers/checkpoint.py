"""Makes a BERT checkpoint of all-MiniLM-L6-v2's shape with random weights, for measuring speed."""

import argparse
import json
import pathlib

import numpy
from safetensors.numpy import save_file

LAYERS, HIDDEN, HEADS, INTERMEDIATE, VOCABULARY, POSITIONS = 6, 384, 12, 1536, 30522, 512

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("folder", type=pathlib.Path, help="where config.json and model.safetensors go")
folder = parser.parse_args().folder
random = numpy.random.default_rng(0)
tensors = {}


def matrix(name, rows, cols):
    tensors[f"{name}.weight"] = random.normal(0, 0.04, (rows, cols)).astype(numpy.float32)


def linear(name, rows, cols):
    matrix(name, rows, cols)
    tensors[f"{name}.bias"] = random.normal(0, 0.04, rows).astype(numpy.float32)


def norm(name):
    tensors[f"{name}.weight"] = numpy.ones(HIDDEN, numpy.float32)
    tensors[f"{name}.bias"] = numpy.zeros(HIDDEN, numpy.float32)


matrix("embeddings.word_embeddings", VOCABULARY, HIDDEN)
matrix("embeddings.position_embeddings", POSITIONS, HIDDEN)
matrix("embeddings.token_type_embeddings", 2, HIDDEN)
norm("embeddings.LayerNorm")
for layer in range(LAYERS):
    at = f"encoder.layer.{layer}"
    for part in ["self.query", "self.key", "self.value", "output.dense"]:
        linear(f"{at}.attention.{part}", HIDDEN, HIDDEN)
    norm(f"{at}.attention.output.LayerNorm")
    linear(f"{at}.intermediate.dense", INTERMEDIATE, HIDDEN)
    linear(f"{at}.output.dense", HIDDEN, INTERMEDIATE)
    norm(f"{at}.output.LayerNorm")

config = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": HIDDEN,
    "intermediate_size": INTERMEDIATE,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": POSITIONS,
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": VOCABULARY,
}
folder.mkdir(parents=True, exist_ok=True)
(folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
save_file(tensors, folder / "model.safetensors", {"format": "pt"})
