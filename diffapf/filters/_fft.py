"""Convolution and correlation along the last dimension, by FFT: for filters of hundreds of taps and more."""

from __future__ import annotations

import torch
from torch import Tensor


def fast_length(least: int) -> int:
    """The least length from `least` on that has no prime factor above 5.

    >>> fast_length(7), fast_length(44101)
    (8, 45000)
    """
    best = 1 << max(least - 1, 0).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            best = min(best, three << max(-(-least // three) - 1, 0).bit_length())
            three *= 3
        five *= 5
    return best


def convolve(x: Tensor, taps: Tensor, start: int, stop: int) -> Tensor:
    """Σₖ taps[k] x[n−k] for start ≤ n < stop ≤ the length of x; what wraps around must end before `start`."""
    if x.shape[-1] == 0:
        return x[..., start:stop]
    n = fast_length(max(x.shape[-1], x.shape[-1] + taps.shape[-1] - 1 - start))
    return torch.fft.irfft(torch.fft.rfft(x, n) * torch.fft.rfft(taps, n), n)[..., start:stop]


def correlate(p: Tensor, x: Tensor, lags: int) -> Tensor:
    """Σₙ p[n] x[n+m] for 0 ≤ m < lags, where x ends with zeros."""
    if p.shape[-1] == 0:
        return p.new_zeros(*torch.broadcast_shapes(p.shape[:-1], x.shape[:-1]), lags)
    n = fast_length(max(x.shape[-1], p.shape[-1] + lags - 1))
    return torch.fft.irfft(torch.fft.rfft(p, n).conj() * torch.fft.rfft(x, n), n)[..., :lags]
