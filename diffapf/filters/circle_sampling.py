"""A filter by its impulse response, which is sampled on a circle outside the unit circle.

`FrequencySampling` samples on the unit circle, where an impulse response longer than the grid comes round again and adds to
its own beginning. On |z| = ρ > 1 the response is that of h[n] ρ⁻ⁿ, which has come down by ρ⁻ᴺ when it comes round.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

from diffapf.filters._fft import fast_length, real_fft


class SampledFilter(Protocol):
    def spectrum(self, n: int, radius: float) -> Tensor:
        """H at z = radius · exp(2πj k/n), k = 0 … n/2: complex128 `(outputs, inputs, n//2 + 1)`."""


class CircleSampling:
    """Convolves with the first `length` samples of the impulse response, sampled at N ≥ `length` points of a circle.

    h[n] = ρⁿ/N Σₖ H(ρ e^(2πjk/N)) e^(2πjkn/N), ρ = 10^(decay_db/(20 N)): what comes N samples later adds −decay_db of
    itself. The circle costs as many dB of rounding, so it is in float64 always; the convolution is in the signal's dtype.

    Args:
        length: samples of the impulse response, after which it is cut.
        decay_db: how far ρ⁻ⁿ comes down; 0: the unit circle, as published.

    Raises:
        ValueError: a length that is no positive integer, a decay that is no number from 0 to 240 dB.

    >>> from diffapf.filters.network_response import DelayNetwork
    >>> one = torch.ones(1, 1)
    >>> echo = DelayNetwork([2], 0.5 * one, [torch.ones(1)], one, one)
    >>> CircleSampling(5).impulse_response(echo).abs().round(decimals=6).tolist()
    [[[0.0, 0.0, 1.0, 0.0, 0.5]]]
    """

    def __init__(self, length: int, decay_db: float = 120.0):
        if not isinstance(length, int) or isinstance(length, bool) or length < 1:
            raise ValueError(f"length must be a positive integer of samples, got {length!r}")
        if not isinstance(decay_db, (int, float)) or isinstance(decay_db, bool) or not 0 <= decay_db <= 240:
            raise ValueError(f"decay_db must be a number from 0 to 240, got {decay_db!r}")
        self.length, self.decay_db = length, decay_db

    def impulse_response(self, sampled: SampledFilter) -> Tensor:
        """`(outputs, inputs, length)`, float64."""
        n = 2 * fast_length(-(-self.length // 2))
        radius = 10 ** (self.decay_db / (20 * n))
        spectrum = sampled.spectrum(n, radius)
        growth = torch.arange(self.length, dtype=torch.float64, device=spectrum.device)
        return torch.fft.irfft(spectrum, n)[..., : self.length] * radius**growth

    def __call__(self, x: Tensor, sampled: SampledFilter) -> Tensor:
        """`(..., inputs, time)` → `(..., outputs, time)`."""
        time = x.shape[-1]
        h = self.impulse_response(sampled)[..., :time].to(x.dtype)
        n = 2 * fast_length(max(-(-(time + h.shape[-1] - 1) // 2), 1))
        spectra = real_fft(x, n).unsqueeze(-3) * real_fft(h, n)
        return torch.fft.irfft(spectra.sum(-2), n)[..., :time]

    def __repr__(self) -> str:
        return f"CircleSampling({self.length}, decay_db={self.decay_db})"


def spectrum_of_taps(taps: Tensor, first: int, n: int, radius: float) -> Tensor:
    """Σₗ taps[l] z^−(first + l) at z = radius · exp(2πj k/n), k = 0 … n/2, of `(..., taps)` in float64."""
    stop = first + taps.shape[-1]
    powers = torch.arange(first, stop, dtype=torch.float64, device=taps.device)
    damped = pad(taps * radius**-powers, (first, -stop % n))
    return real_fft(damped.unflatten(-1, (-1, n)).sum(-2), n)
