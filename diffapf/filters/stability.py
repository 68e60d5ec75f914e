"""Unconstrained numbers to the coefficients of stable filters."""

from __future__ import annotations

import torch
from torch import Tensor


def biquad_triangle(l1: Tensor, l2: Tensor, margin: float = 0.0) -> tuple[Tensor, Tensor]:
    """The denominator (1, a1, a2) of a stable biquad, from any two numbers.

    a1 = 2 tanh(l1), a2 = ((2 − |a1|) tanh(l2) + |a1|)/2 fills the triangle |a1| < 1 + a2, a2 < 1. Each tanh is scaled by
    1 − margin: large logits round to the triangle's edge (float32: from 9 on), which a margin such as 1e-3 stays off.

    Source: Nercessian, Sarroff, Werner, "Lightweight and interpretable neural modeling of an audio distortion effect",
    ICASSP 2021.

    >>> biquad_triangle(torch.tensor(0.0), torch.tensor(0.0))
    (tensor(0.), tensor(0.))
    """
    a1 = 2 * (1 - margin) * torch.tanh(l1)
    return a1, ((2 - a1.abs()) * (1 - margin) * torch.tanh(l2) + a1.abs()) / 2


def biquad_triangle_logits(a1: Tensor, a2: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of `biquad_triangle`; raises ValueError for a denominator that is not stable."""
    inside = (a1.abs() < 1 + a2) & (a2 < 1)
    if not bool(inside.all()):
        raise ValueError(f"1 + a1 z⁻¹ + a2 z⁻² is not stable: a1 = {a1.tolist()}, a2 = {a2.tolist()}")
    return torch.atanh(a1 / 2), torch.atanh((2 * a2 - a1.abs()) / (2 - a1.abs()))
