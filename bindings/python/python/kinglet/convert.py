"""Converts a checkpoint to a blob."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from html import escape
from typing import Any, Literal, Optional, Union

from . import _kinglet

Path = Union[str, "os.PathLike[str]"]


class Report:
    """The report of a conversion: sizes, memory, and the loss through quantization.

    `str(report)` is the report that `kinglet convert` prints, `summary` has its figures by name, and
    notebooks show the parts of the blob as bars.

    Attributes:
        summary: The figures that `kinglet convert --json` prints: `bytes` by part, `memory` at
            several lengths, `fidelity` compared with the `f32` model, and others.
        notes: Notes and warnings of the conversion.
    """

    def __init__(self, summary: dict[str, Any], text: str, notes: list[str]) -> None:
        self.summary = summary
        self.notes = notes
        self._text = text

    def __getitem__(self, name: str) -> Any:
        return self.summary[name]

    def __str__(self) -> str:
        return self._text.rstrip()

    def __repr__(self) -> str:
        total, cosine = self["bytes"]["total"], self["fidelity"]["cosine_mean"]
        return f"<kinglet.Report: {self['model_type']}, {total} bytes, cosine {cosine:.5f}>"

    def _repr_html_(self) -> str:
        parts = {part: size for part, size in self["bytes"].items() if part != "total" and size}
        most = max(parts.values(), default=1)
        bar = '<div style="background:#4a7;height:0.8em;width:{:.0f}px"></div>'
        rows = "".join(
            f"<tr><td>{escape(part)}</td><td style='text-align:right'>{size:,}</td>"
            f"<td style='text-align:left'>{bar.format(200 * size / most)}</td></tr>"
            for part, size in sorted(parts.items(), key=lambda item: -item[1])
        )
        memory = "".join(
            f"<tr><td>RAM at {at['tokens']} tokens</td><td style='text-align:right'>{at['arena']:,}</td><td></td></tr>"
            for at in self["memory"]
        )
        return (
            f"<table><caption>{escape(self['model_type'])}: {self['bytes']['total']:,} bytes, cosine "
            f"{self['fidelity']['cosine_mean']:.5f} against f32</caption>"
            f"<tr><th></th><th>bytes</th><th></th></tr>{rows}{memory}</table>"
        )


def convert(
    source: Path,
    output: Path,
    *,
    weights: Literal["int8", "int4"] = "int8",
    weights_of: Sequence[str] = (),
    tables: Literal["int8", "int4"] = "int8",
    flash: Optional[str] = None,
    group_size: Literal[32, 64] = 32,
    activations: Literal["a8", "a16"] = "a16",
    keys: Union[Literal["auto"], Literal[8], Literal[16]] = "auto",
    target: Literal["portable", "cortex-m", "cortex-m4", "m55", "x86"] = "portable",
    max_tokens: Optional[int] = None,
    task: Optional[Literal["hidden", "embed"]] = None,
    direction: Optional[Literal["forward", "backward"]] = None,
    adapter: Optional[Path] = None,
    calibration: Optional[Sequence[str]] = None,
    calibrate: bool = True,
    calibration_ids: bool = False,
    tokenizer: bool = True,
    keep_vocabulary: Optional[Path] = None,
    vocabulary_size: Optional[int] = None,
    ignore_keys: Sequence[str] = (),
    force: bool = False,
) -> Report:
    """Converts a Hugging Face checkpoint to one file that the runtime reads in place.

    The blob is, byte for byte, the one that `kinglet convert` writes with these options.

    Args:
        source: The checkpoint's folder: `config.json`, `model.safetensors` or `pytorch_model.bin`,
            `tokenizer.json`. Or a model of the Hugging Face Hub, as `"org/name"` or
            `"org/name@revision"`, which is downloaded to the Hub's cache.
        output: The blob to write.
        weights: The width of the weights; `"int4"` halves the blob, and costs accuracy.
        weights_of: The width of single parts, overriding `weights`:
            `["down=int4", "query:0-3,5=int4"]`.
        tables: The width of the lookup tables of tokens, positions and token types.
        flash: The maximum size of the blob, such as `"250K"` or `"16.6M"`. Weights get four bits where
            that loses least accuracy per byte.
        group_size: The number of columns that share a scale, for `"int4"` weights.
        activations: The width of quantized activations; `"a8"` is for cores that multiply bytes.
        keys: The bits of a key in the cache; `"auto"` measures whether eight are enough.
        target: The core that the layout of the weights is optimized for.
        max_tokens: The maximum number of tokens, if it should be less than the checkpoint's.
        task: `"embed"` for sentence vectors or `"hidden"` for hidden states, in place of the task of
            the checkpoint's head.
        direction: The direction in which a decoder was trained to read, if its folder does not
            record it.
        adapter: The folder of an adapter of `peft` (LoRA) to merge into the checkpoint, or its name on
            the Hub.
        calibration: Texts like those that the model will read. Weights are calibrated on every second
            text, and the report is measured on the others.
        calibrate: `False` rounds each weight to the nearest level.
        calibration_ids: Calibrates on token ids from the whole vocabulary, for models whose texts
            resemble no ordinary text.
        tokenizer: `False` omits the tokenizer.
        keep_vocabulary: A file of texts; the vocabulary is cut to the tokens that they use.
        vocabulary_size: The number of tokens to keep.
        ignore_keys: Keys of `config.json` or `generation_config.json` to ignore, although they may
            change the result.
        force: Replaces the output if it exists.

    Raises:
        Error: If the checkpoint cannot be converted; the message names what is not implemented.

    Example:
        >>> report = kinglet.convert("models/home/intent", "intent.kinglet", calibration_ids=True)
        >>> report["bytes"]["total"] < 400_000
        True
    """
    wishes = {
        "weights": weights,
        "weights_of": list(weights_of),
        "tables": tables,
        "flash": flash,
        "group_size": group_size,
        "activations": activations,
        "keys": str(keys),
        "target": target,
        "max_tokens": max_tokens,
        "task": task,
        "direction": direction,
        "adapter": None if adapter is None else os.fspath(adapter),
        "calibration": None if calibration is None else list(calibration),
        "calibrate": calibrate,
        "calibration_ids": calibration_ids,
        "tokenizer": tokenizer,
        "keep_vocabulary": None if keep_vocabulary is None else os.fspath(keep_vocabulary),
        "vocabulary_size": vocabulary_size,
        "ignore_keys": list(ignore_keys),
        "force": force,
    }
    summary, text, notes = _kinglet.convert(os.fspath(source), os.fspath(output), wishes)
    return Report(json.loads(summary), text, notes)
