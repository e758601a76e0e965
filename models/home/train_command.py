"""Trains the encoder-decoder that translates sentences into commands.

    pip install -r models/requirements.txt
    python models/home/train_command.py

Writes a checkpoint in Hugging Face format, `command`, and `heldout.jsonl` with held-out phrasings.
"""

import json
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import GenerationConfig, T5Config, T5ForConditionalGeneration

from data import examples, heldout
from train_encoder import BATCH, HELD_OUT, HERE, IGNORED, pad, train

VOCABULARY, POSITIONS, STEPS = 576, 48, 7000
SPECIAL = ["<pad>", "</s>", "<unk>"]
PAD, END = 0, 1


def train_tokenizer(texts):
    """Trains a Unigram tokenizer like SentencePiece's, in which every digit is a piece."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Digits(individual_digits=True)])
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", END)])
    return tokenizer


def model(vocab_size):
    return T5ForConditionalGeneration(T5Config(
        vocab_size=vocab_size, d_model=64, d_kv=16, d_ff=256, num_layers=3, num_decoder_layers=2, num_heads=4, relative_attention_num_buckets=16,
        relative_attention_max_distance=32, dropout_rate=0.05, feed_forward_proj="relu", tie_word_embeddings=True, pad_token_id=PAD,
        eos_token_id=END, decoder_start_token_id=PAD, n_positions=POSITIONS))


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    trained = examples(80000, seed=1)
    held = heldout(HELD_OUT, 2, trained)
    tokenizer = train_tokenizer([text for example in trained[:20000] for text in (example.text, example.command)])
    sources = [encoding.ids for encoding in tokenizer.encode_batch([example.text for example in trained])]
    targets = [encoding.ids for encoding in tokenizer.encode_batch([example.command for example in trained])]
    network, generator = model(tokenizer.get_vocab_size()), torch.Generator().manual_seed(0)
    print(sum(p.numel() for p in network.parameters()), "parameters, longest", max(map(len, sources)), max(map(len, targets)), flush=True)

    def batch():
        chosen = torch.randint(len(sources), (BATCH,), generator=generator).tolist()
        ids = pad([sources[at] for at in chosen], PAD)
        lost = (torch.rand(ids.shape, generator=generator) < 0.04) & (ids > 2)
        return {"input_ids": torch.where(lost, 2, ids), "attention_mask": (ids != PAD).long(),
                "labels": pad([targets[at] for at in chosen], IGNORED)}

    train(network, STEPS, 3e-3, batch)
    network.generation_config = GenerationConfig(decoder_start_token_id=PAD, eos_token_id=END, pad_token_id=PAD, max_new_tokens=32)
    network.to(torch.float16).save_pretrained(HERE / "command")
    tokenizer.save(str(HERE / "command" / "tokenizer.json"))
    described = {"tokenizer_class": "T5TokenizerFast", "model_max_length": POSITIONS, "pad_token": "<pad>", "eos_token": "</s>",
                 "unk_token": "<unk>", "extra_ids": 0}
    (HERE / "command" / "tokenizer_config.json").write_text(json.dumps(described, indent=2) + "\n")
    kept = [{"text": example.text, "target": example.command} for example in held]
    (HERE / "command" / "heldout.jsonl").write_text("".join(json.dumps(one) + "\n" for one in kept))
    network, right = network.to(torch.float32).eval(), 0
    for example in held:
        ids = network.generate(torch.tensor([tokenizer.encode(example.text).ids]), max_new_tokens=32, num_beams=1, do_sample=False)[0].tolist()
        found = tokenizer.decode(ids, skip_special_tokens=True)
        right += found == example.command
        if found != example.command:
            print(f"{example.text!r}: {found!r}, not {example.command!r}", flush=True)
    print("exact commands for held-out phrasings:", right / len(held), flush=True)


if __name__ == "__main__":
    main()
