"""The results equal those of boards, to the last bit of the logits."""

import kinglet
import numpy as np
from kinglet import fingerprint


def test_intents_and_their_logits_are_those_of_boards(intents, expected):
    lines, bits = expected("classify")
    sentences, labels = zip(*(line.split(" -> ") for line in lines))
    assert [found[0]["label"] for found in intents.classify(sentences)] == list(labels)
    assert fingerprint([intents.logits(sentence, integers=True) for sentence in sentences]) == bits


def test_slots_and_their_logits_are_those_of_boards(slots, expected):
    lines, bits = expected("tag")
    rows = []
    for line in lines[1:]:
        pairs = [word.split("/") for word in line.split(" ")]
        text = " ".join(word for word, *_ in pairs)
        found = {tag["start"]: tag["entity"] for tag in slots.tag(text) if not tag["word"].startswith("##")}
        starts = np.cumsum([0] + [len(word) + 1 for word, *_ in pairs])
        assert [[word, found[start]] if start in found else [word] for (word, *_), start in zip(pairs, starts)] == pairs
        rows.append(slots.logits(text, integers=True))
    assert fingerprint(rows) == bits


def test_masked_words_and_their_logits_are_those_of_boards(words, expected):
    lines, bits = expected("fill_mask")
    rows = []
    for line in lines[1:]:
        text, guesses = line.split(" -> ")
        assert [guess["token_str"] for guess in words.fill_mask(text, top_k=3)] == guesses.split(" ")
        place = words.tokenize(text)["tokens"].index("[MASK]")
        rows.append(words.logits(text, integers=True)[place])
    assert fingerprint(rows) == bits


def test_a_story_and_its_logits_are_those_of_boards(stories, expected):
    lines, bits = expected("generate")
    beginning = "Once there was a brave little fox who lived near the river."
    story = stories.generate(beginning, max_new_tokens=64)
    assert beginning + "".join(story) == "\n".join(lines)
    prompt = stories.tokenize(beginning)["input_ids"]
    rows = stories.logits([*prompt, *story.token_ids], integers=True)
    # A board does not compute the logits after its last token.
    assert fingerprint(rows[len(prompt) - 1 : -1]) == bits


def test_scores_and_their_logits_are_those_of_boards(backward, expected):
    lines, bits = expected("score")
    rows = []
    for line in lines[1:]:
        text, nats = line.split(" -> ")
        assert int(-1000 * backward.score(text)["log_prob"]) == int(nats.split(" ")[0])
        # The model reads from the end, so the logits after the whole text come first.
        rows.append(backward.logits(text, integers=True)[0])
    assert fingerprint(rows) == bits


def test_an_encoder_decoder_writes_the_commands_of_boards(command, expected):
    for line in expected("command")[0][1:]:
        text, written = line.split(" -> ")
        assert "".join(command.generate(text)) == written


def test_every_model_passes_its_self_test(stories, intents, slots, words, backward, command):
    for model in (stories, intents, slots, words, backward, command):
        model.self_test()


def test_a_conversion_is_the_blob_that_ships(root, tmp_path, intents):
    made = tmp_path / "intent.kinglet"
    report = kinglet.convert(root / "models/home/intent", made, calibration_ids=True)
    shipped = root / "firmware-examples/common/models/home-intent.kinglet"
    assert made.read_bytes() == shipped.read_bytes()
    assert report["bytes"]["total"] == made.stat().st_size == intents.inspect()["bytes"]
    assert report["fidelity"]["cosine_min"] > 0.99 and "RAM" in str(report)
    assert report._repr_html_().count("<tr>") > 5
