"""Tests of shapes, streams, threads and misuse."""

import json
import random
import signal
import string
import threading
from concurrent.futures import ThreadPoolExecutor

import kinglet
import numpy as np
import pytest
from kinglet import Error, Model

ALL = ["stories", "intents", "slots", "words", "backward", "command"]


def test_a_text_comes_in_pieces_that_are_the_whole(stories):
    story = stories.generate("Once upon a time", max_new_tokens=20)
    pieces = list(story)
    assert len(pieces) > 10 and len(story.token_ids) == 20 and story.finish_reason == "length"
    # A token that begins a word decodes to a leading space only if it follows another token.
    ids = stories.tokenize("Once upon a time")["input_ids"]
    assert stories.decode([*ids, *story.token_ids], skip_special_tokens=True) == "Once upon a time" + "".join(pieces)


def test_a_text_that_is_left_early_stops_its_thread(stories):
    for _ in range(50):
        story = stories.generate("Once upon a time")
        next(story)
        story.close()
        assert list(story) == [] and story.token_ids is None
    for _ in range(50):
        next(stories.generate("Once upon a time"))


def test_a_seed_gives_one_text(stories):
    write = lambda seed: "".join(stories.generate("One day", max_new_tokens=20, temperature=1.0, seed=seed))
    assert write(1) == write(1) and write(1) != write(2)


def test_a_text_ends_where_it_is_told_to(stories):
    whole = "".join(stories.generate("Once upon a time", max_new_tokens=60))
    story = stories.generate("Once upon a time", max_new_tokens=60, stop=["."])
    assert "".join(story) == whole.split(".")[0] and story.finish_reason == "stop"


def test_only_a_choice_is_written(stories):
    choices = [" a dog", " a cat", " the moon"]
    written = "".join(stories.generate("Tom saw", choices=choices))
    assert written.strip() in [choice.strip() for choice in choices]


def test_a_search_finds_a_likelier_text(stories):
    likelihood = []
    for beams in (1, 4):
        story = stories.generate("One day", max_new_tokens=8, num_beams=beams)
        assert "".join(story)
        ids = stories.tokenize("One day")["input_ids"]
        likelihood.append(stories.score([*ids, *story.token_ids])["log_prob"])
    assert likelihood[1] > likelihood[0]


def test_what_comes_before_a_text_is_read_from_its_beginning(backward):
    text = "".join(backward.generate("They went home.", max_new_tokens=24))
    assert len(text.split()) > 4 and "  " not in text


def test_labels_are_all_there_and_sum_to_one(intents):
    labels = intents.classify("lights on", top_k=None)
    assert {label["label"] for label in labels} == set(intents.labels)
    assert sum(label["score"] for label in labels) == pytest.approx(1, abs=1e-5)
    assert labels == sorted(labels, key=lambda label: -label["score"])


def test_threads_give_equal_results(intents, root):
    texts = ["lights on", "wake me at six", "play some jazz"] * 20
    several = Model(root / "firmware-examples/common/models/home-intent.kinglet", threads=3)
    assert several.classify(texts) == intents.classify(texts)
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(intents.logits, texts))
    assert all(np.array_equal(row, intents.logits(text)) for row, text in zip(rows, texts))


def test_the_lock_is_free_while_a_model_runs(stories):
    """Another Python thread runs during a call."""
    counted, done = [0], threading.Event()

    def count():
        while not done.is_set():
            counted[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    before = counted[0]
    for _ in range(10):
        stories.logits(list(range(200)))
    done.set()
    thread.join()
    assert counted[0] > before + 100


def test_vectors_have_the_shapes_of_sentence_transformers(root, tmp_path):
    kinglet.convert(root / "models/home/words", tmp_path / "v.kinglet", task="embed", calibration_ids=True)
    model = Model(tmp_path / "v.kinglet", threads=2)
    one, many = model.encode("lights on"), model.encode(["lights on", "music off"], batch_size=8)
    assert one.ndim == 1 and many.shape == (2, len(one)) and many.dtype == np.float32
    assert np.array_equal(one, many[0]) and np.array_equal(model.embed("lights on"), one)
    lengths = np.linalg.norm(model.encode(["lights on", "music off"], normalize_embeddings=True), axis=1)
    assert lengths == pytest.approx(1, abs=1e-5)
    assert model.encode([]).shape == (0, len(one))
    with pytest.raises(Error, match="no prompt"):
        model.encode("lights on", prompt_name="query")


def test_layers_with_four_bits_compensate_each_other_as_in_the_program(root, tmp_path):
    lines = (root / "models/stories/heldout.jsonl").read_text().splitlines()[:24]
    texts = [json.loads(line) for line in lines]
    report = kinglet.convert(root / "models/stories", tmp_path / "s.kinglet", weights="int4", keys="16", calibration=texts)
    # Without compensation the mean is 0.9965.
    assert report["fidelity"]["cosine_mean"] > 0.997


def test_an_answer_is_a_part_of_the_context(root, tmp_path):
    """Tests shapes only, with an untrained checkpoint; other tests compare logits with the reference."""
    config = root / "tests/golden/bert_answers"
    kinglet.convert(config, tmp_path / "a.kinglet", calibrate=False)
    model = Model(tmp_path / "a.kinglet")
    assert model.task == "question-answering" and model.logits([1, 2, 3]).shape == (3, 2)
    with pytest.raises(Error, match="no tokenizer"):
        model.answer("who?", "me")


def test_errors_say_what_is_wrong_and_have_the_codes_of_the_runtime(stories, intents, words, tmp_path):
    cases = [
        (222, lambda: stories.classify("x")),
        (222, lambda: intents.generate("x")),
        (222, lambda: intents.encode("x")),
        (212, lambda: stories.logits([100_000])),
        (211, lambda: stories.logits([1] * 1000)),
        (210, lambda: stories.logits([])),
        (210, lambda: stories.generate([])),
        (215, lambda: words.fill_mask("no mask")),
        (230, lambda: list(stories.generate("x", temperature=-1.0))),
        (230, lambda: list(stories.generate("x", top_p=float("nan")))),
        (None, lambda: kinglet.convert(tmp_path / "none", tmp_path / "out")),
        (None, lambda: kinglet.convert(tmp_path, tmp_path / "out")),
    ]
    for code, call in cases:
        with pytest.raises(Error) as raised:
            call()
        assert raised.value.code == code, raised.value
    with pytest.raises(FileNotFoundError):
        Model(tmp_path / "none.kinglet")


def test_boards_are_those_of_the_command_line(stories, root):
    boards = {at["board"]: at for at in stories.fit()}
    # The table in the project's README has this estimate for the story model.
    row = next(line for line in (root / "README.md").read_text().splitlines() if line.startswith("| Raspberry Pi Pico |"))
    assert f"{boards['Raspberry Pi Pico']['estimated_milliseconds_per_token']:.1f} ms" in row
    assert stories.fit(1)[0]["ram_left"] > stories.fit(128)[0]["ram_left"]
    assert "Raspberry Pi Pico" in stories._repr_html_() and "297,076" in stories._repr_html_()


def test_a_broken_blob_is_refused(root):
    good = (root / "firmware-examples/common/models/home-intent.kinglet").read_bytes()
    random.seed(1)
    for _ in range(100):
        bad = bytearray(good)
        bad[random.randrange(len(bad))] ^= 1 << random.randrange(8)
        with pytest.raises(Error) as raised:
            Model(bytes(bad))
        assert 100 <= raised.value.code < 200
    for bad in (b"", b"KNGL", good[:-1], good[: len(good) // 2], good + b"x"):
        with pytest.raises(Error):
            Model(bad)


def arbitrary(depth=0):
    """A random, possibly invalid, argument."""
    kinds = [
        lambda: None,
        lambda: random.choice([0, 1, -1, 5, 300, 2**31, 2**32, 2**64, -(2**63)]),
        lambda: random.choice([0.0, 1.0, -0.5, float("nan"), float("inf"), 1e30]),
        lambda: random.choice([True, False]),
        lambda: "".join(random.choices(string.printable + "äß漢🦊\0", k=random.randrange(40))),
        lambda: random.choice(["", "\ud800", "[MASK]", "turn [MASK] the [MASK]", "a" * 5000]),
        lambda: b"\xff\x00",
        lambda: [random.randrange(600) for _ in range(random.randrange(60))],
        lambda: np.arange(random.randrange(5)),
        lambda: [] if depth > 1 else [arbitrary(depth + 1) for _ in range(random.randrange(4))],
        lambda: {"a": 1},
        lambda: object(),
    ]
    return random.choice(kinds)()


@pytest.mark.parametrize("seed", range(100))
def test_any_arguments_give_a_result_or_an_exception(request, seed):
    """Makes a hundred calls per seed. A Rust panic would be a `BaseException`, which nothing here catches."""
    random.seed(seed)
    models = [request.getfixturevalue(name) for name in ALL]
    names = {
        "generate": ["max_new_tokens", "min_new_tokens", "temperature", "top_k", "top_p", "min_p", "seed", "stop"]
        + ["choices", "num_beams", "repetition_penalty", "no_repeat_ngram_size", "decoder_ids"],
        "tokenize": ["pair", "max_length", "add_special_tokens"],
        "logits": ["token_type_ids", "decoder_ids", "integers"],
        "tag": ["aggregation_strategy", "ignore_labels"],
        "classify": ["pair", "top_k"],
        "fill_mask": ["top_k"],
        "encode": ["prompt_name", "prompt", "normalize_embeddings"],
        "score": ["decoder_ids"],
        "decode": ["skip_special_tokens"],
        "fit": [],
        "answer": ["context", "top_k"],
    }
    for _ in range(100):
        method = random.choice(list(names))
        options = {name: arbitrary() for name in random.sample(names[method], min(random.randrange(3), len(names[method])))}
        first = random.choice([arbitrary(), "turn [MASK] the lights in the kitchen", [1, 20, 30]])
        try:
            result = getattr(random.choice(models), method)(first, **options)
            if method == "generate":
                next(result, None)
                result.close()
        except Exception:
            pass


def test_a_signal_ends_a_conversion_and_nothing_is_written(tmp_path, root):
    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KeyboardInterrupt):
            kinglet.convert(root / "models/home/intent", tmp_path / "out", calibration_ids=True)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert list(tmp_path.iterdir()) == []


def test_arbitrary_conversions_raise(tmp_path, root):
    random.seed(0)
    options = ["weights", "group_size", "activations", "keys", "target", "max_tokens", "task", "direction"]
    for _ in range(100):
        given = {name: arbitrary() for name in random.sample(options, 3)}
        with pytest.raises(Exception):
            kinglet.convert(arbitrary(), tmp_path / "out", **given)
    assert list(tmp_path.iterdir()) == []
