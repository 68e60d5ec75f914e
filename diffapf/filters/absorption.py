"""Linear-phase FIR filters from gains over frequency, nowhere as loud as 1: what a delay line's feedback goes through."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diffapf.filters._checks import anywhere


def interpolated(values: Tensor, where: Tensor) -> Tensor:
    """The values at places between them, linearly: place 0 is the first, place 1 the second; beyond the ends they are held.

    >>> interpolated(torch.tensor([0.0, 1.0, 4.0]), torch.tensor([-1.0, 0.5, 1.5, 9.0]))
    tensor([0.0000, 0.5000, 2.5000, 4.0000])
    """
    last = values.shape[-1] - 1
    where = where.clamp(0, last)
    below = where.floor().clamp(max=max(last - 1, 0))
    first = below.long()
    left, right = values[..., first], values[..., (first + 1).clamp(max=last)]
    return left + (where - below).to(values.dtype) * (right - left)


def linear_phase(gains: Tensor, taps: int) -> Tensor:
    """The middle `taps` of the impulse response whose spectrum the gains are, with no phase.

    Args:
        gains: at 0 … n/2 of n frequencies around the circle, `(..., n/2 + 1)`.
        taps: odd, at most n − 1.

    Returns:
        taps, symmetric about the middle one: `(..., taps)`.

    Raises:
        ValueError: an even number of taps, or more than n − 1.

    >>> linear_phase(torch.full((5,), 0.5), 3)
    tensor([0.0000, 0.5000, 0.0000])
    """
    n = 2 * (gains.shape[-1] - 1)
    if taps % 2 == 0 or not 0 < taps < n:
        raise ValueError(f"taps must be odd and less than {n}, of {gains.shape[-1]} gains, got {taps}")
    half = torch.fft.irfft(gains.to(torch.promote_types(gains.dtype, torch.complex64)), n)[..., : taps // 2 + 1]
    return torch.cat([half[..., 1:].flip(-1), half], -1)


def below_one(taps: Tensor) -> Tensor:
    """Filters whose gain is nowhere 1: the taps, or where it might be, scaled.

    The gain is looked at on a grid of M points around the circle; between them that of a symmetric filter of 2d+1 taps is at
    most 1/cos(πd/M) times the greatest on the grid.

    Source: Ehlich and Zeller, "Schwankung von Polynomen zwischen Gitterpunkten", Math. Z. 86, 1964.
    """
    d = taps.shape[-1] // 2
    points = max(1 << (24 * d).bit_length(), 8)
    limit = math.cos(math.pi * d / points) * (1 - 1e-6)
    with torch.no_grad():
        loud = torch.fft.rfft(taps, points).abs().amax(-1) > limit
    if not anywhere(loud):
        return taps
    peak = torch.fft.rfft(taps, points).abs().amax(-1, keepdim=True)
    return taps * (limit / peak).clamp(max=1)
