"""Frequencies and decays of the modes in an impulse response, band by band, by ESPRIT.

    x → shifted to 0 Hz → low-pass, decimated → Hankel matrix → its signal space U → U↑ = U↓ Φ → eigenvalues z of Φ

Of a sum of damped modes every column of U is a sum of zⁿ: a shift by a sample is a product with Φ, and f and σ are in the
angles and radii of its eigenvalues. An FIR filter gives a mode's exponential another factor and nothing more, once all of it
lies in the response: what is before is left out.

Source: Roy, Kailath, "ESPRIT: Estimation of signal parameters via rotational invariance techniques", IEEE Trans. ASSP 37,
1989.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

STOPBAND_DB = 120.0
TRANSITION_HZ = 20.0  # on each side of a band
WEAKEST = 3e-5  # of singular values, to the largest
OVER_NOISE = 1.5  # of singular values, to the largest of white noise
MOST_MODES = 60  # of a band and its transitions
HEARD_DB = 110.0  # a band counts until it is so far below its beginning


def modes_in_band(x: Tensor, sample_rate: float, low_hz: float, high_hz: float) -> tuple[Tensor, Tensor, Tensor]:
    """(f in Hz, σ in 1/s, energy) of the modes of `(time,)` from low_hz up to high_hz that die away.

    The energy is over that of a sample of noise.
    """
    centre, half = (low_hz + high_hz) / 2, (high_hz - low_hz) / 2
    band, rate = _band(x, sample_rate, centre, half)
    z, energy = _esprit(_until_silent(band))
    exponents = torch.log(z) * rate
    frequency, decay = centre + exponents.imag / (2 * math.pi), -exponents.real
    kept = (frequency >= max(low_hz, 0.0)) & (frequency < high_hz) & (decay > 0)
    order = frequency[kept].argsort()
    return frequency[kept][order], decay[kept][order], energy[kept][order]


def _band(x: Tensor, sample_rate: float, centre: float, half: float) -> tuple[Tensor, float]:
    """The band at 0 Hz, complex, and its sample rate in Hz; without the samples in which the filter begins."""
    step = max(1, int(sample_rate / (2 * (half + TRANSITION_HZ))))
    length = 1 + math.ceil((STOPBAND_DB - 8) * sample_rate / (2.285 * 2 * math.pi * TRANSITION_HZ))
    n = torch.arange(length, dtype=x.dtype) - (length - 1) / 2
    low_pass = torch.sinc(2 * (half + TRANSITION_HZ / 2) / sample_rate * n) * torch.kaiser_window(
        length, periodic=False, beta=0.1102 * (STOPBAND_DB - 8.7), dtype=x.dtype
    )
    turn = -2 * math.pi * centre / sample_rate
    taps = torch.stack([low_pass * torch.cos(turn * n), low_pass * torch.sin(turn * n)], 1)
    band = torch.view_as_complex(x.unfold(0, length, step) @ taps)
    places = step * torch.arange(len(band), dtype=x.dtype)
    return band * torch.polar(torch.ones_like(places), turn * places), sample_rate / step


def _until_silent(band: Tensor) -> Tensor:
    loud = (band.abs() > 10 ** (-HEARD_DB / 20) * band.abs().max()).nonzero()
    return band[: int(loud[-1]) + 1] if len(loud) else band


def _esprit(series: Tensor) -> tuple[Tensor, Tensor]:
    """The z of a sum of zⁿ, n = 0, 1, …, and the energy of each over that of noise.

    What a first sum leaves is taken for noise, and a second one made without what is no stronger.
    """
    hankel = series.unfold(0, len(series) // 2 + 1, 1)
    space, values, _ = torch.linalg.svd(hankel, full_matrices=False)
    weakest = WEAKEST * values[0]
    for _ in range(2):
        count = min(int((values > weakest).sum()), MOST_MODES, len(series) // 4)
        some = space[:, :count]
        z = torch.linalg.eigvals(torch.linalg.lstsq(some[:-1], some[1:]).solution)
        powers = z ** torch.arange(len(series))[:, None]
        parts = powers * torch.linalg.lstsq(powers, series[:, None]).solution[:, 0]
        # of which the modes, two numbers each, have taken a part
        noise = ((series - parts.sum(1)).abs().square().sum() / (len(series) - 2 * count)).sqrt()
        weakest = torch.maximum(weakest, OVER_NOISE * noise * sum(math.sqrt(size) for size in hankel.shape))
    return z, parts.abs().square().sum(0) / (OVER_NOISE * noise).square()
