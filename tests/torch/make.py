"""Writes files with `torch.save`: golden checkpoints, and tensors with various storages, offsets and strides.

    pip install -r tests/golden/requirements.txt
    python tests/torch/make.py

A folder with the name of a golden checkpoint has only its weights, as `pytorch_model.bin`; `cargo test -p kinglet-tests torch`
compares the two. `views` has views of shared storages, and equal tensors as safetensors.
"""

import json
import shutil
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden"


def folder(name):
    path = HERE / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    return path


def save(tensors, path, zipped=True):
    torch.save(tensors, path, _use_new_zipfile_serialization=zipped)


def whole(name, kind, zipped):
    """The state dictionary of a model, with all names of tied tensors, and buffers that are not weights."""
    model = getattr(transformers, kind).from_pretrained(GOLDEN / name)
    state = model.state_dict()
    state["transformer.h.0.attn.bias"] = torch.ones(1, 1, 40, 40, dtype=torch.bool).tril()
    save(state, folder(name) / "pytorch_model.bin", zipped)


def same_names(name):
    """The tensors of a file, with their names, as parameters."""
    tensors = load_file(GOLDEN / name / "model.safetensors")
    parameters = {key: torch.nn.Parameter(tensor, requires_grad=False) for key, tensor in tensors.items()}
    parameters["bert.embeddings.position_ids"] = torch.arange(40).unsqueeze(0)
    save(parameters, folder(name) / "pytorch_model.bin")


def sharded(name):
    """Writes shards, one in each format."""
    out = folder(name)
    weight_map = {}
    for part in (1, 2):
        tensors = load_file(GOLDEN / name / f"model-{part:05}-of-00002.safetensors")
        shard = f"pytorch_model-{part:05}-of-00002.bin"
        save(tensors, out / shard, zipped=part == 1)
        weight_map.update({key: shard for key in tensors})
    index = {"metadata": {}, "weight_map": weight_map}
    (out / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")


def views():
    generator = torch.Generator().manual_seed(7)
    base = torch.randn(4, 6, generator=generator)
    cube = torch.randn(2, 3, 5, generator=generator)
    tensors = {
        "whole": base,
        "rows": base[1:3],
        "column": base[:, 2],
        "transposed": base.T,
        "block": base[1:, 2:5],
        "every_other": base[::2, 1::2],
        "turned": cube.permute(2, 0, 1),
        "middle": cube[:, 1],
        "one": base[3:4, 5:6],
        "scalar": base[2, 3],
        "empty": base[4:],
        "double": torch.randn(3, 2, generator=generator, dtype=torch.float64).T,
        "half": torch.randn(3, 2, generator=generator).half().T,
        "brain": torch.randn(3, 2, generator=generator).bfloat16()[1:],
    }
    out = folder("views")
    for name, zipped in (("zip", True), ("pickles", False)):
        save(tensors, out / f"{name}.bin", zipped)
    save_file({key: tensor.clone().contiguous() for key, tensor in tensors.items()}, out / "model.safetensors")


if __name__ == "__main__":
    torch.manual_seed(0)
    whole("gpt2_bare", "GPT2LMHeadModel", zipped=False)
    whole("gpt_neo_wide", "GPTNeoForCausalLM", zipped=True)
    same_names("bert_old_names")
    sharded("llama_sharded")
    views()
