"""Quantization-aware training uses the runtime's weights, to the last bit."""

import json

import kinglet
import pytest

torch = pytest.importorskip("torch", reason="quantization-aware training needs PyTorch")
from kinglet import qat  # noqa: E402

# Roles of an encoder's matrices, and their names in its checkpoint.
PARTS = {
    "Query": "attention.self.query",
    "Key": "attention.self.key",
    "Value": "attention.self.value",
    "Output": "attention.output.dense",
    "Up": "intermediate.dense",
    "Down": "output.dense",
}
BERT = {
    "encoder.TokenEmbedding": "bert.embeddings.word_embeddings.weight",
    "encoder.PositionEmbedding": "bert.embeddings.position_embeddings.weight",
    "head.Output": "classifier.weight",
    **{
        f"encoder.{layer}.{role}": f"bert.encoder.layer.{layer}.{name}.weight"
        for layer in range(3)
        for role, name in PARTS.items()
    },
}


def checkpoint(root):
    """Reads the tensors of a safetensors file."""
    import numpy as np

    data = (root / "models/home/slots/model.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    entries = json.loads(data[8 : 8 + length])
    entries.pop("__metadata__", None)
    body = data[8 + length :]
    of = lambda entry: np.frombuffer(body[slice(*entry["data_offsets"])], "<f2").reshape(entry["shape"])
    return {name: torch.from_numpy(of(entry).astype("float32")) for name, entry in entries.items()}


@pytest.mark.parametrize("weights, group_size", [("int8", 32), ("int4", 32), ("int4", 64)])
def test_weights_are_those_of_the_runtime_to_the_last_bit(root, tmp_path, weights, group_size):
    blob = tmp_path / "slots.kinglet"
    kinglet.convert(root / "models/home/slots", blob, weights=weights, group_size=group_size, calibrate=False)
    held, source = kinglet.Model(blob).tensors(), checkpoint(root)
    compared = 0
    for role, name in BERT.items():
        there = torch.from_numpy(held[role].copy())
        # Lookup tables stay in int8, and so do matrices that cannot be packed, such as the head with 17 labels.
        narrow = role.endswith("Embedding") or not qat.packs(source[name])
        here = qat.quantize(source[name], "int8" if narrow else weights, group_size)
        assert torch.equal(here, there), f"{role}: {int((here != there).sum())} of {here.numel()} differ"
        compared += here.numel()
    assert compared > 300_000


def test_gradients_pass_and_the_trained_weights_are_left():
    layer = torch.nn.Linear(64, 8)
    before = layer.weight.detach().clone()
    model = qat.prepare(torch.nn.Sequential(layer), weights="int4")
    assert torch.equal(layer.weight, qat.quantize(before, "int4"))
    model(torch.ones(3, 64)).sum().backward()
    gradient = layer.parametrizations.weight.original.grad
    assert torch.equal(gradient, torch.full_like(gradient, 3.0))
    qat.finish(model)
    assert torch.equal(layer.weight, before) and sorted(model.state_dict()) == ["0.bias", "0.weight"]


def test_a_table_that_is_looked_up_stays_in_int8_and_tied():
    model = torch.nn.ModuleDict({"table": torch.nn.Embedding(40, 64), "head": torch.nn.Linear(64, 40, bias=False)})
    model["head"].weight = model["table"].weight
    before = model["table"].weight.detach().clone()
    qat.prepare(model, weights="int4")
    for part in model.values():
        assert torch.equal(part.weight, qat.quantize(before, "int8"))
    originals = [part.parametrizations.weight.original for part in model.values()]
    assert originals[0] is originals[1]


def test_what_cannot_be_rounded_is_refused():
    with pytest.raises(ValueError, match="int4"):
        qat.prepare(torch.nn.Linear(2, 2), weights="int2")
    with pytest.raises(ValueError, match="64"):
        qat.prepare(torch.nn.Linear(2, 2), weights="int4", group_size=16)
    assert torch.equal(qat.quantize(torch.zeros(2, 64), "int4"), torch.zeros(2, 64))
