"""Quantization-aware training: a PyTorch model with the weights that the runtime computes with.

`prepare` puts a rounding before each matrix of a model. Forward, a layer computes with the weights
that `kinglet.convert(..., calibrate=False)` makes of the checkpoint, to the last bit; backward, the
rounding lets gradients pass (the straight-through estimator, arXiv 1308.3432). `finish` takes the
roundings away, and leaves the trained weights, which are saved and converted as any others.

    model = kinglet.qat.prepare(model, weights="int4")
    ...                                         # train it for some hundred steps
    kinglet.qat.finish(model).save_pretrained("trained")
    kinglet.convert("trained", "model.kinglet", weights="int4", calibrate=False)

This module needs PyTorch, which the package does not install.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

# What a weight of four bits may be, and the most that multiplies a group of them.
INT4 = (-8, 7)
MAX_GROUP_SCALE = 16
INT8 = (-127, 127)
# Packed weights lie in tiles: as many rows and columns as these are multiples.
TILE = 4
PACKED_COLUMNS = 8


def quantize(weight: Tensor, weights: Literal["int8", "int4"] = "int8", group_size: int = 32) -> Tensor:
    """The matrix that the runtime computes with in place of `weight`, which is `[rows, columns]`.

    Each row has a scale of 31 bits; with `"int4"`, each group of columns a multiple of it from 1 to
    16. The scales are those with the least squared error.
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
    """Lets every matrix of a model (of `Linear` and `Embedding` modules) be rounded as the converter
    rounds it. Tables that are looked up stay in int8, a tied output projection among them, and so do
    matrices that no packed tiles fill: of rows that are no multiple of 4, or of columns that are no
    multiple of 8. The others are as `weights` says. The model is changed in place, and returned."""
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
    """Whether a matrix can have weights of four bits."""
    rows, columns = weight.shape
    return bool(rows % TILE == 0 and columns % PACKED_COLUMNS == 0)


def finish(model: nn.Module) -> nn.Module:
    """Takes away what `prepare` put there, and leaves the weights that were trained."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
    return model


class _Rounded(nn.Module):
    """A weight that is rounded; its gradient is that of what it was rounded from."""

    def __init__(self, weights: Literal["int8", "int4"], group_size: int) -> None:
        super().__init__()
        self.weights: Literal["int8", "int4"] = weights
        self.group_size = group_size

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (quantize(weight, self.weights, self.group_size).to(weight.dtype) - weight).detach()


def _round(values: Tensor, scale: Tensor, bounds: tuple[int, int]) -> Tensor:
    """Multiples of a scale, halves to the even one; zeros where the scale is zero."""
    safe = torch.where(scale > 0, scale, 1.0)
    return torch.where(scale > 0, torch.round(values / safe).clamp(*bounds), 0.0)


def _error(values: Tensor, scale: Tensor, bounds: tuple[int, int]) -> Tensor:
    """The squared error of each row, its columns added in their order."""
    off = (_round(values, scale[:, None], bounds) * scale[:, None] - values) ** 2
    total = torch.zeros_like(scale)
    for column in off.unbind(1):
        total = total + column
    return total


def _best(values: Tensor, scales: list[Tensor], bounds: tuple[int, int]) -> Tensor:
    """The scale with the least error of each row: the first of several."""
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
    """The scale of each row, and the multiple of it of each group."""
    count = -(-rows.shape[1] // group_size)
    # Zeros at the end round to zeros, and change no error.
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
    """Scales as the blob holds them: mantissas of 31 bits under the exponent of the largest."""
    largest = scale.amax()
    if largest <= 0:
        return torch.zeros_like(scale)
    exponent = 31 - int(torch.frexp(largest).exponent)
    if torch.round(torch.ldexp(largest, torch.tensor(exponent))) >= 2**31:
        exponent -= 1
    power = torch.tensor(2.0, dtype=torch.float64) ** exponent
    return torch.round(scale * power) / power
