"""Cubic spline interpolation by filters: a causal and an anti-causal one-pole, then a polynomial between the knots.

Source: Unser, Aldroubi, Eden, "Fast B-spline transforms for continuous image representation and interpolation",
IEEE Transactions on Pattern Analysis and Machine Intelligence 13, 1991.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diffapf.filters._rows import check_signal, in_float32
from diffapf.filters.allpole import allpole

POLE = math.sqrt(3.0) - 2.0  # of the filter whose inverse samples a cubic B-spline, (1, 4, 1)/6
MEMORY = 64  # samples after which POLE's powers are nothing in float64


def cubic_spline_upsample(x: Tensor, factor: int) -> Tensor:
    """The cubic spline through the samples of `x`, at `factor` times their rate; x is mirrored about its end points.

    Args:
        x: the knots, `(..., time)`.
        factor: F ≥ 1, an integer.

    Returns:
        `(..., (time − 1)·F + 1)` samples; those at multiples of F are the knots. Differentiable in x, to any order.

    Raises:
        ValueError, TypeError: a factor that is no positive integer; what is no signal.

    >>> cubic_spline_upsample(torch.tensor([1.0, 1.0]), 3).shape
    torch.Size([4])
    """
    (x,) = in_float32(x)
    check_signal("x", x)
    if not isinstance(factor, int) or isinstance(factor, bool) or factor < 1:
        raise ValueError(f"factor must be a positive integer, got {factor!r}")
    if x.shape[-1] < 2:
        return x
    c = spline_coefficients(x)
    c = torch.cat([c[..., 1:2], c, c[..., -2:-1]], -1)
    basis = _basis(factor, x).to(x.dtype)
    between = torch.stack([c[..., i : c.shape[-1] - 3 + i, None] * basis[i] for i in range(4)]).sum(0)
    last = (c[..., -3:-2] + 4 * c[..., -2:-1] + c[..., -1:]) / 6
    return torch.cat([between.flatten(-2), last], -1)


def spline_coefficients(x: Tensor) -> Tensor:
    """c with (c[k−1] + 4 c[k] + c[k+1])/6 = x[k], mirrored at both ends; at least two samples."""
    pole = torch.tensor([-POLE], dtype=x.dtype, device=x.device)
    causal = _first_coefficient(x)
    if x.shape[-1] > 1:
        rest = allpole(x[..., 1:], pole, zi=causal)
        causal = torch.cat([causal, rest], -1)  # type: ignore[list-item]
    last = POLE / (POLE**2 - 1) * (causal[..., -1:] + POLE * causal[..., -2:-1])
    rest = allpole(-POLE * causal[..., :-1].flip(-1), pole, zi=last)
    return 6 * torch.cat([rest.flip(-1), last], -1)  # type: ignore[union-attr]


def _first_coefficient(x: Tensor) -> Tensor:
    """Σ_k POLEᵏ x[k] over the mirrored signal, whose period is 2·time − 2: what the causal pass starts from."""
    time = x.shape[-1]
    k = torch.arange(min(time, MEMORY), device=x.device)
    mirrored = torch.where((k > 0) & (k < time - 1), POLE ** (2 * time - 2 - k).double(), 0.0)
    weights = (POLE ** k.double() + mirrored) / (1 - POLE ** (2 * time - 2))
    return (weights.to(x.dtype) * x[..., : len(k)]).sum(-1, keepdim=True)


def _basis(factor: int, like: Tensor) -> Tensor:
    """The four B-splines that reach between two knots, at each of the F positions, `(4, F)`."""
    t = torch.arange(factor, dtype=torch.float64, device=like.device) / factor
    return torch.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
