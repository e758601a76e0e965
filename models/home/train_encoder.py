"""Trains the encoders for commands: first masked words; then, each starting from that model, intents and slots.

    pip install -r models/requirements.txt
    python models/home/train_encoder.py

Writes three checkpoints in Hugging Face format, `words`, `intent` and `slots`, each with held-out phrasings in `heldout.jsonl`.
"""

import json
import math
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification, BertForTokenClassification

from data import INTENTS, LABELS, examples, heldout

HERE = Path(__file__).parent
VOCABULARY, POSITIONS, BATCH, HELD_OUT = 640, 48, 64, 1000
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, CLS, SEP, MASK, IGNORED = 0, 2, 3, 4, -100


def train_tokenizer(texts):
    """Trains a WordPiece tokenizer like BERT's."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL, show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)])
    return tokenizer


def config(**more):
    return BertConfig(vocab_size=VOCABULARY, hidden_size=96, num_hidden_layers=3, num_attention_heads=4, intermediate_size=224,
                      max_position_embeddings=POSITIONS, type_vocab_size=1, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1,
                      pad_token_id=PAD, **more)


def encode(tokenizer, example, label_ids):
    """The ids of a sentence, and the label of each word at its first piece."""
    ids, labels = [CLS], [IGNORED]
    for word, label in zip(example.words, example.labels):
        pieces = tokenizer.encode(word, add_special_tokens=False).ids
        ids += pieces
        labels += [label_ids[label]] + [IGNORED] * (len(pieces) - 1)
    return ids + [SEP], labels + [IGNORED]


def pad(rows, filler):
    length = max(map(len, rows))
    return torch.tensor([row + [filler] * (length - len(row)) for row in rows])


def mask(ids, generator):
    """Masks 20 % of the tokens: most become `[MASK]`, some a random token, some stay unchanged."""
    labels = ids.clone()
    chosen = (torch.rand(ids.shape, generator=generator) < 0.2) & (ids > MASK)
    labels[~chosen] = IGNORED
    fate = torch.rand(ids.shape, generator=generator)
    masked = torch.where(chosen & (fate < 0.8), MASK, ids)
    other = torch.randint(MASK + 1, VOCABULARY, ids.shape, generator=generator)
    return torch.where(chosen & (fate > 0.9), other, masked), labels


def train(network, steps, rate, batch):
    """Trains with `steps` of AdamW, with warm-up and decay of the rate; `batch` returns the network's arguments."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.05)
    fall = lambda step: min(step / 50, 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, fall)
    network.train()
    for step in range(steps):
        loss = network(**batch()).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 200 == 0:
            print(step, round(loss.item(), 4), flush=True)


def save(network, tokenizer, folder, kept):
    network.to(torch.float16).save_pretrained(HERE / folder)
    tokenizer.save(str(HERE / folder / "tokenizer.json"))
    described = {"tokenizer_class": "BertTokenizerFast", "do_lower_case": True, "model_max_length": POSITIONS, "pad_token": "[PAD]",
                 "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    (HERE / folder / "tokenizer_config.json").write_text(json.dumps(described, indent=2) + "\n")
    (HERE / folder / "heldout.jsonl").write_text("".join(json.dumps(one) + "\n" for one in kept))


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    trained = examples(40000, seed=1)
    held = heldout(HELD_OUT, 2, trained)
    tokenizer = train_tokenizer(example.text for example in trained)
    label_ids = {label: index for index, label in enumerate(LABELS)}
    encoded = [encode(tokenizer, example, label_ids) for example in trained]
    intents = [INTENTS.index(example.intent) for example in trained]
    generator = torch.Generator().manual_seed(0)

    def draw():
        chosen = torch.randint(len(encoded), (BATCH,), generator=generator).tolist()
        ids = pad([encoded[at][0] for at in chosen], PAD)
        return chosen, ids, (ids != PAD).long()

    def masked():
        _, ids, attention_mask = draw()
        hidden, labels = mask(ids, generator)
        return {"input_ids": hidden, "attention_mask": attention_mask, "labels": labels}

    def corrupted(ids):
        """Drops some words, so that the model learns to do without them."""
        lost = (torch.rand(ids.shape, generator=generator) < 0.08) & (ids > MASK)
        return torch.where(lost, torch.where(torch.rand(ids.shape, generator=generator) < 0.5, 1, MASK), ids)

    def of_intents():
        chosen, ids, attention_mask = draw()
        return {"input_ids": corrupted(ids), "attention_mask": attention_mask, "labels": torch.tensor([intents[at] for at in chosen])}

    def of_slots():
        chosen, ids, attention_mask = draw()
        return {"input_ids": ids, "attention_mask": attention_mask, "labels": pad([encoded[at][1] for at in chosen], IGNORED)}

    start = BertForMaskedLM(config())
    print(sum(p.numel() for p in start.bert.parameters()), "parameters, longest", max(len(ids) for ids, _ in encoded), flush=True)
    train(start, 3000, 2e-3, masked)
    save(start, tokenizer, "words", [example.text for example in held])
    start = start.to(torch.float32)

    names = dict(enumerate(INTENTS))
    network = BertForSequenceClassification(config(num_labels=len(INTENTS), id2label=names, label2id={v: k for k, v in names.items()}))
    network.bert.load_state_dict(start.bert.state_dict(), strict=False)
    train(network, 1500, 1e-3, of_intents)
    save(network, tokenizer, "intent", [{"text": example.text, "label": example.intent} for example in held])
    network = network.to(torch.float32).eval()
    with torch.no_grad():
        found = [network(torch.tensor([tokenizer.encode(example.text).ids])).logits.argmax().item() for example in held]
    right = sum(INTENTS[at] == example.intent for at, example in zip(found, held))
    print("intent accuracy on held-out phrasings:", right / len(held), flush=True)

    names = dict(enumerate(LABELS))
    network = BertForTokenClassification(config(num_labels=len(LABELS), id2label=names, label2id={v: k for k, v in names.items()}))
    network.bert.load_state_dict(start.bert.state_dict(), strict=False)
    train(network, 1500, 1e-3, of_slots)
    save(network, tokenizer, "slots", [{"text": example.text, "labels": example.labels} for example in held])
    network, right = network.to(torch.float32).eval(), 0
    with torch.no_grad():
        for example in held:
            ids, labels = encode(tokenizer, example, label_ids)
            found = network(torch.tensor([ids])).logits.argmax(-1)[0].tolist()
            right += all(label in (IGNORED, guess) for guess, label in zip(found, labels))
    print("sentences with all slots right:", right / len(held), flush=True)


if __name__ == "__main__":
    main()
