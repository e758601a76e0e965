"""Measures what quantization-aware training gains on the models that ship, with int4 weights.

    pip install -r models/requirements.txt ./bindings/python
    python models/fine-tune/gains.py intent slots words stories
    python models/fine-tune/gains.py stories --steps 600 --activations a8

For each model it prints a row for every way from the checkpoint to a blob. The loss is the mean cross-entropy of the runtime's logits on
held-out texts, in nats per label; `right` is the share of texts on which every label is the likeliest one:

- `f32`: the checkpoint as it ships, in PyTorch;
- `nearest`: converted with weights rounded to the nearest level;
- `GPTQ`: converted with weights rounded by GPTQ, the default, calibrated on training texts;
- `f32, trained on` and `f32, GPTQ`: after more training in f32, in PyTorch and converted with GPTQ;
- `trained`: after as much training with the quantized weights, and activations if they are given, rounded to nearest.
"""

import argparse
import importlib
import json
import math
import sys
import tempfile
from pathlib import Path

import kinglet
import numpy as np
import torch
from kinglet import qat
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoModelForTokenClassification

MODELS = Path(__file__).parent.parent
IGNORED = -100
CALIBRATION = 256


def script(folder, name):
    """A training script of another folder. Each has a module `data` beside it."""
    sys.modules.pop("data", None)
    sys.path.insert(0, str(MODELS / folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


class Task:
    """A model that ships, with its texts as pairs of token ids and of the labels of its outputs."""

    def __init__(self, name):
        self.folder = MODELS / ("stories" if name == "stories" else f"home/{name}")
        self.generator = torch.Generator().manual_seed(0)
        tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        if name == "stories":
            self.script, self.kind, self.rate = script("stories", "train"), AutoModelForCausalLM, 5e-4
            held = [json.loads(line) for line in (self.folder / "heldout.jsonl").read_text().splitlines()]
            texts = [text for text in self.script.stories(40000, seed=1) if text not in set(held)]
            self.trained, self.held = ([(ids, [*ids[1:], IGNORED]) for ids in self.script.encode(tokenizer, some)] for some in (texts, held))
            self.texts = texts[:CALIBRATION]
            return
        self.script, self.rate = script("home", "train_encoder"), 2e-4
        kinds = {"intent": AutoModelForSequenceClassification, "slots": AutoModelForTokenClassification, "words": AutoModelForMaskedLM}
        self.kind = kinds[name]
        labels = {label: at for at, label in enumerate(self.script.LABELS)}
        trained = self.script.examples(40000, seed=1)
        held = self.script.heldout(self.script.HELD_OUT, 2, trained)
        self.texts = [one.text for one in trained[:CALIBRATION]]

        def pair(one):
            ids, slots = self.script.encode(tokenizer, one, labels)
            if name == "slots":
                return ids, slots
            return (ids, [self.script.INTENTS.index(one.intent)]) if name == "intent" else (ids, None)

        self.trained, self.held = ([pair(one) for one in some] for some in (trained, held))
        # The held-out words are masked once.
        self.held = [(self.masked(ids) if labels is None else (ids, labels)) for ids, labels in self.held]

    def masked(self, ids):
        """Ids with some of them masked, and the labels of these."""
        hidden, labels = self.script.mask(torch.tensor([ids]), self.generator)
        return hidden[0].tolist(), labels[0].tolist()

    def checkpoint(self):
        return self.kind.from_pretrained(self.folder).float()

    def batch(self):
        """The arguments of the network for a random batch of training texts."""
        size = self.script.BATCH
        pairs = [self.trained[at] for at in torch.randint(len(self.trained), (size,), generator=self.generator).tolist()]
        pairs = [(self.masked(ids) if labels is None else (ids, labels)) for ids, labels in pairs]
        length = max(len(ids) for ids, _ in pairs)
        padded = lambda row, filler: row + [filler] * (length - len(row))
        inputs = {
            "input_ids": torch.tensor([padded(ids, 0) for ids, _ in pairs]),
            "attention_mask": torch.tensor([padded([1] * len(ids), 0) for ids, _ in pairs]),
        }
        return inputs, torch.tensor([padded(labels, IGNORED) if len(labels) > 1 else labels for _, labels in pairs])

    def train(self, network, steps):
        """Trains for `steps` steps with a falling rate."""
        self.generator.manual_seed(1)
        network.train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=self.rate, weight_decay=0.01)
        fall = lambda step: min((step + 1) / 20, 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, fall)
        for _ in range(steps):
            inputs, labels = self.batch()
            logits = network(**inputs).logits
            loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), ignore_index=IGNORED)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        return network

    def measure(self, logits):
        """The loss per label and the share of texts that are right, for a function from ids to logits."""
        total, count, right = 0.0, 0, 0
        for ids, labels in self.held:
            rows = logits(ids).astype(np.float64)
            kept = [at for at, label in enumerate(labels) if label != IGNORED]
            wanted = [labels[at] for at in kept]
            rows = rows[kept]
            total -= (rows[np.arange(len(kept)), wanted] - np.log(np.exp(rows - rows.max(1, keepdims=True)).sum(1)) - rows.max(1)).sum()
            count += len(kept)
            right += bool((rows.argmax(1) == wanted).all())
        return total / count, right / len(self.held)

    def in_torch(self, network):
        network.eval()

        def logits(ids):
            with torch.no_grad():
                found = network(input_ids=torch.tensor([ids])).logits
            return found.reshape(-1, found.shape[-1]).numpy()

        return self.measure(logits)

    def on_device(self, network, **options):
        """Converts a network, and measures the blob."""
        with tempfile.TemporaryDirectory() as folder:
            network.save_pretrained(folder)
            for name in ("tokenizer.json", "tokenizer_config.json"):
                (Path(folder) / name).write_bytes((self.folder / name).read_bytes())
            kinglet.convert(folder, f"{folder}/blob", weights="int4", **options)
            model = kinglet.Model(f"{folder}/blob")
            return self.measure(model.logits)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", choices=["intent", "slots", "words", "stories"])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--activations", choices=["a8", "a16"], help="also train with quantized activations, and convert with them")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    width = {"activations": wanted.activations} if wanted.activations else {}
    print("| model | | loss | right |\n|---|---|---|---|", flush=True)
    for name in wanted.models:
        task = Task(name)

        def row(way, measured):
            print(f"| {name} | {way} | {measured[0]:.4f} | {100 * measured[1]:.1f} % |", flush=True)

        row("f32", task.in_torch(task.checkpoint()))
        row("nearest", task.on_device(task.checkpoint(), calibrate=False, **width))
        row("GPTQ", task.on_device(task.checkpoint(), calibration=task.texts, **width))
        torch.manual_seed(0)
        longer = task.train(task.checkpoint(), wanted.steps)
        row("f32, trained on", task.in_torch(longer))
        row("f32, GPTQ", task.on_device(longer, calibration=task.texts, **width))
        torch.manual_seed(0)
        prepared = qat.prepare(task.checkpoint(), weights="int4", **width)
        row("trained", task.on_device(qat.finish(task.train(prepared, wanted.steps)), calibrate=False, **width))


if __name__ == "__main__":
    main()
