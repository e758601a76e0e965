"""Quantization-aware training computes with the runtime's numbers, to the last bit."""

import json
import shutil

import kinglet
import numpy as np
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


LABELS = 64


@pytest.fixture(scope="module")
def wide_head(root, tmp_path_factory):
    """A copy of the slot filler with a random head of 64 labels, some with tiny and some with large
    weights; and the weights and biases of this head."""
    folder = tmp_path_factory.mktemp("wide")
    shutil.copytree(root / "models/home/slots", folder, dirs_exist_ok=True)
    torch.manual_seed(0)
    sizes = torch.logspace(-6, 2, LABELS)[torch.randperm(LABELS)]
    head = {"classifier.weight": torch.randn(LABELS, 96) * sizes[:, None], "classifier.bias": torch.randn(LABELS)}
    entries, body = {}, b""
    for name, tensor in {**checkpoint(root), **head}.items():
        data = tensor.numpy().astype("<f4").tobytes()
        entries[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    header = json.dumps(entries).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + body)
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {str(at): f"label {at}" for at in range(LABELS)}
    config["label2id"] = {f"label {at}": at for at in range(LABELS)}
    (folder / "config.json").write_text(json.dumps(config))
    return folder, head["classifier.weight"], head["classifier.bias"]


@pytest.mark.parametrize("activations", ["a8", "a16"])
@pytest.mark.parametrize("weights, group_size", [("int8", 32), ("int4", 32), ("int4", 64)])
def test_a_layer_computes_what_the_runtime_does_to_the_last_bit(wide_head, tmp_path, weights, group_size, activations):
    """Runs the head on the hidden states of the runtime, and compares with the runtime's logits."""
    folder, weight, bias = wide_head
    options = {"weights": weights, "group_size": group_size, "activations": activations, "calibrate": False}
    kinglet.convert(folder, tmp_path / "hidden", task="hidden", **options)
    kinglet.convert(folder, tmp_path / "logits", **options)
    hidden, whole = kinglet.Model(tmp_path / "hidden"), kinglet.Model(tmp_path / "logits")
    bits = whole.inspect()["spec"]["numerics"]["fraction_bits"]
    assert hidden.inspect()["spec"]["numerics"]["fraction_bits"] == bits
    layer = torch.nn.Linear(96, LABELS)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    layer = qat.prepare(layer, weights=weights, group_size=group_size, activations=activations, fraction_bits=bits)
    random = np.random.default_rng(0)
    for length in (1, 2, 17, 48, 48, 48):
        ids = random.integers(5, 640, length).tolist()
        x = torch.from_numpy(hidden.logits(ids, integers=True))
        there = torch.from_numpy(whole.logits(ids, integers=True))
        here = qat.linear(
            x, weight, bias, weights=weights, group_size=group_size, activations=activations, fraction_bits=bits
        )
        assert torch.equal(here, there.long()), f"{int((here != there).sum())} of {here.numel()} differ"
        assert torch.equal(layer(x * 2.0**-bits).detach(), there * 2.0**-bits)


def test_rows_of_every_size_are_quantized_within_their_bound():
    torch.manual_seed(0)
    x = (torch.randn(400, 96) * torch.logspace(-1, 9, 400)[:, None]).clamp(-(2**31), 2**31 - 1).long()
    identity = torch.eye(96)
    # A weight of 1 is stored as 127 steps; its scale has 31 bits.
    for activations, steps in (("a8", 127), ("a16", 2**14)):
        out = qat.linear(x, identity, activations=activations)
        bound = x.abs().amax(-1, keepdim=True) * 0.6 / steps + 2 + x.abs() * 2.0**-12
        assert ((out - x).abs() <= bound).all()


def test_gradients_of_a_layer_with_quantized_activations_are_those_of_its_rounded_weights():
    torch.manual_seed(0)
    layer = qat.prepare(torch.nn.Linear(64, 8), weights="int4", activations="a8")
    x = torch.randn(3, 64, requires_grad=True)
    layer(x).sum().backward()
    assert torch.allclose(x.grad, layer.weight.sum(0).expand(3, 64))
    gradient = layer.parametrizations.weight.original.grad
    assert torch.allclose(gradient, x.detach().sum(0).expand(8, 64))
    qat.finish(layer)
    x = x.detach()
    assert torch.equal(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))


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
    with pytest.raises(ValueError, match="a16"):
        qat.prepare(torch.nn.Linear(2, 2), activations="a4")
    with pytest.raises(ValueError, match="from 3 to 20"):
        qat.prepare(torch.nn.Linear(2, 2), activations="a16", fraction_bits=31)
    assert torch.equal(qat.quantize(torch.zeros(2, 64), "int4"), torch.zeros(2, 64))
