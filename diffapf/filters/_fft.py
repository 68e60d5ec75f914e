"""Convolution and correlation along the last dimension, by FFT: for filters of hundreds of taps and more."""

from __future__ import annotations

import torch
from torch import Tensor

from diffapf.filters._rows import RowFunction, to_rows


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


def real_fft(x: Tensor, n: int) -> Tensor:
    """`torch.fft.rfft(x, n)` of an even n, whose gradient is a real FFT too: PyTorch takes a complex one, twice as long."""
    return RealFFT.apply(to_rows(x), n).reshape(*x.shape[:-1], n // 2 + 1)


class RealFFT(RowFunction):
    """(x, n) → X[k], k = 0 … n/2. ∂L/∂x[t] = Re Σₖ g[k] e^(2πjkt/n): twice that but for the ends is an inverse FFT."""

    @staticmethod
    def forward(x, n):
        return torch.fft.rfft(x, n)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, ctx.n = inputs
        ctx.time = x.shape[1]

    @staticmethod
    def backward(ctx, g):
        twice = torch.fft.irfft(g, ctx.n, norm="forward")[:, : ctx.time]
        ends = g[:, [0, -1]].real
        signs = torch.ones_like(twice[:1])
        signs[:, 1::2] = -1
        return (twice + ends[:, :1] + ends[:, 1:] * signs) / 2, None

    @staticmethod
    def tangent(ctx, saved, dx, _):
        return RealFFT.apply(dx, ctx.n)
