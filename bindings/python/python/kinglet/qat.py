"""Quantization-aware training of PyTorch models with the quantized numbers of the runtime.

`prepare` rounds the weights of each matrix of a model and, if it is asked to, the activations that
they multiply. In the forward pass a layer then computes, to the last bit, what the runtime computes
from the blob of `kinglet.convert(..., calibrate=False)`; in the backward pass gradients ignore the
rounding (the straight-through estimator, arXiv 1308.3432). `finish` removes the rounding and keeps
the trained weights, which can be saved and converted.

    model = kinglet.qat.prepare(model, weights="int4", activations="a8")
    ...                                         # train it for a few hundred steps
    kinglet.qat.finish(model).save_pretrained("trained")
    kinglet.convert("trained", "model.kinglet", weights="int4", activations="a8", calibrate=False)

Norms, activation functions and attention are computed in floating point.

This module needs PyTorch, which the package does not install.
"""

from __future__ import annotations

from typing import Any, Optional

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from . import _products
from ._products import INT32, Activations
from ._rounding import Rounded, Weights, packs, rounded

__all__ = ["finish", "linear", "packs", "prepare", "quantize"]


def quantize(weight: Tensor, weights: Weights = "int8", group_size: int = 32) -> Tensor:
    """The quantized matrix that the runtime uses for `weight`, of shape `[rows, columns]`.

    Each row has a scale of 31 bits; with `"int4"`, the scale of each group of columns is a multiple of
    it from 1 to 16. The scales minimize the squared error.
    """
    return rounded(weight, weights, group_size).real()


def linear(
    x: Tensor,
    weight: Tensor,
    bias: Optional[Tensor] = None,
    *,
    weights: Weights = "int8",
    group_size: int = 32,
    activations: Activations = "a16",
    fraction_bits: int = 16,
) -> Tensor:
    """What the runtime computes for `torch.nn.functional.linear(x, weight, bias)`, to the last bit.

    Args:
        x: Fixed-point numbers as integers, `[..., columns]`: 1.0 is `2**fraction_bits`.
        weight: The real weights, `[rows, columns]`, which the function quantizes.
        bias: The real biases, `[rows]`.
        weights: The width of the weights.
        group_size: The number of columns that share a scale, for `"int4"`.
        activations: The width to which each row of `x` is quantized.
        fraction_bits: The fraction bits of the model, which `Model.inspect` reports.

    Returns:
        Fixed-point numbers as `int64`, `[..., rows]`.
    """
    matrix = rounded(weight, weights, group_size)
    return _products.linear(x.to(torch.int64), matrix, _fixed(bias, fraction_bits), activations)


def prepare(
    model: nn.Module,
    *,
    weights: Weights = "int8",
    group_size: int = 32,
    activations: Optional[Activations] = None,
    fraction_bits: int = 16,
) -> nn.Module:
    """Makes every `Linear` and `Embedding` module of a model compute with quantized numbers.

    Embeddings stay in int8, including one that is also the output projection, and so do matrices whose
    rows are not a multiple of 4 or whose columns are not a multiple of 8. All others have the width
    `weights`. The model is changed in place, and returned.

    Args:
        model: The model to train.
        weights: The width of the weights.
        group_size: The number of columns that share a scale, for `"int4"`.
        activations: The width to which each `Linear` module quantizes its input; it then computes its
            output in the integers of the runtime. `None` leaves activations in floating point.
        fraction_bits: The fraction bits of the model, for `activations`.

    Raises:
        ValueError: If an option has another value than those listed.
    """
    if weights not in ("int8", "int4"):
        raise ValueError(f'`weights` is {weights!r}: give "int8" or "int4"')
    if group_size not in (32, 64):
        raise ValueError(f"`group_size` is {group_size}: give 32 or 64")
    if activations not in (None, "a8", "a16"):
        raise ValueError(f'`activations` is {activations!r}: give "a8", "a16" or None')
    if not 3 <= fraction_bits <= 20:
        raise ValueError(f"`fraction_bits` is {fraction_bits}: give a number from 3 to 20")
    modules = [module for module in model.modules() if isinstance(module, (nn.Linear, nn.Embedding))]
    tables = {id(module.weight) for module in modules if isinstance(module, nn.Embedding)}
    width: dict[int, Weights] = {
        id(module): "int8" if id(module.weight) in tables or not packs(module.weight) else weights
        for module in modules
    }
    for module in modules:
        if parametrize.is_parametrized(module, "weight"):
            continue
        parametrize.register_parametrization(module, "weight", _Rounded(width[id(module)], group_size))
        if activations is not None and isinstance(module, nn.Linear):
            module.register_forward_hook(_Exact(activations, fraction_bits))
    return model


def finish(model: nn.Module) -> nn.Module:
    """Removes the rounding of `prepare`, and keeps the trained weights."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
        for key, hook in list(module._forward_hooks.items()):
            if isinstance(hook, _Exact):
                del module._forward_hooks[key]
    return model


class _StraightThrough(torch.autograd.Function):
    """Replaces a value in the forward pass, and passes the gradient through unchanged."""

    @staticmethod
    def forward(ctx: Any, smooth: Tensor, exact: Tensor) -> Tensor:
        return exact

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0], None


class _Rounded(nn.Module):
    """Rounds a weight."""

    def __init__(self, weights: Weights, group_size: int) -> None:
        super().__init__()
        self.weights: Weights = weights
        self.group_size = group_size
        # The result of the last forward pass, which `_Exact` reads.
        self.matrix: Optional[Rounded] = None

    def forward(self, weight: Tensor) -> Tensor:
        self.matrix = rounded(weight, self.weights, self.group_size)
        return _StraightThrough.apply(weight, self.matrix.real().to(weight.dtype))


class _Exact:
    """A forward hook that replaces the output of a `Linear` module by that of the runtime."""

    def __init__(self, activations: Activations, fraction_bits: int) -> None:
        self.activations: Activations = activations
        self.fraction_bits = fraction_bits

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        matrix = module.parametrizations.weight[0].matrix
        bits = self.fraction_bits
        x, bias = _fixed(inputs[0], bits), _fixed(module.bias, bits)
        out = _products.linear(x, matrix, bias, self.activations)
        return _StraightThrough.apply(output, torch.ldexp(out.to(torch.float64), torch.tensor(-bits)).to(output.dtype))


def _fixed(values: Optional[Tensor], fraction_bits: int) -> Any:
    """Rounds real numbers to fixed-point numbers, ties to even, and saturates."""
    if values is None:
        return None
    scaled = torch.ldexp(values.detach().to(torch.float64), torch.tensor(fraction_bits))
    return torch.round(scaled).clamp(*INT32).to(torch.int64)
