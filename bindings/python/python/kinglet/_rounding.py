"""The converter's rounding of weights, in PyTorch."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

Weights = Literal["int8", "int4"]

# The range of a four-bit weight, and the largest scale of a group.
INT4 = (-8, 7)
MAX_GROUP_SCALE = 16
INT8 = (-127, 127)
# The rows and columns of a packed matrix are multiples of these numbers.
TILE = 4
PACKED_COLUMNS = 8


class Rounded(NamedTuple):
    """A quantized matrix. The weight at row `n` and column `k` is
    `codes[n, k] * multipliers[n] * 2**-exponent`.

    Attributes:
        codes: int8 weights, `[rows, columns]`; with `"int4"` they include the scale of their group.
        multipliers: Integers of up to 31 bits, `[rows]`.
        exponent: The common exponent of the multipliers.
    """

    codes: Tensor
    multipliers: Tensor
    exponent: int

    def real(self) -> Tensor:
        """The weights as `float32`."""
        held = torch.ldexp(self.multipliers.to(torch.float64), torch.tensor(-self.exponent))
        return (self.codes * held[:, None]).to(torch.float32)


def rounded(weight: Tensor, weights: Weights, group_size: int) -> Rounded:
    """Rounds a matrix of shape `[rows, columns]` to the nearest levels, as the converter does without
    a calibration. The scales minimize the squared error."""
    rows = weight.detach().to(torch.float64)
    if weights == "int8":
        scale = _row_scale(rows)
        codes = _round(rows, scale[:, None], INT8)
        multiples = torch.ones_like(rows)
    else:
        scale, groups = _group_scales(rows, group_size)
        multiples = groups.repeat_interleave(group_size, 1)[:, : rows.shape[1]]
        codes = _round(rows, scale[:, None] * multiples, INT4)
    multipliers, exponent = _mantissas(scale)
    codes = torch.where(multipliers[:, None] > 0, codes, 0)
    return Rounded(codes * multiples, multipliers, exponent)


def packs(weight: Tensor) -> bool:
    """Whether a matrix can have four-bit weights."""
    rows, columns = weight.shape
    return bool(rows % TILE == 0 and columns % PACKED_COLUMNS == 0)


def _round(values: Tensor, scale: Tensor, bounds: tuple[int, int]) -> Tensor:
    """Rounds to multiples of a scale, ties to even; returns zeros where the scale is zero."""
    safe = torch.where(scale > 0, scale, 1.0)
    return torch.where(scale > 0, torch.round(values / safe).clamp(*bounds), 0.0)


def _errors(values: Tensor, scales: Tensor, bounds: tuple[int, int]) -> Tensor:
    """The squared error of each row at each of its scales, `[scales, rows]`, summed in the order of the
    columns."""
    total = torch.zeros_like(scales)
    for column in values.unbind(1):
        off = _round(column, scales, bounds) * scales - column
        total = total + off * off
    return total


def _best(values: Tensor, scales: Tensor, bounds: tuple[int, int]) -> Tensor:
    """The scale with the least error for each row, of `[scales, rows]`; the first one if several are
    equal."""
    least = _errors(values, scales, bounds).argmin(0, keepdim=True)
    return scales.gather(0, least)[0]


def _row_scale(rows: Tensor) -> Tensor:
    whole = rows.abs().amax(1) / INT8[1]
    return _best(rows, torch.stack([whole * (1.0 - step / 1024.0) for step in range(65)]), INT8)


def _group_scales(rows: Tensor, group_size: int) -> tuple[Tensor, Tensor]:
    """The scale of each row, and each group's multiple of it."""
    count = -(-rows.shape[1] // group_size)
    # The padding rounds to zeros, and does not change the error.
    padded = nn.functional.pad(rows, (0, count * group_size - rows.shape[1]))
    groups = padded.reshape(-1, group_size)
    largest = groups.abs().amax(1)
    tried = torch.stack([largest / (5.5 + (9.5 - 5.5) * step / 40) for step in range(41)])
    best = _best(groups, tried, INT4).reshape(-1, count)
    unit = best.amax(1, keepdim=True) / MAX_GROUP_SCALE
    ratio = torch.where(unit > 0, best / torch.where(unit > 0, unit, 1.0), 0.0)
    below, above = (near.clamp(1, MAX_GROUP_SCALE) for near in (ratio.floor(), ratio.ceil()))
    lower, upper = _errors(groups, torch.stack([(near * unit).reshape(-1) for near in (below, above)]), INT4)
    nearer = torch.where((lower <= upper).reshape(-1, count), below, above)
    return unit[:, 0], torch.where(best > 0, nearer, 0.0)


def _mantissas(scale: Tensor) -> tuple[Tensor, int]:
    """Scales as the blob stores them: mantissas of 31 bits, with the exponent of the largest."""
    largest = scale.amax()
    if largest <= 0:
        return torch.zeros_like(scale, dtype=torch.int64), 30
    exponent = 31 - int(torch.frexp(largest).exponent)
    if torch.round(torch.ldexp(largest, torch.tensor(exponent))) >= 2**31:
        exponent -= 1
    return torch.round(torch.ldexp(scale, torch.tensor(exponent))).to(torch.int64), exponent
