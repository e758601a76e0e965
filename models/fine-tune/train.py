"""Fine-tunes an encoder on your own labels, and saves a checkpoint for `kinglet convert`.

    python models/fine-tune/train.py --from models/home/words --out tuned
    python models/fine-tune/train.py --from models/home/intent --weights int4 --steps 300 --rate 2e-4 --out tuned4

`--train` and `--heldout` are files with lines of JSON with `text` and `label`; by default the examples are the commands for a home of
`models/home/data.py`. With `--weights`, training is quantization-aware: the forward pass uses the quantized weights of the runtime
(`kinglet.qat`), and with `--activations` its quantized activations. Convert the checkpoint with these options and with `calibrate=False`.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", required=True, help="the checkpoint to begin with: a folder or a name of the Hub")
    parser.add_argument("--out", required=True, help="the folder to write")
    parser.add_argument("--train", help="lines of JSON with `text` and `label`")
    parser.add_argument("--heldout", help="such lines that are not trained on")
    parser.add_argument("--weights", choices=["int8", "int4"], help="train with the weights that the runtime will have")
    parser.add_argument("--activations", choices=["a8", "a16"], help="also train with the activations that the runtime will have")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    if wanted.activations and not wanted.weights:
        parser.error("--activations needs --weights")
    return wanted


def examples(wanted):
    """The training examples and the held-out examples, as pairs of text and label."""
    read = lambda path: [(line["text"], line["label"]) for line in map(json.loads, Path(path).read_text().splitlines())]
    if wanted.train:
        return read(wanted.train), read(wanted.heldout) if wanted.heldout else []
    sys.path.insert(0, str(Path(__file__).parent.parent / "home"))
    import data

    trained = data.examples(40000, seed=1)
    return [(one.text, one.intent) for one in trained], [(one.text, one.intent) for one in data.heldout(1000, 2, trained)]


def accuracy(network, tokenizer, pairs, names):
    network.eval()
    right = 0
    with torch.no_grad():
        for at in range(0, len(pairs), 100):
            texts, labels = zip(*pairs[at : at + 100])
            inputs = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
            found = network(**inputs).logits.argmax(-1).tolist()
            right += sum(names[guess] == label for guess, label in zip(found, labels))
    return right / len(pairs)


def main():
    wanted = arguments()
    torch.manual_seed(wanted.seed)
    trained, held = examples(wanted)
    tokenizer = AutoTokenizer.from_pretrained(wanted.source)
    # If the model has these labels already, their order is kept.
    network = AutoModelForSequenceClassification.from_pretrained(wanted.source)
    labels = sorted({label for _, label in trained})
    names = list(network.config.id2label.values())
    if set(names) != set(labels):
        names = labels
        network = AutoModelForSequenceClassification.from_pretrained(wanted.source, num_labels=len(names))
        network.config.id2label, network.config.label2id = dict(enumerate(names)), {name: at for at, name in enumerate(names)}
    network.float()
    if wanted.weights:
        from kinglet import qat

        qat.prepare(network, weights=wanted.weights, activations=wanted.activations)
        print("before training, with rounded numbers:", accuracy(network, tokenizer, held, names) if held else "-", flush=True)

    optimizer = torch.optim.AdamW(network.parameters(), lr=wanted.rate, weight_decay=0.05)
    fall = lambda step: min(step / 50, 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / wanted.steps)))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, fall)
    generator = torch.Generator().manual_seed(wanted.seed)
    network.train()
    for step in range(wanted.steps):
        texts, of = zip(*(trained[at] for at in torch.randint(len(trained), (wanted.batch,), generator=generator).tolist()))
        inputs = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        loss = network(**inputs, labels=torch.tensor([names.index(label) for label in of])).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            print(step, round(loss.item(), 4), flush=True)
    if held:
        print("accuracy on held-out examples:", accuracy(network, tokenizer, held, names), flush=True)
    if wanted.weights:
        qat.finish(network)
    network.save_pretrained(wanted.out)
    tokenizer.save_pretrained(wanted.out)
    if held:
        lines = (json.dumps({"text": text, "label": label}) + "\n" for text, label in held)
        (Path(wanted.out) / "heldout.jsonl").write_text("".join(lines))


if __name__ == "__main__":
    main()
