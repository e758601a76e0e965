"""Quantization-aware training of PyTorch models with the quantized weights of the runtime.

`prepare` rounds the weights of each matrix of a model. In the forward pass a layer uses, to the last
bit, the weights that `kinglet.convert(..., calibrate=False)` computes; in the backward pass gradients
ignore the rounding (the straight-through estimator, arXiv 1308.3432). `finish` removes the rounding
and keeps the trained weights, which can be saved and converted.

    model = kinglet.qat.prepare(model, weights="int4")
    ...                                         # train it for a few hundred steps
    kinglet.qat.finish(model).save_pretrained("trained")
    kinglet.convert("trained", "model.kinglet", weights="int4", calibrate=False)

This module needs PyTorch, which the package does not install.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

# The range of a four-bit weight, and the largest scale of a group.
INT4 = (-8, 7)
MAX_GROUP_SCALE = 16
INT8 = (-127, 127)
# The rows and columns of a packed matrix are multiples of these numbers.
TILE = 4
PACKED_COLUMNS = 8


def quantize(weight: Tensor, weights: Literal["int8", "int4"] = "int8", group_size: int = 32) -> Tensor:
    """The quantized matrix that the runtime uses for `weight`, of shape `[rows, columns]`.

    Each row has a scale of 31 bits; with `"int4"`, the scale of each group of columns is a multiple of
    it from 1 to 16. The scales minimize the squared error.
    """
    rows = weight.detach().to(torch.float64)
    if weights == "int8":
        scale = _row_scale(rows)
        codes = _round(rows, scale[:, None], INT8)
        multiples = torch.ones_like(rows)
    else:
        scale, groups = _group_scales(rows, group_size)
        multiples = groups.repeat_interleave(group_size, 1)[:, : rows.shape[1]]
        codes = _round(rows, scale[:, None] * multiples, INT4)
    held = _held(scale)[:, None]
    codes = torch.where(held > 0, codes, 0)
    return (codes * multiples * held).to(torch.float32)


def prepare(
    model: nn.Module, *, weights: Literal["int8", "int4"] = "int8", group_size: int = 32
) -> nn.Module:
    """Makes every `Linear` and `Embedding` module of a model round its weights as the converter does.

    Embeddings stay in int8, including one that is also the output projection, and so do matrices whose
    rows are not a multiple of 4 or whose columns are not a multiple of 8. All others have the width
    `weights`. The model is changed in place, and returned."""
    if weights not in ("int8", "int4"):
        raise ValueError(f'`weights` is {weights!r}: give "int8" or "int4"')
    if group_size not in (32, 64):
        raise ValueError(f"`group_size` is {group_size}: give 32 or 64")
    modules = [module for module in model.modules() if isinstance(module, (nn.Linear, nn.Embedding))]
    tables = {id(module.weight) for module in modules if isinstance(module, nn.Embedding)}
    width: dict[int, Literal["int8", "int4"]] = {
        id(module): "int8" if id(module.weight) in tables or not packs(module.weight) else weights
        for module in modules
    }
    for module in modules:
        if not parametrize.is_parametrized(module, "weight"):
            parametrize.register_parametrization(module, "weight", _Rounded(width[id(module)], group_size))
    return model


def packs(weight: Tensor) -> bool:
    """Whether a matrix can have four-bit weights."""
    rows, columns = weight.shape
    return bool(rows % TILE == 0 and columns % PACKED_COLUMNS == 0)


def finish(model: nn.Module) -> nn.Module:
    """Removes the rounding of `prepare`, and keeps the trained weights."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
    return model


class _Rounded(nn.Module):
    """Rounds a weight; the gradient passes through unchanged."""

    def __init__(self, weights: Literal["int8", "int4"], group_size: int) -> None:
        super().__init__()
        self.weights: Literal["int8", "int4"] = weights
        self.group_size = group_size

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (quantize(weight, self.weights, self.group_size).to(weight.dtype) - weight).detach()


def _round(values: Tensor, scale: Tensor, bounds: tuple[int, int]) -> Tensor:
    """Rounds to multiples of a scale, ties to even; returns zeros where the scale is zero."""
    safe = torch.where(scale > 0, scale, 1.0)
    return torch.where(scale > 0, torch.round(values / safe).clamp(*bounds), 0.0)


def _error(values: Tensor, scale: Tensor, bounds: tuple[int, int]) -> Tensor:
    """The squared error of each row, summed in the order of the columns."""
    off = (_round(values, scale[:, None], bounds) * scale[:, None] - values) ** 2
    total = torch.zeros_like(scale)
    for column in off.unbind(1):
        total = total + column
    return total


def _best(values: Tensor, scales: list[Tensor], bounds: tuple[int, int]) -> Tensor:
    """The scale with the least error for each row; the first one if several are equal."""
    best, least = scales[0], _error(values, scales[0], bounds)
    for scale in scales[1:]:
        error = _error(values, scale, bounds)
        better = error < least
        best, least = torch.where(better, scale, best), torch.where(better, error, least)
    return best


def _row_scale(rows: Tensor) -> Tensor:
    whole = rows.abs().amax(1) / INT8[1]
    return _best(rows, [whole * (1.0 - step / 1024.0) for step in range(65)], INT8)


def _group_scales(rows: Tensor, group_size: int) -> tuple[Tensor, Tensor]:
    """The scale of each row, and each group's multiple of it."""
    count = -(-rows.shape[1] // group_size)
    # The padding rounds to zeros, and does not change the error.
    padded = nn.functional.pad(rows, (0, count * group_size - rows.shape[1]))
    groups = padded.reshape(-1, group_size)
    largest = groups.abs().amax(1)
    tried = [largest / (5.5 + (9.5 - 5.5) * step / 40) for step in range(41)]
    best = _best(groups, tried, INT4).reshape(-1, count)
    unit = best.amax(1, keepdim=True) / MAX_GROUP_SCALE
    ratio = torch.where(unit > 0, best / torch.where(unit > 0, unit, 1.0), 0.0)
    below, above = (near.clamp(1, MAX_GROUP_SCALE) for near in (ratio.floor(), ratio.ceil()))
    lower = _error(groups, (below * unit).reshape(-1), INT4)
    upper = _error(groups, (above * unit).reshape(-1), INT4)
    nearer = torch.where((lower <= upper).reshape(-1, count), below, above)
    return unit[:, 0], torch.where(best > 0, nearer, 0.0)


def _held(scale: Tensor) -> Tensor:
    """Scales as stored in the blob: 31-bit mantissas with the exponent of the largest."""
    largest = scale.amax()
    if largest <= 0:
        return torch.zeros_like(scale)
    exponent = 31 - int(torch.frexp(largest).exponent)
    if torch.round(torch.ldexp(largest, torch.tensor(exponent))) >= 2**31:
        exponent -= 1
    power = torch.tensor(2.0, dtype=torch.float64) ** exponent
    return torch.round(scale * power) / power
