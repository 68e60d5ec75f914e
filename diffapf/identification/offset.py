"""By how many samples one recording is late against another, when an effect lies between them."""

from __future__ import annotations

import torch
from torch import Tensor

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
