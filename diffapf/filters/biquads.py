"""Second-order filters from frequency, Q and gain.

Each returns (b, a), `(..., 3)`, with a[0] = 1, of the parameters broadcast: tensors or numbers, one of them a tensor.
Frequencies are in Hz, between 0 and half the sample rate; gains in dB. Differentiable in all of them.

Source: Bristow-Johnson, "Audio EQ Cookbook" (W3C note, 2021).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

Biquad = tuple[Tensor, Tensor]
Number = Tensor | float


def lowpass(frequency: Number, q: Number, sample_rate: float) -> Biquad:
    """Gain 1 at 0 Hz, q at `frequency`.

    >>> b, a = lowpass(torch.tensor(1000.0), 0.7071, 44100)
    >>> round(float(b.sum() / a.sum()), 3)
    1.0
    """
    cosine, alpha = _cosine_and_alpha(frequency, q, sample_rate)
    return _normalised((1 - cosine) / 2, 1 - cosine, (1 - cosine) / 2, 1 + alpha, -2 * cosine, 1 - alpha)


def loudest_lowpass(q: Tensor) -> Tensor:
    """The greatest gain of `lowpass` at any frequency, whatever its own and the sample rate: q²/√(q² − ¼), or 1 below √½.

    >>> loudest_lowpass(torch.tensor([0.5, 2.0]))
    tensor([1.0000, 2.0656])
    """
    square = q.square().clamp(min=0.5)
    return square / torch.sqrt(square - 0.25)


def highpass(frequency: Number, q: Number, sample_rate: float) -> Biquad:
    """Gain 1 at half the sample rate, q at `frequency`."""
    cosine, alpha = _cosine_and_alpha(frequency, q, sample_rate)
    return _normalised((1 + cosine) / 2, -1 - cosine, (1 + cosine) / 2, 1 + alpha, -2 * cosine, 1 - alpha)


def bandpass(frequency: Number, q: Number, sample_rate: float) -> Biquad:
    """Gain 1 at `frequency`, with a bandwidth of frequency/q between the −3 dB points."""
    cosine, alpha = _cosine_and_alpha(frequency, q, sample_rate)
    return _normalised(alpha, 0 * alpha, -alpha, 1 + alpha, -2 * cosine, 1 - alpha)


def notch(frequency: Number, q: Number, sample_rate: float) -> Biquad:
    """Gain 0 at `frequency`, 1 far from it."""
    cosine, alpha = _cosine_and_alpha(frequency, q, sample_rate)
    one = torch.ones_like(alpha)
    return _normalised(one, -2 * cosine, one, 1 + alpha, -2 * cosine, 1 - alpha)


def allpass(frequency: Number, q: Number, sample_rate: float) -> Biquad:
    """Gain 1 everywhere, half a turn of phase at `frequency`."""
    cosine, alpha = _cosine_and_alpha(frequency, q, sample_rate)
    return _normalised(1 - alpha, -2 * cosine, 1 + alpha, 1 + alpha, -2 * cosine, 1 - alpha)


def peak(frequency: Number, q: Number, gain_db: Number, sample_rate: float) -> Biquad:
    """`gain_db` at `frequency`, 0 dB far from it."""
    cosine, alpha = _cosine_and_alpha(frequency, q, sample_rate)
    gain = _amplitude(gain_db, alpha)
    up, down = alpha * gain, alpha / gain
    return _normalised(1 + up, -2 * cosine, 1 - up, 1 + down, -2 * cosine, 1 - down)


def low_shelf(frequency: Number, q: Number, gain_db: Number, sample_rate: float) -> Biquad:
    """`gain_db` at 0 Hz, half of it at `frequency`, 0 dB at half the sample rate."""
    return _shelf(frequency, q, gain_db, sample_rate, side=1)


def high_shelf(frequency: Number, q: Number, gain_db: Number, sample_rate: float) -> Biquad:
    """0 dB at 0 Hz, half of `gain_db` at `frequency`, all of it at half the sample rate."""
    return _shelf(frequency, q, gain_db, sample_rate, side=-1)


def _shelf(frequency: Number, q: Number, gain_db: Number, sample_rate: float, side: int) -> Biquad:
    """The high shelf is the low one mirrored in frequency: the cosine's sign, and that of every odd coefficient."""
    cosine, alpha = _cosine_and_alpha(frequency, q, sample_rate)
    cosine = side * cosine
    gain = _amplitude(gain_db, alpha)
    more, less, slope = gain + 1, gain - 1, 2 * torch.sqrt(gain) * alpha
    return _normalised(
        gain * (more - less * cosine + slope),
        side * 2 * gain * (less - more * cosine),
        gain * (more - less * cosine - slope),
        more + less * cosine + slope,
        side * -2 * (less + more * cosine),
        more + less * cosine - slope,
    )


def _cosine_and_alpha(frequency: Number, q: Number, sample_rate: float) -> tuple[Tensor, Tensor]:
    omega = torch.as_tensor(2 * math.pi * frequency / sample_rate)
    return torch.cos(omega), torch.sin(omega) / (2 * q)


def _amplitude(gain_db: Number, like: Tensor) -> Tensor:
    """The square root of the gain: the cookbook's A."""
    gain_db = gain_db if isinstance(gain_db, Tensor) else torch.as_tensor(gain_db, dtype=like.dtype, device=like.device)
    return 10 ** (gain_db / 40)


def _normalised(*coefficients: Tensor) -> Biquad:
    rows = torch.stack(torch.broadcast_tensors(*coefficients), -1)
    rows = rows / rows[..., 3:4]
    return rows[..., :3], rows[..., 3:]
