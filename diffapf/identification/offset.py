"""By how many samples one recording is late against another, when an effect lies between them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

PHAT_HZ = (300.0, 18_000.0)
NEAR_S, FAR = 0.5, 2.0  # music repeats itself: a lag beyond so many seconds must have a peak so many times as high
ONE_RESPONSE = 0.015  # of a segment: 5 ms at 44.1 kHz, within which peaks belong to one response


def offset_candidates(dry: Tensor, wet: Tensor, longest: int, segment: int = 16_384, most: int = 3) -> list[int]:
    """The lags in samples at which the mean impulse response from dry to wet is largest; positive: wet is late.

        h = IDFT of Σ Y conj(X) / (Σ |X|² + ε),  sums over half-overlapping segments under a Hann window

    A plain cross-correlation is misled by all-passes, whose low notes come out milliseconds late, and by the dry signal's
    own colour. In h, which is free of both, an effect that mixes dry signal in, or passes its highs at once, has its largest
    value where it begins. A dry signal that repeats leaves a choice: its period later or earlier looks the same.

    Args:
        dry, wet: `(time,)`.
        longest: the largest lag that is looked for, in samples, of either sign; less than half a segment.
        segment: samples; shortened to the signals' length.
        most: lags at most.

    Returns:
        The largest peak's lag, and those of peaks at least 0.4 of it and far enough not to be of one response with it.

    Source: Bendat and Piersol, "Random Data", the H₁ estimator; Knapp and Carter, IEEE Trans. ASSP 24, 1976.

    >>> noise = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    >>> offset_candidates(noise, noise.roll(123), 1000)
    [123]
    """
    segment = min(segment, len(dry))
    window = torch.hann_window(segment, dtype=torch.float64)
    step = max(1, segment // 2)
    spectra = [torch.fft.rfft(signal.double().unfold(0, segment, step) * window) for signal in (dry, wet)]
    cross, power = (spectra[1] * spectra[0].conj()).sum(0), spectra[0].abs().square().sum(0)
    response = torch.fft.irfft(cross / (power + 1e-4 * power.mean() + torch.finfo(torch.float64).tiny), segment)
    longest = min(longest, segment // 2 - 1)
    lags = torch.arange(-longest, longest + 1)
    height = response[lags].abs()
    found: list[int] = []
    threshold = 0.4 * height.max()
    while len(found) < most and height.max() >= threshold > 0:
        found.append(int(lags[height.argmax()]))
        height[(lags - found[-1]).abs() <= ONE_RESPONSE * segment] = 0.0
    return found or [0]


def phat_offset(dry: Tensor, wet: Tensor, sample_rate: float, longest: int | None = None) -> tuple[int, float]:
    """The lag in whole samples at which the phase transform is largest in size, and by how much it stands out there.

        R = |IDFT of Y conj(X)/|Y conj(X)||,  300 Hz to 18 kHz (or 0.41 of a low sample rate)

    All frequencies count alike, so a coloured signal has a narrow peak, whichever its polarity; one that does not overlap
    itself far away is found at any lag. An effect's own phase moves the peak: see `align`.

    Args:
        dry, wet: `(time,)`.
        longest: the largest lag that is looked for, of either sign; None: half of the signal, less readily so far away.

    Returns:
        (the lag, positive where wet is late; R there over its root mean square).

    Source: Knapp and Carter, IEEE Trans. ASSP 24, 1976.
    """
    length = 2 ** math.ceil(math.log2(len(dry) + len(wet)))
    x, y = (torch.fft.rfft(signal.double(), length) for signal in (dry, wet))
    cross = y * x.conj()
    first, last = (round(min(hz, 0.41 * sample_rate) * length / sample_rate) for hz in PHAT_HZ)
    band = torch.zeros_like(cross)
    size = cross.abs()
    floor = 1e-12 * size.max() + torch.finfo(torch.float64).tiny
    band[first:last] = (cross / size.clamp_min(floor))[first:last]
    heights = torch.fft.irfft(band, length).abs()
    far = min(len(dry), len(wet)) // 2
    found = _highest(heights, far if longest is None else longest)
    if longest is None:
        near = _highest(heights, min(far, round(NEAR_S * sample_rate)))
        found = found if heights[found] > FAR * heights[near] else near
    return found, float(heights[found] / heights.square().mean().sqrt().clamp_min(torch.finfo(torch.float64).tiny))


def _highest(heights: Tensor, longest: int) -> int:
    lags = torch.arange(-longest, longest + 1)
    return int(lags[heights[lags].argmax()])
