"""A delay and a polarity from the phase of a cross spectrum, less the phase that the effect's magnitude brings with it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from diffapf.identification.cross_spectra import FRAME, CrossSpectra

LOWEST_HZ, HIGHEST_HZ = 500.0, 19_500.0
LOWEST_WITHOUT_HZ = 3000.0  # of the estimate that leaves the magnitude's phase in
HIGHEST_SHARE = 0.442  # of the sample rate: 19.5 kHz at 44.1 kHz
OCTAVES = 1 / 24  # over which the magnitude is smoothed
SHARED = 0.1  # of the highest coherence, down to which recordings share a frequency
REACH = 12.0  # samples
GRID = 16  # a sample
HUBER_RAD = 0.3
ITERATIONS, CLOSE = 15, 1e-6
SURE = 0.9999  # coherence that counts as all


@dataclass(frozen=True)
class Delay:
    """How late, in samples, the standard error of that, the sign of what comes, and the phase left, RMS in radians."""

    samples: float
    error: float
    polarity: int
    left: float


def minimum_phase(spectra: CrossSpectra, carried_on: bool = False) -> Tensor:
    """The phase of the minimum-phase filter with the pair's magnitude |Σ Y conj(X)|/Σ|X|², `(bins,)`, by its cepstrum.

    The magnitude is averaged over a part of an octave, weighed by the coherence.

    carried_on: above the highest frequency that the recordings share, the magnitude goes on falling, or rising, as over the
        octave before, in place of what is measured in the noise there.

    Source: Oppenheim and Schafer, "Discrete-Time Signal Processing", 12.
    """
    whole = spectra.whole
    coherence = whole.coherence[0]
    weights = coherence.clamp_min(1e-9)
    magnitude = whole.cross[0].abs() / whole.dry[0].clamp_min(torch.finfo(torch.float64).tiny)
    log = _smoothed(magnitude, weights).clamp_min(1e-12).log()
    if carried_on:
        log = _carried_on(log, _smoothed(coherence, torch.ones_like(coherence)))
    cepstrum = torch.fft.irfft(log, FRAME)
    fold = torch.zeros(FRAME, dtype=torch.float64)
    fold[0] = fold[FRAME // 2] = 1.0
    fold[1 : FRAME // 2] = 2.0
    return torch.fft.rfft(cepstrum * fold).imag


def _smoothed(values: Tensor, weights: Tensor) -> Tensor:
    bins = torch.arange(len(values))
    ratio = 2 ** (OCTAVES / 2)
    first = (bins / ratio).ceil().long()
    last = ((bins * ratio).floor().long() + 1).clamp_max(len(values))
    sums = [torch.cat([torch.zeros(1).double(), part.cumsum(0)]) for part in (weights * values, weights)]
    over, of = (total[last] - total[first] for total in sums)
    return over / of


def _carried_on(log: Tensor, coherence: Tensor) -> Tensor:
    """A log magnitude whose highest part, of little coherence, follows the slope over log frequency of the octave before."""
    top = int(torch.nonzero(coherence > SHARED * coherence.max())[-1])
    if top < 2 or top + 1 >= len(log):
        return log
    octave = torch.arange(top // 2, top + 1)
    around = octave.double().log2() - octave.double().log2().mean()
    slope = (around * log[octave]).sum() / around.square().sum()
    beyond = torch.arange(top + 1, len(log))
    return torch.cat([log[: top + 1], log[top] + slope * (beyond.double().log2() - math.log2(top))])


def phase_delay(
    spectra: CrossSpectra, sample_rate: float, phase: Tensor | None, polarity: int = 0, reach: float = REACH
) -> Delay:
    """The delay t that turns the cross spectrum's phase, less `phase`, nearest to that of the polarity.

        grid:    max over t of |Re Σ W U e^{jωt}|,  U = P e^{−jφ}/|P|,  W = C/(1 − C)
        descent: minimise Σ W ρ(∠(±U e^{jωt})), ρ Huber's at 0.3 rad, by Gauss–Newton

    Args:
        spectra: of one segment or several, which count together.
        phase: the effect's own, `(bins,)`; None: there is none, and the highs alone are looked at.
        polarity: 1 or −1, where it is known; 0 where it is not.
        reach: samples to either side that are looked at.

    Source: Knapp and Carter, IEEE Trans. ASSP 24, 1976, for the weights.
    """
    whole = spectra.whole
    low = LOWEST_WITHOUT_HZ if phase is None else LOWEST_HZ
    band = _band(sample_rate, low)
    omega = 2 * torch.pi * band.double() / FRAME
    coherence = whole.coherence[0, band].clamp_max(SURE)
    weights = coherence / (1 - coherence)
    angle = whole.cross[0, band].angle() - (0.0 if phase is None else phase[band])
    spectrum = torch.zeros(FRAME // 2 + 1, dtype=torch.complex128)
    spectrum[band] = torch.polar(weights, angle)
    steps = torch.arange(-round(reach * GRID), round(reach * GRID) + 1)
    heights = torch.fft.irfft(spectrum, FRAME * GRID)[steps]  # interpolated: what is above the band is zero
    best = int((heights * polarity if polarity else heights.abs()).argmax())
    sign = polarity or (1 if heights[best] >= 0 else -1)
    turn = 0.0 if sign > 0 else torch.pi
    t = int(steps[best]) / GRID
    for _ in range(ITERATIONS):
        left = _wrapped(angle + omega * t + turn)
        heavy = weights * (HUBER_RAD / left.abs().clamp_min(HUBER_RAD))
        information = (heavy * omega.square()).sum()
        if not information > 0:
            return Delay(t, math.inf, sign, math.pi)
        step = float((heavy * omega * left).sum() / information)
        t -= step
        if abs(step) < CLOSE:
            break
    spread = (heavy * omega * left).square().sum().sqrt() / information
    rms = ((heavy * left.square()).sum() / heavy.sum()).sqrt()
    return Delay(t, float(2 * spread), sign, float(rms))  # twice: a Hann window makes neighbouring bins alike


def _band(sample_rate: float, low: float) -> Tensor:
    high = min(HIGHEST_HZ, HIGHEST_SHARE * sample_rate)
    low = min(low, high / 4)
    return torch.arange(round(low * FRAME / sample_rate), round(high * FRAME / sample_rate) + 1)


def _wrapped(angle: Tensor) -> Tensor:
    return torch.remainder(angle + torch.pi, 2 * torch.pi) - torch.pi
