"""Trains a sentence encoder for search, in which questions with one meaning get similar vectors.

    pip install -r models/requirements.txt
    python models/search/train.py

Writes a checkpoint in sentence-transformers format, `phrases.txt` with the hundred phrases to search, and `heldout.jsonl` with
questions in held-out phrasings.
"""

import json
import math
import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel

from data import MEANINGS, heldout, other_meanings, phrases, question

HERE = Path(__file__).parent
VOCABULARY, WIDTH, POSITIONS, BATCH, STEPS, HELD_OUT = 640, 96, 32, 64, 700, 1000
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNKNOWN, CLS, SEP, MASK = 0, 1, 2, 3, 4
SHARPNESS = 20.0


def train_tokenizer(texts):
    """Trains a WordPiece tokenizer like BERT's."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL, show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)])
    return tokenizer


def vectors(network, tokenizer, texts, lost=0.0):
    """The normalized mean of each text's hidden states. A share `lost` of the tokens is dropped at random."""
    rows = [tokenizer.encode(text).ids[:POSITIONS] for text in texts]
    length = max(map(len, rows))
    ids = torch.tensor([row + [PAD] * (length - len(row)) for row in rows])
    there = (ids != PAD).long()
    ids = torch.where((torch.rand(ids.shape) < lost) & (ids > MASK), UNKNOWN, ids)
    hidden = network(input_ids=ids, attention_mask=there).last_hidden_state
    mean = (hidden * there[..., None]).sum(1) / there.sum(1, keepdim=True)
    return torch.nn.functional.normalize(mean, dim=-1)


def pairs(dice):
    """Pairs of questions with one meaning each: most are meanings of the hundred phrases, some random combinations."""
    meanings = list(dict.fromkeys(dice.sample(MEANINGS, BATCH * 3 // 4) + other_meanings(dice, BATCH // 4)))
    return [question(meaning, dice) for meaning in meanings], [question(meaning, dice) for meaning in meanings]


def train(network, tokenizer, dice):
    """Trains with InfoNCE: each question should be nearest to its partner among all questions on the other side of the batch."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1.5e-3, weight_decay=0.02)
    fall = lambda step: min(step / 50, 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / STEPS)))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, fall)
    network.train()
    for step in range(STEPS):
        first, second = pairs(dice)
        both = vectors(network, tokenizer, first + second, lost=0.1)
        near = SHARPNESS * both[: len(first)] @ both[len(first):].T
        own = torch.arange(len(first))
        loss = (torch.nn.functional.cross_entropy(near, own) + torch.nn.functional.cross_entropy(near.T, own)) / 2
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 200 == 0:
            print(step, round(loss.item(), 4), flush=True)


def write(name, value):
    path = HERE / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value, indent=2) + "\n")


def save(network, tokenizer, kept):
    network.to(torch.float16).save_pretrained(HERE)
    tokenizer.save(str(HERE / "tokenizer.json"))
    write("tokenizer_config.json", {
        "tokenizer_class": "BertTokenizerFast", "do_lower_case": True, "model_max_length": POSITIONS, "pad_token": "[PAD]",
        "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"})
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    write("modules.json", [{"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"}
                           for at, (path, kind) in enumerate(kinds)])
    write("1_Pooling/config.json", {"word_embedding_dimension": WIDTH, "pooling_mode_mean_tokens": True})
    write("phrases.txt", "".join(phrase + "\n" for phrase in phrases()))
    write("heldout.jsonl", "".join(json.dumps({"text": text, "phrase": phrases()[at]}) + "\n" for text, at in kept))


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    dice, kept = random.Random(0), heldout(HELD_OUT, 2)
    tokenizer = train_tokenizer(question(meaning, dice) for _ in range(200) for meaning in MEANINGS)
    network = BertModel(BertConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=4, intermediate_size=192,
        max_position_embeddings=POSITIONS, type_vocab_size=1, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1,
        pad_token_id=PAD), add_pooling_layer=False)
    print(sum(p.numel() for p in network.parameters()), "parameters", flush=True)
    train(network, tokenizer, dice)
    save(network, tokenizer, kept)
    network = network.to(torch.float32).eval()
    with torch.no_grad():
        near = vectors(network, tokenizer, [text for text, _ in kept]) @ vectors(network, tokenizer, phrases()).T
    right = sum(found == at for found, (_, at) in zip(near.argmax(-1).tolist(), kept))
    print("held-out questions with the right phrase nearest:", right / len(kept), flush=True)


if __name__ == "__main__":
    main()
