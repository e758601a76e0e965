"""Writes `generation.json`: results of `generate` of `transformers` for golden checkpoints with a `generation_config.json`.

    pip install -r tests/golden/requirements.txt
    python tests/golden/generation.py

Each entry has the `checkpoint`, its `generation_config` (or changes of `config`, if there is no such file), the input (`ids`,
`decoder_ids`), `max_new_tokens` (absent if the file has it), and the resulting `sequence` up to its stop token. `margin` is the smallest
margin by which a token was chosen. The first options are chosen by hand, the others at random.
"""

import json
import random
import shutil
import tempfile
from pathlib import Path

import torch
import transformers

HERE = Path(__file__).parent
CHECKPOINTS = {
    "gpt2": "AutoModelForCausalLM", "llama": "AutoModelForCausalLM", "bart": "AutoModelForSeq2SeqLM",
    "marian": "AutoModelForSeq2SeqLM",
}
# A choice with a smaller margin depends on rounding.
LEAST_MARGIN = 1e-4
torch.set_grad_enabled(False)
torch.set_num_threads(1)


def load(checkpoint, generation, config):
    """Loads a folder with a generation configuration, as a user would."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder) / checkpoint
        shutil.copytree(HERE / checkpoint, folder)
        if config:
            path = folder / "config.json"
            path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
        if generation is not None:
            (folder / "generation_config.json").write_text(json.dumps(generation))
        return getattr(transformers, CHECKPOINTS[checkpoint]).from_pretrained(folder, dtype=torch.float32).eval()


def write(model, one):
    """The generated sequence, and the smallest margin between a chosen token and the runner-up."""
    ids = torch.tensor([one["ids"]])
    begin = {"decoder_input_ids": torch.tensor([one["decoder_ids"]])} if "decoder_ids" in one else {}
    limit = {"max_new_tokens": one["max_new_tokens"]} if "max_new_tokens" in one else {}
    found = model.generate(ids, attention_mask=torch.ones_like(ids), use_cache=False, return_dict_in_generate=True,
                           output_scores=True, **begin, **limit)
    text = found.sequences[0].tolist()[len(one.get("decoder_ids", one["ids"])):]
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    length = next((at + 1 for at, token in enumerate(text) if token in ends), len(text))
    margins = [1.0]
    for scores in found.scores:
        best = scores.flatten().sort(descending=True).values[:6]
        margins += [float(a - b) for a, b in zip(best, best[1:]) if torch.isfinite(b) and a != b]
    return text[:length], min(margins)


def by_hand():
    """Single options, and pairs of options that interact."""
    gpt2 = lambda generation, ids=(7, 12, 33, 5), **more: {"checkpoint": "gpt2", "generation_config": generation, "ids": list(ids), "max_new_tokens": 10, **more}
    bart = lambda generation, begin=(2,), **more: {
        "checkpoint": "bart", "generation_config": {"decoder_start_token_id": 2, "bos_token_id": 0, "pad_token_id": 1, **generation},
        "ids": [5, 9, 12, 2], "decoder_ids": list(begin), "max_new_tokens": 7, **more}
    free = lambda **more: {key: value for key, value in more.items() if value is not None}
    for generation in [
        {}, {"bad_words_ids": [[16, 16]]}, {"bad_words_ids": [[16, 48], [16, 16, 49], [29, 29]]}, {"bad_words_ids": [[5, 16], [7]]},
        {"bad_words_ids": [[29], [16, 29]], "eos_token_id": 29}, {"suppress_tokens": [29], "eos_token_id": 29},
        {"min_new_tokens": 6, "eos_token_id": [16, 29, 48]}, {"min_length": 8, "eos_token_id": [16, 29, 48]},
        {"min_length": 9, "min_new_tokens": 2, "eos_token_id": [16, 29, 48]}, {"min_length": 9, "min_new_tokens": 0, "eos_token_id": 16},
        {"repetition_penalty": 1.4}, {"repetition_penalty": 0.6}, {"repetition_penalty": 5.0, "no_repeat_ngram_size": 2},
        {"num_beams": 3, "repetition_penalty": 2.5}, {"num_beams": 4, "repetition_penalty": 0.7}, {"num_beams": 2, "renormalize_logits": True, "suppress_tokens": [16, 29]},
        {"num_beams": 3, "renormalize_logits": True, "repetition_penalty": 1.7, "bad_words_ids": [[16], [29, 29]], "length_penalty": 0.5},
        {"num_beams": 2, "bad_words_ids": [[16, 16], [28, 29]], "eos_token_id": 29, "min_new_tokens": 4},
        {"forced_bos_token_id": 9}, {"forced_eos_token_id": 11}, {"forced_eos_token_id": [31, 11]}, {"begin_suppress_tokens": [16, 28]},
        {"num_beams": 3, "forced_eos_token_id": 11, "eos_token_id": 11, "repetition_penalty": 1.3},
    ]:
        yield gpt2(generation)
    for generation in [{"forced_bos_token_id": 9}, {"forced_bos_token_id": 9, "begin_suppress_tokens": [9, 16, 28, 29]}]:
        yield gpt2(generation, ids=[7])
        yield gpt2({**generation, "num_beams": 3}, ids=[7])
    # Lengths from the file.
    for generation in [{"max_length": 9}, {"max_new_tokens": 3}, {"max_length": 6, "max_new_tokens": 5, "forced_eos_token_id": 3}, {"max_length": 8, "num_beams": 2}]:
        one = gpt2(generation)
        del one["max_new_tokens"]
        yield one
    # Without the file the keys of `config.json` apply; with the file they are ignored.
    for config in [{"num_beams": 3, "repetition_penalty": 1.8}, {"eos_token_id": 16, "min_length": 6}]:
        yield gpt2(None, config=config)
        yield gpt2({}, config=config)
    for generation in [
        {}, {"forced_bos_token_id": 9}, {"forced_bos_token_id": 9, "eos_token_id": 2, "num_beams": 3}, {"bad_words_ids": [[39, 39]]}, {"bad_words_ids": [[7, 39], [2, 9]]},
        {"forced_bos_token_id": 9, "begin_suppress_tokens": [39]}, {"forced_eos_token_id": 2, "eos_token_id": 2}, {"repetition_penalty": 1.5, "num_beams": 2},
        {"min_length": 5, "eos_token_id": 39}, {"min_new_tokens": 4, "eos_token_id": 39}, {"renormalize_logits": True, "num_beams": 4, "bad_words_ids": [[39]], "eos_token_id": 2},
    ]:
        yield bart(generation)
        yield bart(generation, begin=[2, 7])
        yield bart(generation, begin=[2, 7, 39])
    yield bart({"forced_bos_token_id": 9, "forced_eos_token_id": 4}, max_new_tokens=1)


def at_random(count):
    chance = random.Random(5)
    for _ in range(count):
        checkpoint = chance.choice(sorted(CHECKPOINTS))
        pairs = CHECKPOINTS[checkpoint] == "AutoModelForSeq2SeqLM"
        vocabulary = json.loads((HERE / checkpoint / "config.json").read_text())["vocab_size"]
        tokens = lambda count: [chance.randrange(3, vocabulary) for _ in range(count)]
        one = {"checkpoint": checkpoint, "ids": tokens(chance.randrange(1, 7)), "max_new_tokens": chance.randrange(4, 11)}
        generation = {"pad_token_id": 1}
        if pairs:
            generation["decoder_start_token_id"] = 2
            one["decoder_ids"] = [2, *tokens(chance.choice([0, 0, 1, 2]))]
        # The unrestricted sequence determines what to forbid.
        said, _ = write(load(checkpoint, generation, None), one)
        often = [token for token in said if chance.random() < 0.5] or said[:1]
        maybe = lambda key, value, odds=0.3: generation.update({key: value}) if chance.random() < odds else None
        maybe("eos_token_id", chance.sample(said, 1) + tokens(2), 0.6)
        at = chance.randrange(len(said))
        maybe("bad_words_ids", [said[at:at + 2], tokens(2), tokens(1), said[-2:]], 0.5)
        maybe("num_beams", chance.randrange(2, 6), 0.5)
        maybe("repetition_penalty", chance.choice([0.5, 0.9, 1.2, 1.8, 3.0]), 0.5)
        maybe("renormalize_logits", True)
        maybe("length_penalty", chance.choice([-1.0, 0.0, 0.6, 2.0]))
        maybe("early_stopping", chance.choice([True, False, "never"]))
        maybe("min_new_tokens", chance.randrange(0, 5))
        maybe("min_length", chance.randrange(0, 9))
        maybe("no_repeat_ngram_size", chance.randrange(1, 4))
        maybe("suppress_tokens", often[:3])
        maybe("begin_suppress_tokens", said[:2])
        maybe("forced_bos_token_id", tokens(1)[0])
        maybe("forced_eos_token_id", tokens(1)[0])
        yield {**one, "generation_config": generation}


def main():
    entries, tight = [], 0
    for number, one in enumerate([*by_hand(), *at_random(120)]):
        model = load(one["checkpoint"], one["generation_config"], one.get("config"))
        one["sequence"], margin = write(model, one)
        one["margin"] = float(f"{margin:.3g}")
        if margin < LEAST_MARGIN:
            tight += 1
            continue
        entries.append(one)
    lines = ",\n".join(json.dumps(one) for one in entries)
    (HERE / "generation.json").write_text(f"[\n{lines}\n]\n")
    print(f"{len(entries)} entries, {tight} left out as too close to call")


if __name__ == "__main__":
    main()
