"""How late a recording is against another to a fraction of a sample, its polarity, and how their clocks drift apart."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from diffapf.identification.cross_spectra import FRAME, CrossSpectra, Line, cross_spectra
from diffapf.identification.excess_phase import REACH, Delay, minimum_phase, phase_delay
from diffapf.identification.offset import phat_offset
from diffapf.identification.robust import theil_sen

COARSE_S, FINE_S = 1.5, 3.0  # of a segment
MOST_SEGMENTS = 40
FEWEST_SEGMENTS = 4  # that a line is drawn through
SEGMENTS_OF_SHORT = 7  # of a recording that is too short for as many of the full length
ROUNDS = 3
LONGEST_S, EXCERPT_S = 300.0, 8.0  # that are searched at once
COARSE_REACH_S = 0.25
LATE = 0.05  # samples: no effect is known better
MOVES = 0.1  # samples over a file that count as drift


@dataclass(frozen=True)
class Alignment:
    """Where the wet signal lies beside the dry one.

    Attributes:
        delay: samples by which wet is late, in the middle of the recording.
        error: how far that may be off, in samples: what the effect's own phase makes uncertain, and noise.
        polarity: 1, or −1 for a wet signal that is turned over.
        drift_ppm: by how many millionths wet's clock is slow: its delay grows by so much of a sample a sample.
        drift_error_ppm: the standard error of that; infinite for recordings too short to tell.
        coherence: the share of wet's power that a fixed filter makes of dry, from 0 to 1.
        times, delays: seconds and samples, of the segments that the drift was read from.
        frequencies, phases: Hz and radians, what is left of the phase after delay, polarity and the filter's own.
        spectra: of all segments, along the line, by the power of dry.
        drifts: whether the delay moves by more than a tenth of a sample, and by more than its errors.
    """

    delay: float
    error: float
    polarity: int
    drift_ppm: float
    drift_error_ppm: float
    coherence: float
    times: Tensor
    delays: Tensor
    frequencies: Tensor
    phases: Tensor
    spectra: CrossSpectra
    drifts: bool

    def differs_from(self, samples: float) -> bool:
        """Whether the delay is another one than this, by more than it may be off."""
        return abs(self.delay - samples) > max(LATE, 2 * self.error)


def align(dry: Tensor, wet: Tensor, sample_rate: float) -> Alignment:
    """Finds delay, polarity and drift between what went into an effect and what came out of it.

    A delay and a filter both turn phases. The filter's part is taken from its magnitude, as if it were of minimum phase. The
    uncertainty is what the estimate would be without that, as far as phases are left that it does not explain; and what
    it would be if the magnitude went on otherwise where nothing is heard.

    1. whole samples: the peak of the phase transform, of the recording, then of segments, and a line through them;
    2. three times: spectra along the line, the minimum phase, the delay of all and of each segment, a line through these;
    3. the delay of all along the last line, which is level where the clocks don't drift.

    Args:
        dry, wet: `(time,)`, a second at least.
        sample_rate: in Hz.

    Raises:
        ValueError: the signals are shorter than two frames, or no part of them lies beside each other.

    Source: Knapp and Carter, IEEE Trans. ASSP 24, 1976; Theil 1950 and Sen 1968 for the line.

    >>> noise = torch.randn(60_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> found = align(noise, -noise.roll(37), 44_100)
    >>> round(found.delay, 3), found.polarity, found.drifts
    (37.0, -1, False)
    """
    shortest = min(len(dry), len(wet))
    if shortest < 2 * FRAME:
        raise ValueError(f"recordings must be at least {2 * FRAME} samples long to be aligned, got {shortest}")
    line = _coarse_line(dry, wet, sample_rate)
    fine = max(FRAME, min(round(FINE_S * sample_rate), (shortest - abs(round(line.level))) // SEGMENTS_OF_SHORT))
    for _ in range(ROUNDS):
        line, *_ = _refined(dry, wet, sample_rate, line, fine)
    line, times, delays, error = _refined(dry, wet, sample_rate, line, fine)
    moves = abs(line.slope) * shortest
    drifts = moves > MOVES and abs(line.slope) > 3 * error
    kept = line if drifts else Line(line.level, 0.0, line.middle)
    return _aligned(dry, wet, sample_rate, kept, fine, (times, delays, line.slope, error), drifts)


def _coarse_line(dry: Tensor, wet: Tensor, sample_rate: float) -> Line:
    """By whole samples: of the recording, then of its segments."""
    offset = _coarse_offset(dry, wet, sample_rate)
    length, reach = round(COARSE_S * sample_rate), round(COARSE_REACH_S * sample_rate)
    first, last = max(0, -offset), min(len(dry), len(wet) - offset) - length
    if last - first < (FEWEST_SEGMENTS - 1) * length:
        return Line(float(offset))
    starts = torch.arange(first, last + 1, length)
    if len(starts) > MOST_SEGMENTS:
        starts = starts[torch.linspace(0, len(starts) - 1, MOST_SEGMENTS).round().long()]
    lags, centres = [], []
    for start in starts.tolist():
        x, y = dry[start : start + length], wet[start + offset : start + offset + length]
        if x.any() and y.any():
            lags.append(offset + phat_offset(x, y, sample_rate, reach)[0])
            centres.append(start + length / 2)
    if len(lags) < FEWEST_SEGMENTS:
        return Line(float(offset))
    t, d = (torch.tensor(values, dtype=torch.float64) for values in (centres, lags))
    level, slope, _ = theil_sen(t, d)
    if abs(slope) * len(dry) < 2:  # whole samples can't tell
        slope = 0.0
    return Line(float(level), float(slope), float(t.mean()))


def _coarse_offset(dry: Tensor, wet: Tensor, sample_rate: float) -> int:
    """Of the recording or, where clocks drift and its peak is smeared, of an excerpt: the one that stands out most."""
    shortest, excerpt = min(len(dry), len(wet)), round(EXCERPT_S * sample_rate)
    spans = [slice(0, min(shortest, round(LONGEST_S * sample_rate)))]
    if shortest > 2 * excerpt:
        spans += [slice(first, first + excerpt) for first in (0, (shortest - excerpt) // 2, shortest - excerpt)]
    found = [phat_offset(dry[span], wet[span], sample_rate) for span in spans]
    return max(found, key=lambda lag_and_height: lag_and_height[1])[0]


def _refined(
    dry: Tensor, wet: Tensor, sample_rate: float, line: Line, segment: int
) -> tuple[Line, Tensor, Tensor, float]:
    """(the line after what the phases say is left of it, segments' times in seconds, their delays, the slope's error)."""
    spectra = cross_spectra(dry, wet, line, segment, MOST_SEGMENTS)
    phase = minimum_phase(spectra)
    whole = phase_delay(spectra, sample_rate, phase)
    middle = float(spectra.centres.double().mean())
    line = Line(float(line.at(spectra.centres.double().mean())) + whole.samples, line.slope, middle)
    found = [
        phase_delay(
            spectra.segment(i), sample_rate, phase, whole.polarity, reach=abs(whole.samples) + REACH / 4
        ).samples
        - whole.samples
        for i in range(len(spectra.centres))
    ]
    left, centres = torch.tensor(found, dtype=torch.float64), spectra.centres.double()
    delays = line.at(centres) + left
    if len(left) < FEWEST_SEGMENTS:
        return Line(line.level, 0.0, middle), centres / sample_rate, delays, math.inf
    _, slope, error = theil_sen(centres, left)
    return Line(line.level, line.slope + slope, middle), centres / sample_rate, delays, error


def _aligned(
    dry: Tensor,
    wet: Tensor,
    sample_rate: float,
    line: Line,
    segment: int,
    segments: tuple[Tensor, Tensor, float, float],
    drifts: bool,
) -> Alignment:
    """What a line gives, and how far that moves without the filter's own phase, or with another one where it is not heard.

    segments: their times in seconds, their delays in samples, the slope through these, and its error.
    """
    times, delays, slope, slope_error = segments
    spectra = cross_spectra(dry, wet, line, segment, MOST_SEGMENTS)
    phase = minimum_phase(spectra)
    others = (minimum_phase(spectra, carried_on=True), None)
    by_excess, carried_on, plain = (phase_delay(spectra, sample_rate, given) for given in (phase, *others))
    whole = spectra.whole
    omega = 2 * torch.pi * torch.arange(FRAME // 2 + 1, dtype=torch.float64) / FRAME
    turned = (
        whole.cross[0] * by_excess.polarity * torch.polar(torch.ones(()).double(), omega * by_excess.samples - phase)
    )
    middle = min(len(dry), len(wet)) / 2
    loud = cross_spectra(dry, wet, line, segment, MOST_SEGMENTS, fair=False).whole
    power = loud.wet[0]
    return Alignment(
        delay=float(line.at(torch.tensor(middle).double())) + by_excess.samples,
        error=_uncertainty(by_excess, plain, carried_on),
        polarity=by_excess.polarity,
        drift_ppm=1e6 * slope,
        drift_error_ppm=1e6 * slope_error,
        coherence=float((loud.coherence[0] * power).sum() / power.sum().clamp_min(1e-300)),
        times=times,
        delays=delays,
        frequencies=omega * sample_rate / (2 * torch.pi),
        phases=turned.angle(),
        spectra=loud,
        drifts=drifts,
    )


def _uncertainty(by_excess: Delay, plain: Delay, carried_on: Delay) -> float:
    """How far a delay may be off, in samples: by noise; by what lies above the highest frequency heard; and by leaving the
    minimum phase out, as far as it does not explain the phases that were measured."""
    unexplained = min(1.0, by_excess.left / max(plain.left, 1e-12))
    of_phase = unexplained * abs(by_excess.samples - plain.samples)
    return by_excess.error + 2 * abs(by_excess.samples - carried_on.samples) + of_phase  # twice: low-passes showed it
