"""Runs a blob: generation, classification, tagging, embeddings and other tasks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape
from typing import Any, Literal, NamedTuple, Optional, Union, overload

import numpy as np

from . import _kinglet
from ._kinglet import Error, Generation
from ._logits import Floats, Integers, log_prob, sigmoid, softmax

# The runtime's code of the error that a model is for another task (docs/errors.md).
WRONG_HEAD = 222


class _Tokens(NamedTuple):
    """The tokens of a text, with the properties of each."""

    ids: list[int]
    types: list[int]
    spelt: list[str]
    offsets: list[tuple[int, int]]
    texts: list[Optional[int]]
    continues: list[bool]


def lacking(board: dict[str, Any]) -> str:
    """Names the memory of which a board has too little."""
    return "too little " + ("flash" if board["flash_left"] is None else "RAM")


class Model:
    """A blob that was loaded and checked.

    Calls release Python's global interpreter lock while the model runs, and several threads may use
    a model at the same time.

    Args:
        blob: The file that `convert` wrote, or its bytes.
        threads: The number of threads that work on one text, or on a list of texts. Results do not
            depend on it.

    Raises:
        Error: If the bytes are not a blob, are damaged, or have another version of the format.
        OSError: If the file cannot be read.

    Example:
        >>> Model("firmware-examples/common/models/home-intent.kinglet")
        <kinglet.Model: text-classification, 48 positions, 32 labels>
    """

    def __init__(self, blob: Union[str, "os.PathLike[str]", bytes], *, threads: int = 1) -> None:
        if not isinstance(threads, int) or not 1 <= threads <= 64:
            raise ValueError("`threads` must be from 1 to 64")
        if not isinstance(blob, bytes):
            with open(os.fspath(blob), "rb") as file:
                blob = file.read()
        self._engine = _kinglet.Engine(blob, threads)
        self._about: dict[str, Any] = self._engine.about()
        self._threads = threads

    def __repr__(self) -> str:
        labels = f", {len(self.labels)} labels" if self.labels else ""
        return f"<kinglet.Model: {self.task}, {self.max_length} positions{labels}>"

    @property
    def task(self) -> str:
        """The model's task, with the name of the `transformers` pipeline."""
        return str(self._about["task"])

    @property
    def labels(self) -> list[str]:
        """The names of the head's outputs; empty if they have none."""
        return list(self._about["labels"])

    @property
    def max_length(self) -> int:
        """The maximum number of tokens of a text."""
        return int(self._about["positions"])

    @property
    def prompts(self) -> dict[str, str]:
        """The prompts that can be put before a text to embed, by name."""
        return dict(self._about["prompts"])

    def inspect(self) -> dict[str, Any]:
        """The contents of the blob, and the memory that it needs at several lengths, as
        `kinglet inspect --json` prints them."""
        return self._engine.inspect()

    def fit(self, tokens: Optional[int] = None) -> list[dict[str, Any]]:
        """The fit of the blob for each known board, as `kinglet fit --json` prints it.

        Args:
            tokens: The length of the longest text; by default the longest that fits.

        Example:
            >>> [at["board"] for at in stories.fit(128) if at["fits"]][:2]
            ['Raspberry Pi Pico', 'Raspberry Pi Pico 2']
        """
        _at_least_one(tokens, "tokens")
        return self._engine.fit(tokens)

    def tensors(self) -> dict[str, Floats]:
        """The dequantized weights that the runtime uses: matrices with the shape `[rows, columns]`,
        all others with one dimension. The names are the roles that `kinglet inspect` lists.

        Example:
            >>> slots.tensors()["head.Output"].shape
            (17, 96)
        """
        rows = ((name, np.frombuffer(data, "<f4"), cols) for name, cols, data in self._engine.tensors())
        return {name: values.reshape(-1, cols) if cols else values for name, values, cols in rows}

    def _repr_html_(self) -> str:
        about = self.inspect()
        facts = {"task": self.task, "bytes": f"{about['bytes']:,}", "positions": f"{self.max_length:,}", "labels": len(self.labels)}
        rows = "".join(f"<tr><th>{name}</th><td>{escape(str(value))}</td></tr>" for name, value in facts.items() if value)
        boards = "".join(
            f"<tr><td>{escape(at['board'])}</td><td>{at['tokens'] if at['fits'] else '–'}</td>"
            f"<td>{format(at['estimated_milliseconds_per_token'], '.1f') + ' ms' if at['fits'] else lacking(at)}</td></tr>"
            for at in self.fit()
        )
        head = "<tr><th>board</th><th>longest text</th><th>a token takes about</th></tr>"
        return f"<table><caption>kinglet.Model</caption>{rows}</table><table>{head}{boards}</table>"

    def self_test(self) -> None:
        """Runs the golden vectors in the blob: test inputs with the exact bits of every layer.

        Raises:
            Error: With code 241 if this machine computes other bits than the converter did.
        """
        self._engine.self_test()

    def verify(
        self,
        checkpoint: Union[str, "os.PathLike[str]"],
        texts: Sequence[str] = (),
        *,
        adapter: Optional[Union[str, "os.PathLike[str]"]] = None,
    ) -> dict[str, Any]:
        """Compares the blob with the `f32` reference on the checkpoint that it was converted from.

        Args:
            checkpoint: The checkpoint's folder, or its name on the Hub.
            texts: The texts to compare on; by default texts that a decoder writes, or token ids spread
                over the vocabulary.
            adapter: The adapter that was merged into the blob.

        Returns:
            The figures that `kinglet verify --json` prints: `cosine_mean`, `cosine_min`, and for a model of
            language `language` with `kl` and `top1`.

        Raises:
            Error: If it is the checkpoint of another blob, or the results have nothing in common.

        Example:
            >>> intents.verify("models/home/intent", ["lights on", "stop the music"])["cosine_min"] > 0.999
            True
        """
        given = None if adapter is None else os.fspath(adapter)
        return self._engine.verify(os.fspath(checkpoint), given, [texts] if isinstance(texts, str) else list(texts))

    # Tokens.

    def tokenize(
        self,
        text: str,
        pair: Optional[str] = None,
        *,
        add_special_tokens: bool = True,
        max_length: Optional[int] = None,
    ) -> dict[str, list[Any]]:
        """The tokens of a text or of a pair: `input_ids`, `token_type_ids`, `offset_mapping` in
        characters, and `tokens` as spelled in the vocabulary.

        Example:
            >>> intents.tokenize("lights on")["tokens"]
            ['[CLS]', 'lights', 'on', '[SEP]']
        """
        tokens = self._tokens(text, pair, add_special_tokens, max_length)
        return {
            "input_ids": tokens.ids,
            "token_type_ids": tokens.types,
            "offset_mapping": tokens.offsets,
            "tokens": tokens.spelt,
        }

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """The text of tokens.

        Example:
            >>> intents.decode(intents.tokenize("lights on")["input_ids"], skip_special_tokens=True)
            'lights on'
        """
        return self._engine.decode(_ids(ids), skip_special_tokens)

    @overload
    def logits(
        self,
        ids: Union[str, Sequence[int]],
        *,
        token_type_ids: Sequence[int] = ...,
        decoder_ids: Sequence[int] = ...,
        integers: Literal[False] = ...,
    ) -> Floats: ...
    @overload
    def logits(
        self,
        ids: Union[str, Sequence[int]],
        *,
        token_type_ids: Sequence[int] = ...,
        decoder_ids: Sequence[int] = ...,
        integers: Literal[True],
    ) -> Integers: ...
    def logits(
        self,
        ids: Union[str, Sequence[int]],
        *,
        token_type_ids: Sequence[int] = (),
        decoder_ids: Sequence[int] = (),
        integers: bool = False,
    ) -> Union[Floats, Integers]:
        """The head's outputs for tokens or for a text, with the shape `[tokens, outputs]`, or
        `[1, outputs]` if the head pools.

        With `integers`, returns the exact fixed-point numbers, which equal a board's.

        Example:
            >>> intents.logits("lights on").shape
            (1, 32)
        """
        if isinstance(ids, str):
            tokens = self._tokens(ids)
            ids, token_type_ids = tokens.ids, token_type_ids or tokens.types
        rows = self._rows(_ids(ids), token_type_ids, decoder_ids)
        return rows if integers else self._real(rows)

    # Tasks.

    def generate(
        self,
        text: Union[str, Sequence[int]],
        *,
        max_new_tokens: Optional[int] = None,
        min_new_tokens: Optional[int] = None,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        repetition_penalty: Optional[float] = None,
        no_repeat_ngram_size: Optional[int] = None,
        num_beams: Optional[int] = None,
        seed: int = 0,
        stop: Sequence[str] = (),
        choices: Sequence[str] = (),
        decoder_ids: Sequence[int] = (),
    ) -> Generation:
        """Continues a text or token ids. Returns an iterator over pieces of the generated text.

        Options that are `None` take the values of the checkpoint's `generation_config.json`. The
        model runs on its own thread, one piece ahead; leaving the loop early stops it. Afterwards the
        iterator's `token_ids` are the generated tokens, and `finish_reason` is `"stop"` or
        `"length"`.

        Args:
            text: The beginning of the text; for an encoder-decoder the encoder's text.
            max_new_tokens: The maximum number of new tokens.
            min_new_tokens: The minimum number of new tokens before the text may end.
            temperature: Divides the logits; 0 always takes the likeliest token.
            top_k: Samples from this number of likeliest tokens; 0 for all.
            top_p: Samples from the likeliest tokens whose probabilities add up to `top_p`.
            min_p: Samples from tokens with at least this fraction of the likeliest token's
                probability.
            repetition_penalty: Makes tokens that the text already contains less likely; 1 for no
                change.
            no_repeat_ngram_size: No sequence of this length occurs twice.
            num_beams: The number of beams of a beam search, whose result comes as one piece; 1 for no
                search.
            seed: The seed of the random numbers; equal seeds give equal texts on every machine.
            stop: Texts that end the generation; they are not returned.
            choices: Generates one of these texts, and nothing else.
            decoder_ids: The first tokens of an encoder-decoder's decoder.

        Example:
            >>> "".join(stories.generate("Once upon a time", max_new_tokens=8))
            ', there was a clever'
        """
        self._need("text-generation", "write texts")
        if isinstance(text, str):
            tokens = self._tokens(text)
            ids, types = tokens.ids, tokens.types
        else:
            ids, types = _ids(text), []
        if isinstance(stop, str) or isinstance(choices, str):
            raise TypeError("`stop` and `choices` are lists of texts")
        return self._engine.generate(
            {
                "ids": ids,
                "token_types": types,
                "decoder_ids": _ids(decoder_ids),
                "max_new_tokens": max_new_tokens,
                "min_new_tokens": min_new_tokens,
                "temperature": temperature,
                "top_k": top_k,
                "top_p": top_p,
                "min_p": min_p,
                "repetition_penalty": repetition_penalty,
                "no_repeat_ngram_size": no_repeat_ngram_size,
                "num_beams": num_beams,
                "seed": seed,
                "stop": list(stop),
                "choices": list(choices),
            }
        )

    def encode(
        self,
        sentences: Union[str, Sequence[str]],
        prompt_name: Optional[str] = None,
        prompt: Optional[str] = None,
        batch_size: int = 32,
        show_progress_bar: Optional[bool] = None,
        convert_to_numpy: bool = True,
        normalize_embeddings: bool = False,
    ) -> Floats:
        """Sentence vectors, as `SentenceTransformer.encode` returns them: `[width]` for a text,
        `[texts, width]` for a list.

        Args:
            sentences: A text or several; tokens beyond `max_length` are cut off.
            prompt_name: The name in `prompts` of the prompt to put before each text; by default the
                model's default prompt.
            prompt: The prompt itself, in place of `prompt_name`.
            batch_size: Ignored, for compatibility; texts run one by one, on `threads` threads.
            show_progress_bar: Ignored, for compatibility.
            convert_to_numpy: Must be true.
            normalize_embeddings: Scales each vector to length 1; some models always do.
        """
        self._need("sentence-similarity", "make sentence vectors")
        if not convert_to_numpy:
            raise ValueError("vectors are NumPy arrays: `torch.from_numpy` makes tensors of them")
        before = prompt if prompt is not None else self._prompt(prompt_name)
        texts = [sentences] if isinstance(sentences, str) else list(sentences)
        rows = self._map(lambda text: self._read(before + text)[0], texts)
        vectors = np.concatenate(rows) if rows else np.zeros((0, self._about["width"]), np.float32)
        if normalize_embeddings or self._about["normalize"]:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.where(lengths > 0, lengths, 1)
        return vectors[0] if isinstance(sentences, str) else vectors

    def embed(self, texts: Union[str, Sequence[str]]) -> Floats:
        """Sentence vectors with the model's default prompt: `encode` without options."""
        return self.encode(texts)

    def classify(self, text: Union[str, Sequence[str]], pair: Optional[str] = None, *, top_k: Optional[int] = 1) -> Any:
        """Labels with their probabilities, the likeliest first, or the numbers of a regression.

        Returns a list of `{"label", "score"}` for a text, and a list of such lists for several texts.
        `top_k` is the number of labels, `None` for all.

        Example:
            >>> intents.classify("Dim the hallway lights to thirty percent.")[0]["label"]
            'light.set'
        """
        self._need("text-classification", "classify texts")
        _at_least_one(top_k, "top_k")
        kind = self.inspect()["spec"]["head"]["task"]

        def one(text: str) -> list[dict[str, Any]]:
            logits = self._read(text, pair)[0][0]
            scores = sigmoid(logits) if kind == "MultiLabelClassification" else softmax(logits)
            if kind == "Regression":
                return [{"label": self._label(index), "score": float(score)} for index, score in enumerate(logits)]
            best = np.argsort(-scores, kind="stable")[:top_k]
            return [{"label": self._label(index), "score": float(scores[index])} for index in best]

        return one(text) if isinstance(text, str) else self._map(one, list(text))

    def tag(
        self,
        text: Union[str, Sequence[str]],
        *,
        aggregation_strategy: Literal["none", "simple", "first", "average", "max"] = "none",
        ignore_labels: Iterable[str] = ("O",),
    ) -> Any:
        """Labels of a text's tokens, as the token classification pipeline of `transformers` returns
        them.

        With `"none"`, returns `{"entity", "score", "index", "word", "start", "end"}` for each token
        whose label is not in `ignore_labels`; otherwise
        `{"entity_group", "score", "word", "start", "end"}` for each entity. For several texts, returns
        a list of such lists.

        Example:
            >>> found = slots.tag("play some jazz in the kitchen", aggregation_strategy="simple")
            >>> [(entity["entity_group"], entity["word"]) for entity in found]
            [('music', 'jazz'), ('room', 'kitchen')]
        """
        self._need("token-classification", "label tokens")
        if aggregation_strategy not in ("none", "simple", "first", "average", "max"):
            raise ValueError(f"there is no aggregation_strategy {aggregation_strategy!r}")
        ignored = set(ignore_labels)

        def one(text: str) -> list[dict[str, Any]]:
            logits, tokens = self._read(text)
            scores = softmax(logits)
            if aggregation_strategy != "none":
                rows = [None if of is None else row.tolist() for row, of in zip(scores, tokens.texts)]
                entities = self._engine.entities(rows, tokens.continues, aggregation_strategy)
                spans = [(name, score, tokens.offsets[a][0], tokens.offsets[b - 1][1]) for name, score, a, b in entities]
                return [
                    {"entity_group": name, "score": score, "word": text[start:end], "start": start, "end": end}
                    for name, score, start, end in spans
                    if name not in ignored
                ]
            found = []
            for index, (row, of) in enumerate(zip(scores, tokens.texts)):
                best = int(np.argmax(row))
                if of is None or self._label(best) in ignored:
                    continue
                start, end = tokens.offsets[index]
                found.append(
                    {
                        "entity": self._label(best),
                        "score": float(row[best]),
                        "index": index,
                        "word": tokens.spelt[index],
                        "start": start,
                        "end": end,
                    }
                )
            return found

        return one(text) if isinstance(text, str) else self._map(one, list(text))

    def answer(
        self,
        question: str,
        context: str,
        *,
        top_k: int = 1,
        max_answer_len: int = 30,
        handle_impossible_answer: bool = False,
    ) -> Any:
        """Finds the span of `context` that answers `question`: `{"score", "start", "end", "answer"}`,
        or a list of them if `top_k` is above 1. A score is the product of the probabilities of start
        and end. With `handle_impossible_answer`, the empty answer is a candidate, too."""
        self._need("question-answering", "answer questions")
        _at_least_one(top_k, "top_k")
        _at_least_one(max_answer_len, "max_answer_len")
        logits, tokens = self._read(question, context)
        inside = np.array([of == 1 for of in tokens.texts])
        # The first token stands for "no answer", and takes part in the softmax.
        counted = inside.copy()
        counted[0] = True
        start, end = softmax(np.where(counted[:, None], logits, -np.inf), axis=0).T
        scores = np.triu(np.outer(np.where(inside, start, 0), np.where(inside, end, 0)))
        scores -= np.triu(scores, max_answer_len)
        best = np.argsort(-scores, axis=None, kind="stable")[:top_k]
        found = []
        for first, last in zip(*np.unravel_index(best, scores.shape)):
            begin, stop = tokens.offsets[first][0], tokens.offsets[last][1]
            score = float(scores[first, last])
            if score > 0:
                found.append({"score": score, "start": begin, "end": stop, "answer": context[begin:stop]})
        if handle_impossible_answer:
            found.append({"score": float(start[0] * end[0]), "start": 0, "end": 0, "answer": ""})
        found = sorted(found, key=lambda answer: -answer["score"])[:top_k]
        if top_k > 1:
            return found
        return found[0] if found else {"score": 0.0, "start": 0, "end": 0, "answer": ""}

    def fill_mask(self, text: str, *, top_k: int = 5) -> Any:
        """Guesses the masked tokens of a text: a list of `{"score", "token", "token_str", "sequence"}`,
        the likeliest first; for several masks a list of such lists.

        Example:
            >>> [guess["token_str"] for guess in words.fill_mask("set a [MASK] for ten minutes", top_k=2)]
            ['timer', 'alarm']
        """
        self._need("fill-mask", "fill masks")
        _at_least_one(top_k, "top_k")
        logits, tokens = self._read(text)
        masks = [index for index, token in enumerate(tokens.ids) if token == self._about["mask"]]
        if not masks:
            raise _error("the text has no mask to fill\nput the mask's token where a word is to be guessed", 215)
        guesses = []
        for index in masks:
            scores = softmax(logits[index])
            scores[self._about["mask"]] = 0
            each = []
            for token in np.argsort(-scores, kind="stable")[:top_k].tolist():
                filled = [*tokens.ids[:index], token, *tokens.ids[index + 1 :]]
                each.append(
                    {
                        "score": float(scores[token]),
                        "token": token,
                        "token_str": self.decode([token]),
                        "sequence": self.decode(filled, skip_special_tokens=len(masks) == 1),
                    }
                )
            guesses.append(each)
        return guesses[0] if len(guesses) == 1 else guesses

    def score(self, text: Union[str, Sequence[int]], *, decoder_ids: Sequence[int] = ()) -> dict[str, Any]:
        """The likelihood of a text: `input_ids`, the `log_probs` of the tokens in nats, their sum
        `log_prob`, and the `perplexity`.

        In a decoder a token's probability is conditioned on the tokens read before it; the first
        token has none. In an encoder each token is masked in turn and conditioned on all others; the
        first and the last token have none. In an encoder-decoder `decoder_ids` are scored.

        Example:
            >>> stories.score("Once upon a time")["perplexity"] < stories.score("time a upon Once")["perplexity"]
            True
        """
        ids = self._tokens(text).ids if isinstance(text, str) else _ids(text)
        log_probs: list[Optional[float]]
        if self.task == "fill-mask":
            log_probs = [None] * len(ids)
            for index in range(1, len(ids) - 1):
                masked = [*ids[:index], self._about["mask"], *ids[index + 1 :]]
                log_probs[index] = log_prob(self.logits(masked)[index], ids[index])
        else:
            self._need("text-generation", "predict tokens")
            rows = self.logits(ids, decoder_ids=decoder_ids)
            if self._about["encoder"]:
                ids = _ids(decoder_ids)
            before = 1 if self._about["backward"] else -1
            seen = [index + before for index in range(len(ids))]
            log_probs = [
                log_prob(rows[at], token) if 0 <= at < len(rows) else None for at, token in zip(seen, ids)
            ]
        known = [value for value in log_probs if value is not None]
        total = float(np.sum(known))
        perplexity = float(np.exp(-total / len(known))) if known else None
        return {"input_ids": ids, "log_probs": log_probs, "log_prob": total, "perplexity": perplexity}

    # Shared by the methods.

    def _need(self, task: str, what: str) -> None:
        if self.task != task:
            raise _error(f"the model does not {what}: it is for {self.task}\nconvert a checkpoint for {task}", WRONG_HEAD)

    def _tokens(
        self, text: str, pair: Optional[str] = None, special: bool = True, max_length: Optional[int] = None
    ) -> _Tokens:
        return _Tokens(*self._engine.tokenize(text, pair, special, max_length))

    def _rows(self, ids: list[int], types: Sequence[int], decoder_ids: Sequence[int]) -> Integers:
        data, count = self._engine.rows(ids, _ids(types), _ids(decoder_ids))
        return np.frombuffer(data, "<i4").reshape(count, -1)

    def _real(self, rows: Integers) -> Floats:
        return rows.astype(np.float32) * np.float32(2.0 ** -self._about["fraction_bits"])

    def _read(self, text: str, pair: Optional[str] = None) -> tuple[Floats, _Tokens]:
        """The head's outputs for a text that is truncated to `max_length`, and its tokens."""
        tokens = self._tokens(text, pair, True, self.max_length)
        return self._real(self._rows(tokens.ids, tokens.types, ())), tokens

    def _map(self, function: Any, texts: list[str]) -> list[Any]:
        if self._threads == 1 or len(texts) < 2:
            return [function(text) for text in texts]
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(function, texts))

    def _prompt(self, name: Optional[str]) -> str:
        name = self._about["default_prompt"] if name is None else name
        if not name:
            return ""
        if name not in self.prompts:
            raise _error(f"the model has no prompt {name!r}\nchoose one of {', '.join(self.prompts) or 'none'}")
        return self.prompts[name]

    def _label(self, index: int) -> str:
        return self.labels[index] if index < len(self.labels) else f"LABEL_{index}"


def _error(message: str, code: Optional[int] = None) -> Error:
    error = Error(message)
    error.code = code
    return error


def _ids(ids: Iterable[int]) -> list[int]:
    return ids.tolist() if isinstance(ids, np.ndarray) else list(ids)


def _at_least_one(value: Optional[int], name: str) -> None:
    if value is not None and value < 1:
        raise ValueError(f"`{name}` must be at least 1")
