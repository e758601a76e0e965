"""Arithmetic on logits: their hash, and the probabilities that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

import numpy as np
from numpy.typing import NDArray

from . import _kinglet

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]


def fingerprint(integers: Union[Integers, Sequence[Integers]]) -> str:
    """The hash of logits that boards print, over one array or over several in order.

    Example:
        >>> fingerprint(np.array([1, 2], np.int32)) == fingerprint(np.array([2, 1], np.int32))
        False
    """
    arrays = [integers] if isinstance(integers, np.ndarray) else list(integers)
    if any(np.asarray(array).dtype != np.int32 for array in arrays):
        raise TypeError("a fingerprint is of int32 arrays, as `logits(..., integers=True)` returns them")
    return _kinglet.fingerprint(b"".join(np.asarray(array, "<i4").tobytes() for array in arrays))


def softmax(logits: Floats, axis: int = -1) -> Floats:
    """Turns logits into probabilities along an axis."""
    powers: Floats = np.exp(logits - logits.max(axis=axis, keepdims=True))
    shares: Floats = powers / powers.sum(axis=axis, keepdims=True)
    return shares


def sigmoid(logits: Floats) -> Floats:
    """Turns each logit into a probability of its own."""
    scores: Floats = (1 / (1 + np.exp(-logits))).astype(np.float32, copy=False)
    return scores


def log_prob(logits: Floats, token: int) -> float:
    """Returns the log-probability of a token in nats, given the logits of all."""
    row = logits.astype(np.float64)
    row -= row.max()
    return float(row[token] - np.log(np.exp(row).sum()))
