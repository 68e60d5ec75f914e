"""Unconstrained numbers to the coefficients of stable filters, and the question whether a filter is stable.

All of it is about filters that stand still. While coefficients move, a filter that is stable at every moment can still
grow without bound in a direct form (`allpole`, `lfilter`). Parallel first-order sections (`parallel_filter`) cannot, each
decays at every sample by its own |p| < 1; nor can a normalised lattice (`normalised_lattice`), whose state gains no energy
but its input's.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diffapf.filters.design import denominator_from_reflection, reflection_from_denominator


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


def pole_pair(radius: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """The denominator (1, a1, a2) of two conjugate poles within the unit circle, from any two numbers.

    The poles are tanh(radius) e^(±j angle), angle in radians a sample.

    >>> pole_pair(torch.tensor(0.0), torch.tensor(1.0))
    (tensor(-0.), tensor(0.))
    """
    r = torch.tanh(radius)
    return -2 * r * torch.cos(angle), r**2


def reflection_denominator(logits: Tensor, margin: float = 0.0) -> Tensor:
    """A stable denominator of any order from any numbers: the reflection coefficients are (1 − margin) tanh(logits).

    `(..., M)` → `(..., M+1)`, with the leading 1.

    >>> reflection_denominator(torch.zeros(2))
    tensor([1., 0., 0.])
    """
    return denominator_from_reflection((1 - margin) * torch.tanh(logits))


def is_stable(a: Tensor) -> Tensor:
    """Whether all poles of the fixed filter 1/Σ aᵢ z⁻ⁱ are within the unit circle: `(..., M+1)` → booleans `(...)`.

    Tells it from the reflection coefficients, all of them |k| < 1. Of a filter that moves it says nothing.

    >>> is_stable(torch.tensor([1.0, -0.5])), is_stable(torch.tensor([1.0, -2.0]))
    (tensor(True), tensor(False))
    """
    return (reflection_from_denominator(a).abs() < 1).all(-1)
