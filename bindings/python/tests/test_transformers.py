"""The methods give what the pipelines of `transformers` give for the checkpoints, within quantization."""

import numpy as np
import pytest

transformers = pytest.importorskip("transformers", reason="it compares with transformers")
torch = pytest.importorskip("torch")

COMMANDS = ["Dim the hallway lights to thirty percent.", "Wake me up at half past six.", "play some jazz in the kitchen"]


def pipeline(root, task, name, **options):
    return transformers.pipeline(task, model=str(root / "models" / name), device="cpu", dtype=torch.float32, **options)


def test_labels_are_those_of_the_pipeline(root, intents):
    theirs = pipeline(root, "text-classification", "home/intent")
    for mine, other in zip(intents.classify(COMMANDS), theirs(COMMANDS)):
        assert set(mine[0]) == set(other) and mine[0]["label"] == other["label"]
        assert mine[0]["score"] == pytest.approx(other["score"], abs=0.02)
    mine, other = intents.classify(COMMANDS[0], top_k=3), theirs(COMMANDS[0], top_k=3)
    assert [label["label"] for label in mine][0] == other[0]["label"] and len(mine) == len(other)


@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
def test_tags_are_those_of_the_pipeline(root, slots, strategy):
    theirs = pipeline(root, "token-classification", "home/slots", aggregation_strategy=strategy)
    name = "entity" if strategy == "none" else "entity_group"
    for command in COMMANDS:
        mine, other = slots.tag(command, aggregation_strategy=strategy), theirs(command)
        assert [(tag[name], tag["start"], tag["end"]) for tag in mine] == [
            (tag[name], tag["start"], tag["end"]) for tag in other
        ]
        assert all(set(a) == set(b) for a, b in zip(mine, other))
        assert [tag["score"] for tag in mine] == pytest.approx([tag["score"] for tag in other], abs=0.02)


def test_masks_are_filled_as_by_the_pipeline(root, words):
    theirs = pipeline(root, "fill-mask", "home/words")
    for text in ("turn [MASK] the lights in the kitchen", "set a [MASK] for ten minutes"):
        mine, other = words.fill_mask(text, top_k=1), theirs(text, top_k=1)
        assert [(guess["token"], guess["token_str"], guess["sequence"]) for guess in mine] == [
            (guess["token"], guess["token_str"], guess["sequence"]) for guess in other
        ]
        assert mine[0]["score"] == pytest.approx(other[0]["score"], abs=0.05)


def test_a_story_begins_as_by_transformers(root, stories):
    folder = str(root / "models/stories")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = tokenizer("Once there was a brave little fox.", return_tensors="pt")
    assert stories.tokenize("Once there was a brave little fox.")["input_ids"] == ids.input_ids[0].tolist()
    theirs = model.generate(**ids, max_new_tokens=16, do_sample=False)[0, ids.input_ids.shape[1] :].tolist()
    story = stories.generate("Once there was a brave little fox.", max_new_tokens=16)
    list(story)
    assert story.token_ids == theirs
    with torch.no_grad():
        exact = model(**ids).logits[0].numpy()
    mine = stories.logits(ids.input_ids[0].tolist())
    cosine = (mine * exact).sum(1) / np.linalg.norm(mine, axis=1) / np.linalg.norm(exact, axis=1)
    assert cosine.min() > 0.999


def test_vectors_are_those_of_sentence_transformers(root):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    import kinglet

    theirs = sentence_transformers.SentenceTransformer(
        str(root / "models/search"), device="cpu", model_kwargs={"dtype": torch.float32}
    )
    mine = kinglet.Model(root / "firmware-examples/common/models/search.kinglet")
    sentences = ["how do I clean the oven?", "the kettle does not switch off", "reset my phone"]
    ours, exact = mine.encode(sentences), theirs.encode(sentences)
    assert ours.shape == exact.shape and ours.dtype == exact.dtype
    cosine = (ours * exact).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(exact, axis=1)
    assert cosine.min() > 0.99
    assert np.linalg.norm(ours, axis=1) == pytest.approx(np.linalg.norm(exact, axis=1), rel=0.01)
