"""Trains the story model in this folder, first the tokenizer, then the model, on stories from data.py. Takes about 20 minutes on one core.

    pip install -r models/requirements.txt
    python models/stories/train.py
    python models/stories/train.py --backward

Writes a checkpoint in Hugging Face format next to this file, and `heldout.jsonl` with stories that training never saw. With
`--backward` the model learns these stories from end to beginning, with the same tokenizer, and is written to `../stories-backward`.
"""

import json
import math
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from data import stories

BACKWARD = "--backward" in sys.argv
HERE = Path(__file__).parent
FOLDER = HERE.parent / "stories-backward" if BACKWARD else HERE
VOCABULARY, POSITIONS, STEPS, BATCH, LENGTH = 512, 256, 2400, 16, 200
SPECIAL = ["<unk>", "<s>", "</s>"]


def train_tokenizer(texts):
    """Trains a BPE tokenizer like SentencePiece's: words begin with `▁`, and every byte is a token for fallback."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    # Training splits the text at words; the tokenizer itself does not.
    words = [word for text in texts for word in text.replace(" ", " ▁").split(" ")]
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL + [f"<0x{byte:02X}>" for byte in range(256)],
                                  show_progress=False)
    learner = Tokenizer(models.BPE(unk_token="<unk>"))
    learner.train_from_iterator(words, trainer)
    learned = json.loads(learner.to_str())["model"]
    merges = [tuple(pair) for pair in learned["merges"]]
    tokenizer.model = models.BPE(vocab=learned["vocab"], merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return tokenizer


def backward(tokenizer):
    """The tokenizer for backward reading, with the end token after a text, where reading begins."""
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B:1 </s>:1", special_tokens=[("</s>", 2)])
    return tokenizer


def model():
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=172, num_hidden_layers=5, num_attention_heads=8,
        num_key_value_heads=4, head_dim=8, max_position_embeddings=POSITIONS, rms_norm_eps=1e-5, tie_word_embeddings=True,
        bos_token_id=2 if BACKWARD else 1, eos_token_id=1 if BACKWARD else 2, pad_token_id=None))


def encode(tokenizer, texts):
    """The ids of whole texts, in reading order."""
    order = -1 if BACKWARD else 1
    return [[1, *encoding.ids, 2][::order] for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]


def batch(encoded, generator):
    """A batch of whole stories, padded to one length; padding is ignored in the loss."""
    chosen = [encoded[at][:LENGTH] for at in torch.randint(len(encoded), (BATCH,), generator=generator).tolist()]
    length = max(map(len, chosen))
    ids = torch.tensor([one + [2] * (length - len(one)) for one in chosen])
    labels = torch.tensor([one + [-100] * (length - len(one)) for one in chosen])
    return ids, labels


def perplexity(network, encoded):
    """The perplexity over all tokens but the first of each text."""
    network.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for ids in encoded:
            one = torch.tensor([ids[:POSITIONS]])
            total += network(input_ids=one, labels=one).loss.item() * (one.shape[1] - 1)
            count += one.shape[1] - 1
    return math.exp(total / count)


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    heldout = stories(400, seed=2)
    train = [story for story in stories(40000, seed=1) if story not in set(heldout)]
    tokenizer = backward(Tokenizer.from_file(str(HERE / "tokenizer.json"))) if BACKWARD else train_tokenizer(train[:5000])
    encoded = encode(tokenizer, train)
    network, generator = model(), torch.Generator().manual_seed(0)
    print(sum(p.numel() for p in network.parameters()), "parameters,", max(map(len, encoded)), "tokens at most", flush=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3, betas=(0.9, 0.98), weight_decay=0.05)
    rate = lambda step: min(step / 100, 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / STEPS)))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    for step in range(STEPS):
        ids, labels = batch(encoded, generator)
        loss = network(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(step, round(loss.item(), 4), flush=True)
    network = network.to(torch.float16)
    network.save_pretrained(FOLDER)
    tokenizer.save(str(FOLDER / "tokenizer.json"))
    described = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
                 "model_max_length": POSITIONS, "clean_up_tokenization_spaces": False}
    (FOLDER / "tokenizer_config.json").write_text(json.dumps(described, indent=2) + "\n")
    if BACKWARD:
        # `kinglet convert` needs the direction, which no other file records.
        (FOLDER / "kinglet.json").write_text(json.dumps({"direction": "backward"}, indent=2) + "\n")
    kept = heldout[:200]
    (FOLDER / "heldout.jsonl").write_text("".join(json.dumps(text) + "\n" for text in kept))
    print("perplexity of the held-out stories:", round(perplexity(network.to(torch.float32), encode(tokenizer, kept)), 4))


if __name__ == "__main__":
    main()
