"""The runtime's linear layer in PyTorch: integers in, integers out, bit for bit.

`docs/numerics.md` describes this arithmetic. Numbers of 32 bits are held in `int64` tensors, whose
products and sums are exact.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Optional

import torch
from torch import Tensor

from ._rounding import Rounded

Activations = Literal["a8", "a16"]

INT32 = (-(2**31), 2**31 - 1)


class Rows(NamedTuple):
    """Quantized rows: an activation is `codes * mantissa * 2**exponent`, in units of the fixed
    point. Scales have a last dimension of one."""

    codes: Tensor
    mantissa: Tensor
    exponent: Tensor


def quantize_rows(x: Tensor, activations: Activations) -> Rows:
    """Quantizes rows of fixed-point numbers, `[..., columns]`, each with a scale of its own."""
    return _quantize8(x) if activations == "a8" else _quantize16(x, row_bits(x.shape[-1]))


def linear(x: Tensor, matrix: Rounded, bias: Optional[Tensor], activations: Activations) -> Tensor:
    """Multiplies rows of fixed-point numbers, `[..., columns]`, by a quantized matrix, and adds a bias
    of fixed-point numbers. Returns `[..., rows]`."""
    rows = quantize_rows(x, activations)
    # The sums are below 2**31, so they are exact in float64.
    sums = (rows.codes.to(torch.float64) @ matrix.codes.to(torch.float64).T).to(torch.int64)
    columns = x.shape[-1]
    bits = 7 if activations == "a8" else row_bits(columns)
    headroom = max(31 - (columns << (7 + bits)).bit_length(), 0)
    is_power = rows.mantissa == 1 << 10
    scaled = _mul_high(matrix.multipliers, rows.mantissa << 20)
    multipliers = torch.where(is_power, matrix.multipliers, scaled)
    shift = matrix.exponent + headroom - 32 - rows.exponent - torch.where(is_power, 10, 12)
    out = _shift_round(_mul_high(sums << headroom, multipliers), shift)
    return out if bias is None else (out + bias).clamp(*INT32)


def row_bits(columns: int) -> int:
    """The bits of a 16-bit activation besides its sign, so that no sum of products overflows."""
    return min(15, max(24 - (columns - 1).bit_length(), 0))


def _bit_length(x: Tensor) -> Tensor:
    """The number of bits of numbers from 0 to 2**31."""
    return torch.frexp(x.to(torch.float64)).exponent.to(torch.int64)


def _quantize8(x: Tensor) -> Rows:
    largest = x.abs().amax(-1, keepdim=True).clamp(1, INT32[1])
    zeros = 32 - _bit_length(largest)
    mantissa = ((largest << zeros) + (127 << 14) - 1) // (127 << 14)
    carry = (mantissa > 2047).to(torch.int64)
    mantissa = ((mantissa + carry) >> carry).clamp(min=1)
    # A division by a 32-bit reciprocal, rounded half up.
    inverse, shift = (1 << 25) // mantissa, 23 + carry
    codes = (((x << (zeros - 1)) >> 15) * inverse + (1 << (shift - 1))) >> shift
    return Rows(codes, mantissa, 14 + carry - zeros)


def _quantize16(x: Tensor, bits: int) -> Rows:
    magnitude = torch.where(x < 0, ~x, x).amax(-1, keepdim=True)
    shift = (_bit_length(magnitude) - bits).clamp(min=0)
    codes = _shift_round(x, shift).clamp(max=2**15 - 1)
    return Rows(codes, torch.full_like(shift, 1 << 10), shift - 10)


def _mul_high(a: Tensor, b: Tensor) -> Tensor:
    return (a * b) >> 32


def _shift_round(x: Tensor, shift: Tensor) -> Tensor:
    """`x / 2**shift`, rounded half up; a negative shift multiplies and saturates."""
    right, left = shift.clamp(1, 32), (-shift).clamp(0, 31)
    rounded = ((x >> (right - 1)) + 1) >> 1
    rounded = torch.where(shift > 31, 0, rounded)
    return torch.where(shift > 0, rounded, (x << left).clamp(*INT32))
