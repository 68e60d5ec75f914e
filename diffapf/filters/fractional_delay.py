"""A delay by a part of a sample: a windowed sinc, differentiable in the part."""

from __future__ import annotations

import torch
from torch import Tensor


def windowed_sinc(fraction: Tensor, reach: int) -> Tensor:
    """The taps of a delay by reach − 1 samples and a fraction, which let a constant pass: `(2·reach,)`.

    sinc(t) cos²(πt/(2 (reach + 1))), t from the delay on, divided by their sum. From one fraction to the next nothing jumps,
    nor at whole samples. Within 1e-4 of a delay up to half the sample rate's half for a reach of 16; nowhere louder than
    1.014, which it reaches near half the sample rate.

    >>> windowed_sinc(torch.tensor(0.0), 2).abs().round(decimals=3)
    tensor([0., 1., 0., 0.])
    """
    t = torch.arange(1 - reach, reach + 1, dtype=fraction.dtype, device=fraction.device) - fraction
    taps = sinc(t) * torch.cos(torch.pi / 2 * t / (reach + 1)).square()
    return taps / taps.sum()


def sinc(t: Tensor) -> Tensor:
    """sin(πt)/(πt), with derivatives of any order: those of `torch.sinc` beyond the first are not finite at 0."""
    near, square = t.abs() < 1e-3, (torch.pi * t).square()
    x = torch.pi * torch.where(near, 1.0, t)
    return torch.where(near, 1 - square / 6 * (1 - square / 20), torch.sin(x) / x)
